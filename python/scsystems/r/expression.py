"""What expression holds that comes from R objects, and its way to the scale of a model.

Which layer is read and what is normalized is decided in R (``scale.R``), where the objects are;
here values are judged and scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scsystems.r import values
from scsystems.r.envelope import guarded

# logarithms of 1 + normalized counts stay below this (of base 2, up to a million: 20)
LARGEST_LOG = 25.0
BASES = (float(np.e), 2.0, 10.0)
LARGEST_TOTAL = 1e9
# sums over all genes that differ by less are one total; logarithms undone differ by less between cells
CONSTANT, SPREAD = 0.01, 1e3


@guarded
def judge_expression(matrix: Mapping[str, Any], codes: np.ndarray) -> dict[str, Any]:
    """What groups of cells hold, see `judge_groups`; ``codes`` number every cell's group from 0."""
    return judge_groups(values.matrix_from_parts(matrix), np.asarray(codes, dtype=np.int64))


@guarded
def judge_anndata(adata: Any, layer: str | None, columns: list[str]) -> dict[str, Any]:
    """The same of an AnnData, with every cell's ``group``: its number, -1 without any value.

    Cells belong together that have the same values in ``columns``, and whole numbers only or not.
    """
    matrix = sparse.csr_matrix(adata.X if layer is None else adata.layers[layer])
    broken = sparse.csr_matrix((matrix.data != np.rint(matrix.data), matrix.indices, matrix.indptr))
    filled = sparse.csr_matrix((matrix.data != 0, matrix.indices, matrix.indptr))
    n_broken, n_filled = (np.asarray(part.sum(axis=1)).ravel() for part in (broken, filled))
    state = np.where(n_filled == 0, -1, n_broken == 0)
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
    matrix = sparse.csr_matrix(matrix)
    groups = range(int(codes.max(initial=-1)) + 1)
    if not np.isfinite(matrix.data).all() or matrix.data.min(initial=0) < 0:
        found = [("bad", np.nan, np.nan)] * len(groups)
    else:
        found = [_judge_group(matrix[codes == group]) for group in groups]
    logs = np.isin(codes, [group for group in groups if found[group][0] == "log"])
    bases = {base for _, _, base in found if base == base}
    # groups that are too small to tell say it together
    together = logs.any() and len(bases) < 2
    _, total, base = _judge_group(matrix[logs]) if together else ("log", np.nan, np.nan)
    return {
        "kind": [kind for kind, _, _ in found],
        "target_sum": [total for _, total, _ in found],
        "base": [base for _, _, base in found],
        "log_target_sum": total,
        "log_base": base,
    }


def _judge_group(x: sparse.csr_matrix) -> tuple[str, float, float]:
    """Kind, total and base of a group's cells."""
    x = x.astype(np.float64)
    x.eliminate_zeros()
    if np.all(x.data == np.rint(x.data)):
        return "counts", np.nan, np.nan
    spreads = []
    for base in BASES:
        low, middle, high = _sums(x, np.expm1(np.minimum(x.data * np.log(base), 700.0)))
        if high <= low * (1 + CONSTANT) and middle < LARGEST_TOTAL and x.shape[0] > 1:
            return "log", float(f"{middle:.4g}"), base
        spreads.append(high / low)
    largest = np.median(x.max(axis=1).toarray())
    if largest < LARGEST_LOG and spreads[0] < SPREAD:
        return "log", np.nan, np.nan
    return "fractional", np.nan, np.nan


def _sums(x: sparse.csr_matrix, data: np.ndarray) -> np.ndarray:
    """Quantiles of the sums over genes: of 5, 50 and 95 percent of the cells with values."""
    sums = np.asarray(sparse.csr_matrix((data, x.indices, x.indptr), x.shape).sum(axis=1)).ravel()
    return np.quantile(sums[sums > 0], [0.05, 0.5, 0.95])


def normalize(x: Any, totals: np.ndarray, target_sum: float, base: float) -> None:
    """Scale counts and take logarithms, in place.

    Parameters
    ----------
    x
        Cells x genes, float32.
    totals
        Every cell's total over all its genes; NaN for cells that stay as they are.
    target_sum
        The total that every cell is scaled to.
    base
        Of the logarithms.
    """
    scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    scale = scale.astype(np.float32)
    rows = np.isfinite(totals)
    at = slice(None) if rows.all() else rows
    if sparse.issparse(x):
        scale = np.repeat(scale, np.diff(x.indptr))
        if not rows.all():
            at = np.repeat(rows, np.diff(x.indptr))
        part, scale = x.data[at], scale[at]
    else:
        part, scale = x[at], scale[at, None]
    part *= scale
    np.log1p(part, out=part)
    if abs(base - np.e) > 1e-9:
        part /= np.float32(np.log(base))
    if not rows.all():
        (x.data if sparse.issparse(x) else x)[at] = part
