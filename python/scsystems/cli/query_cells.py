"""Cells that a trained SysVI model is to embed: read, brought to the model's scale, given its genes."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ScsystemsError
from .on_disk import CopiedCells

logger = logging.getLogger(__name__)


def check_columns(adata, model) -> None:
    """Refuse cells without the columns that a model looks at."""
    from ..checks import column

    setup = model.schema.setup
    column(adata, setup.batch_key, "system")
    for key in setup.categorical_covariate_keys:
        column(adata, key, "covariates")
    for key in setup.continuous_covariate_keys:
        column(adata, key, "continuous")


@contextmanager
def fitted(
    file: Path, on_disk: bool, model, options: argparse.Namespace, labels: str | None = None
) -> Iterator[tuple[Any, Any]]:
    """A file of cells, and the same cells as a model takes them, in memory or in a file of their own.

    ``labels`` is a column that they have to have.
    """
    import pandas as pd

    from ..data.containers import open_cells
    from ..models.sysvi.model import SysVI
    from ..models.sysvi.query_genes import fill_values, find_missing, write_with_genes

    if not on_disk:
        there = open_cells(file, options.assay, options.layer, raw=options.raw)
        _check_labels(there.adata, model, labels)
        query = _normalized(there.adata, model, file, options)
        yield (
            there,
            SysVI.prepare_query_anndata(
                query, model, inplace=False, max_missing=options.max_missing, fill=options.fill
            ),
        )
        return
    cells = CopiedCells(file)
    adata, genes = cells.adata, pd.Index(model.schema.genes)
    _check_labels(adata, model, labels)
    missing = find_missing(genes, adata.var_names, options.max_missing, options.fill)
    matrix, target = _scaled(cells, model, options)
    if target is not None:
        adata.uns = _noted(target)
    role = "query" if labels is None else "reference"
    store = options.output.absolute().with_name(f".{options.output.name}.{role}.h5ad")
    try:
        values = fill_values(model.schema, missing, options.fill)
        yield cells, write_with_genes(adata, matrix, model.schema, values, store, overwrite=True)
    finally:
        store.unlink(missing_ok=True)


def _check_labels(adata, model, labels: str | None) -> None:
    """Refuse cells without the columns that are needed of them."""
    from ..checks import column

    check_columns(adata, model)
    if labels is not None:
        column(adata, labels, "transferred labels", data="reference data", complete=False)


def _noted(target: float) -> dict:
    """What tells a model of the total that cells were normalized to, as `prepare` notes it."""
    from ..data.scale.record import PREPARATION

    return {PREPARATION: {"settings": {"target_sum": target}}}


def _target(model, file: Path, options: argparse.Namespace, found) -> float | None:
    """The total that counts are normalized to; ``None`` if the expression is log-normalized already."""
    from ..data.choice import UNLOGGED
    from ..data.scale.refuse import describe

    logger.info("The expression of %s %s", file, describe(found))
    if found.kind not in UNLOGGED:
        given = {"--fractional": options.fractional, "--target-sum": options.target_sum is not None}
        if any(given.values()):
            names = ", ".join(name for name, is_given in given.items() if is_given)
            raise ScsystemsError(
                f"{names}: for counts, and the expression of {file} looks log-normalized. Leave it out, or name the "
                "counts with --layer."
            )
        return None
    scale = model.schema.expression_scale
    target = options.target_sum or (scale and scale.target_sum)
    if target is None:
        raise ScsystemsError(
            f"{file} holds counts, and the model does not know the total per cell that its own cells were normalized "
            "to. Give it with --target-sum, or name what holds log-normalized values with --layer."
        )
    logger.info("It is normalized to a total of %g per cell and log-transformed", target)
    return float(target)


def _base(model) -> float:
    from ..data.scale.normalize import base_number

    scale = model.schema.expression_scale
    base = base_number(None if scale is None else scale.base)
    return float(np.e) if np.isnan(base) else base


def _check(adata, matrix, layer: str | None, model, options: argparse.Namespace) -> None:
    from ..data.scale.judge import groups_of
    from ..data.scale.refuse import check_counts
    from ..words import expression

    groups = groups_of(adata.obs, model.schema.group_keys)
    check_counts(matrix, expression(layer), groups, adata.obs_names, options.fractional)


def _normalized(adata, model, file: Path, options: argparse.Namespace):
    """The cells with log-normalized expression where the model looks for it."""
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    from ..data.matrix import expression
    from ..data.scale.judge import judge
    from ..data.scale.normalize import normalize

    x = expression(adata)
    target = _target(model, file, options, judge(x).cells)
    layer = model.schema.setup.layer
    notes = dict(adata.uns)
    if target is not None:
        _check(adata, x, None, model, options)
        totals = np.asarray(x.sum(axis=1), np.float64).ravel()
        x = (
            sparse.csr_matrix(x, dtype=np.float32, copy=True)
            if sparse.issparse(x)
            else x.astype(np.float32)
        )
        base = _base(model)
        normalize(x, totals, target, base)
        notes = _noted(target) if base == np.e else {}
    return AnnData(
        x if layer is None else None,
        obs=adata.obs,
        var=pd.DataFrame(index=adata.var_names),
        uns=notes,
        layers=None if layer is None else {layer: x},
    )


def _scaled(cells: CopiedCells, model, options: argparse.Namespace) -> tuple[Any, float | None]:
    """Log-normalized expression on disk, and the total that counts were normalized to."""
    from ..data.disk import DiskMatrix
    from ..data.matrix import readable
    from ..data.scale.judge import judge

    matrix = readable(cells.adata, options.layer)
    if not isinstance(matrix, DiskMatrix):
        raise ScsystemsError(
            f"{cells.source}: its expression is stored by genes (CSC), so that no cell can be read without reading "
            "all. Write it by cells, or use --in-memory."
        )
    target = _target(model, cells.source, options, judge(matrix[:4096]).cells)
    if target is None:
        return matrix, None
    if _base(model) != np.e:
        raise ScsystemsError(
            f"{cells.source} holds counts, and the model was trained on logarithms of another base than e, which "
            "are not made of cells on disk. Use --in-memory."
        )
    _check(cells.adata, matrix, options.layer, model, options)
    totals = np.concatenate(
        [np.asarray(rows.sum(axis=1), np.float64).ravel() for _, rows in matrix.blocks()]
    )
    factors = np.divide(target, totals, out=np.zeros_like(totals), where=totals > 0)
    return matrix.normalized(factors), target
