"""Checks of expression matrices and names, shared by all models."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from ..checks import head
from ..errors import InputError, NonFiniteError
from ..words import word

# log1p of size-factor normalized counts stays well below this (log1p(1e6) is 13.8); without the
# logarithm, the most expressed genes lie well above it (the cells that scvi-tools tests SysVI with
# reach 80)
LARGEST_LOG_VALUE = 200.0


def stored_values(matrix) -> np.ndarray:
    """The explicit values of a dense or sparse matrix, as a view where possible."""
    return matrix.data if sparse.issparse(matrix) else np.asarray(matrix)


def check_finite_nonnegative(matrix, where: str) -> None:
    """Refuse NaN, infinity and negative values, naming the first cell and gene."""
    values = stored_values(matrix)
    if values.size == 0:
        return
    # the sum is NaN or infinite if any value is; extremes are only located when needed
    if not np.isfinite(values.sum(dtype=np.float64)):
        row, column = _first(matrix, ~np.isfinite(values))
        raise NonFiniteError(
            f"{where} holds NaN or infinite values (first at cell {row}, gene {column}, counting "
            "from 0). Expected finite log-normalized expression. Remove or impute these values; "
            "division by a library size of zero is a common cause: drop empty cells first."
        )
    if values.min() < 0:
        row, column = _first(matrix, values < 0)
        raise InputError(
            f"{where} holds negative values (smallest {values.min():.3g}, first at cell {row}, gene "
            f"{column}, counting from 0). Expected log-normalized expression, which is never "
            "negative. Give data before scaling (not the output of scale() or of regression)."
        )


def check_log_normalized(matrix, where: str) -> None:
    """Refuse raw counts and values that were normalized but not log-transformed."""
    values = stored_values(matrix)
    if values.size == 0:
        return
    largest = float(values.max())
    if looks_like_counts(matrix):
        raise InputError(
            f"{where} looks like raw counts (whole numbers up to {largest:g}). Expected size-factor "
            f"normalized, log1p-transformed expression. Prepare the data with {word('prepare')}, or name "
            f"where log-normalized values are with the argument `{word('layer')}`."
        )
    if largest > LARGEST_LOG_VALUE:
        raise InputError(
            f"{where} has values up to {largest:g}, too large for log-transformed expression. Expected "
            f"size-factor normalized, log1p-transformed values. Apply {word('log')} first."
        )


def looks_like_counts(matrix, n_values: int = 1_000_000) -> bool:
    """Whether a matrix holds raw counts: no fractions, no negatives, and a value above one.

    Parameters
    ----------
    matrix
        Dense array or scipy sparse matrix, cells x genes.
    n_values
        Only about this many stored values, evenly spaced, are looked at.
    """
    values = stored_values(matrix).reshape(-1)
    if values.size == 0:
        return False
    if np.issubdtype(values.dtype, np.integer):
        return bool(values.min() >= 0)
    sample = values[:: max(1, values.size // n_values)]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0 or sample.min() < 0 or sample.max() <= 1:
        return False
    return bool(np.all(sample == np.rint(sample)))


def check_counts(matrix, where: str) -> None:
    """Refuse anything but raw counts."""
    check_finite_nonnegative(matrix, where)
    if not looks_like_counts(matrix):
        raise InputError(
            f"{where} does not hold raw counts (values have fractions). Expected whole, non-negative "
            f"counts. Name where they are with the argument `{word('layer')}`."
        )


def check_unique(names: pd.Index, what: str, remedy: str) -> None:
    """Refuse duplicated names."""
    if not names.is_unique:
        duplicated = names[names.duplicated()].unique()
        raise InputError(
            f"{what} are not unique: {head(duplicated)} occur more than once. Expected unique names. {remedy}"
        )


def _first(matrix, flags: np.ndarray) -> tuple[int, int]:
    """Row and column of the first flagged value."""
    position = int(np.flatnonzero(flags.reshape(-1))[0])
    if not sparse.issparse(matrix):
        row, column = np.unravel_index(position, flags.shape)
        return int(row), int(column)
    compressed = matrix if matrix.format in ("csr", "csc") else matrix.tocsr()
    major = int(np.searchsorted(compressed.indptr, position, side="right") - 1)
    minor = int(compressed.indices[position])
    return (major, minor) if compressed.format == "csr" else (minor, major)
