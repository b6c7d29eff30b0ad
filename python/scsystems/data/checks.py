"""Checks of names, and a quick one of values, shared by all models."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from ..checks import head
from ..errors import InputError


def looks_like_counts(matrix, n_values: int = 1_000_000) -> bool:
    """Whether a matrix holds raw counts: no fractions, no negatives, and a value above one.

    A quick look at all cells together, which tells what to do with data; `scsystems.data.scale`
    tells of every group of cells whether they are fit for it.

    Parameters
    ----------
    matrix
        Dense array or scipy sparse matrix, cells x genes.
    n_values
        Only about this many stored values, evenly spaced, are looked at.
    """
    values = (matrix.data if sparse.issparse(matrix) else np.asarray(matrix)).reshape(-1)
    if values.size == 0:
        return False
    if np.issubdtype(values.dtype, np.integer):
        return bool(values.min() >= 0)
    sample = values[:: max(1, values.size // n_values)]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0 or sample.min() < 0 or sample.max() <= 1:
        return False
    return bool(np.all(sample == np.rint(sample)))


def check_unique(names: pd.Index, what: str, remedy: str) -> None:
    """Refuse duplicated names."""
    if not names.is_unique:
        duplicated = names[names.duplicated()].unique()
        raise InputError(
            f"{what} are not unique: {head(duplicated)} occur more than once. Expected unique names. {remedy}"
        )
