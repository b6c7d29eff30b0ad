"""The scale of the cells of an AnnData: a model's own are measured, others compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from anndata import AnnData

from ...errors import InputError, warn
from ...words import expression
from .judge import groups_of
from .record import Scale, differences, disagreements, measure, sums_of
from .refuse import EXPECTED_LOGS, check_logs

# column of var that marks genes a query lacked, see SysVI.prepare_query_anndata
PADDED = "padded"


def own_scale(
    adata: AnnData, matrix, layer: str | None, keys: Sequence[str], systems: np.ndarray
) -> Scale:
    """Check that a model's cells hold logarithms, in every level of every column, and measure their scale.

    Parameters
    ----------
    adata
        The cells.
    matrix
        Their expression, cells x genes.
    layer
        The layer that it is, ``None`` for ``X``.
    keys
        Columns of ``obs``, the system's first.
    systems
        The cells' codes of systems.

    Raises
    ------
    InputError
        For anything but log-normalized expression.
    NonFiniteError
        For NaN or infinity.
    """
    where = expression(layer)
    judged = check_logs(matrix, where, groups_of(adata.obs, keys), adata.obs_names)
    notes = adata.uns if layer is None else None
    scale = measure(matrix, judged.cells.base, systems, int(systems.max(initial=-1)) + 1, notes)
    for difference in disagreements(judged, scale):
        warn(
            f"{where} is not on one scale: {difference}. Expected {EXPECTED_LOGS}, all cells alike; normalize all to "
            "one total and take the same logarithm."
        )
    return scale


def compare_scale(
    scale: Scale | None,
    adata: AnnData,
    matrix,
    whole,
    layer: str | None,
    keys: Sequence[str],
    systems: np.ndarray | None,
    complete: bool = True,
) -> None:
    """Check that cells hold logarithms, and warn if these are on another scale than the model's.

    Parameters
    ----------
    scale
        The model's; ``None`` if it is unknown, when nothing but NaN and infinity is refused.
    adata, layer, keys
        The cells, as in `own_scale`.
    matrix
        Their expression in the model's genes.
    whole
        In all genes that they have.
    systems
        Their codes of systems, ``None`` if unknown.
    complete
        Whether they have all genes of the model.
    """
    where = expression(layer)
    groups = groups_of(adata.obs, keys)
    if scale is None:
        try:
            check_logs(matrix, where, groups, adata.obs_names)
        except InputError as error:
            warn(
                f"{error} The model was read from scvi-tools, which does not record what it was trained on: nothing "
                "is refused."
            )
        return
    expected = f"{scale}, as the model's cells are"
    judged = check_logs(matrix, where, groups, adata.obs_names, expected)
    n_systems = len(scale.sums)
    if systems is None:
        systems, n_systems = np.full(adata.n_obs, -1), 0
    notes = adata.uns if layer is None else None
    found = measure(matrix, judged.cells.base, systems, n_systems, notes)
    if whole is not matrix:
        every = measure(whole, found.base, np.zeros(adata.n_obs, np.int64), 1, notes)
        found = replace(found, base=every.base, target_sum=every.target_sum)
    if found.base != scale.base:
        # compared as if they were what the model's are
        found = replace(found, sums=sums_of(matrix, scale.base, systems, n_systems))
    for difference in differences(scale, found, complete):
        warn(
            f"{where} is on another scale than the model's cells: {difference}. Expected {scale}; results are off "
            "otherwise. Normalize these cells as the model's."
        )
