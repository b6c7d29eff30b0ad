"""What expression holds that comes from R objects, and its way to the scale of a model.

Which layer is read and what is normalized is decided in R (``scale.R``), where the objects are;
here values are judged and scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from scsystems.data.matrix import expression
from scsystems.data.scale.judge import Groups, judge
from scsystems.data.scale.normalize import base_number
from scsystems.data.scale.record import measure
from scsystems.data.scale.rows import by_rows, scan
from scsystems.r import values
from scsystems.r.envelope import guarded

# kinds of the core -> what R does with them
KINDS = {
    "logs": "log",
    "counts": "counts",
    "ones": "counts",
    "empty": "counts",
    "multiples": "fractional",
    "fractions": "fractional",
    "large": "fractional",
    "mixed": "mixed",
}


@guarded
def judge_expression(matrix: Mapping[str, Any], codes: np.ndarray) -> dict[str, Any]:
    """What groups of cells hold, see `judge_groups`; ``codes`` number every cell's group from 0."""
    return judge_groups(values.matrix_from_parts(matrix), np.asarray(codes, dtype=np.int64))


@guarded
def judge_anndata(adata: Any, layer: str | None, columns: list[str]) -> dict[str, Any]:
    """The same of an AnnData, with every cell's ``group``: its number, -1 without any value.

    Cells belong together that have the same values in ``columns``, and whole numbers only or not.
    """
    matrix = by_rows(expression(adata, layer))
    rows = scan(matrix)
    if rows.negative or rows.not_finite:
        group = np.zeros(adata.n_obs, np.int64)
        return {"group": group.astype(np.int32), **judge_groups(matrix, group)}
    state = np.where(rows.n_found == 0, -1, rows.whole)
    codes = pd.factorize(pd.MultiIndex.from_frame(adata.obs[list(columns)].assign(_state=state)))[0]
    codes = pd.factorize(np.where(state < 0, np.nan, codes))[0]
    return {"group": codes.astype(np.int32), **judge_groups(matrix, codes)}


def judge_groups(matrix: Any, codes: np.ndarray) -> dict[str, Any]:
    """What groups of cells hold, and on which scale.

    Parameters
    ----------
    matrix
        Cells x all genes; a group has whole numbers only, or none of its cells does.
    codes
        Number of every cell's group, from 0.

    Returns
    -------
    ``kind``, ``target_sum`` and ``base`` with an entry per group, and these of all ``log`` groups
    together as ``log_target_sum`` and ``log_base``. Kinds are ``"counts"``, ``"fractional"``,
    ``"log"``, ``"mixed"`` and ``"bad"`` (negative or not finite). Total and base are NaN where they
    cannot be told.
    """
    matrix, n = by_rows(matrix), int(codes.max(initial=-1)) + 1
    judged = judge(matrix, [Groups("", codes, [str(code) for code in range(n)])])
    if judged.rows.negative or judged.rows.not_finite:
        return {"kind": ["bad"] * n, **_scales([(np.nan, np.nan)] * n, (np.nan, np.nan))}
    found = judged.groups[0][1]
    # a few values too large, among logarithms, make no counts
    kinds = ["mixed" if g.kind == "large" and g.base else KINDS[g.kind] for g in found]
    scales = [
        _scale(matrix, codes == code, found[code].base) if kind == "log" else (np.nan, np.nan)
        for code, kind in enumerate(kinds)
    ]
    logs = np.isin(codes, [code for code, kind in enumerate(kinds) if kind == "log"])
    bases = {found[code].base for code in np.unique(codes[logs])} - {None}
    # groups that are too small to tell say it together
    together = (np.nan, np.nan) if len(bases) > 1 else _scale(matrix, logs, *bases)
    return {"kind": kinds, **_scales(scales, together)}


def _scale(matrix: Any, at: np.ndarray, base: Any = None) -> tuple[float, float]:
    """Total and base of some cells' logarithms."""
    if not at.any():
        return np.nan, np.nan
    found = measure(matrix[at], base, np.zeros(int(at.sum()), np.int64), 1, None)
    total = np.nan if found.target_sum is None else found.target_sum
    return total, base_number(found.base)


def _scales(groups: list[tuple[float, float]], together: tuple[float, float]) -> dict[str, Any]:
    return {
        "target_sum": [total for total, _ in groups],
        "base": [base for _, base in groups],
        "log_target_sum": together[0],
        "log_base": together[1],
    }
