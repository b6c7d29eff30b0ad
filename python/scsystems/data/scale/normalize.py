"""Bring counts to the scale of a model's cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from .kinds import Base


def base_number(base: Base | None) -> float:
    """A base of logarithms as a number; NaN where it is not known."""
    if base is None:
        return np.nan
    return np.e if base == "e" else float(base)


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
