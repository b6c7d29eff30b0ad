"""What the values of every cell look like: the one pass over a matrix that every judgement rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

# values looked at together, which bounds the memory of a pass
BLOCK_VALUES = 2**22
DISK_ROWS = 4096


@dataclass(frozen=True)
class Rows:
    """Facts of n cells.

    Parameters
    ----------
    n_found
        Values of each cell that are not zero.
    n_fractions, n_above_one
        How many of these are no whole numbers, and how many exceed one.
    largest
        The cell's largest value.
    not_finite, negative
        Cell and gene of the first value that is NaN or infinite, and of the first below zero;
        cells behind the first of them are not looked at.
    smallest
        The smallest value next to that one; zero without negative values.
    """

    n_found: np.ndarray
    n_fractions: np.ndarray
    n_above_one: np.ndarray
    largest: np.ndarray
    not_finite: tuple[int, int] | None = None
    negative: tuple[int, int] | None = None
    smallest: float = 0.0

    @property
    def whole(self) -> np.ndarray:
        """Cells with values, all of them whole."""
        return (self.n_fractions == 0) & (self.n_found > 0)

    @property
    def surely_whole(self) -> np.ndarray:
        """Cells with ones and larger numbers, five or more, all of them whole: no logarithms.

        Equal values tell nothing: those of a log-normalized cell may all be of genes found once.
        """
        ones_and_more = (self.n_above_one > 0) & (self.n_above_one < self.n_found)
        return self.whole & ones_and_more & (self.n_found >= 5)


def by_rows(matrix):
    """The same matrix in a form whose rows can be sliced: not sparse by column."""
    return matrix.tocsr() if sparse.issparse(matrix) and matrix.format != "csr" else matrix


def row_blocks(matrix, n_values: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of rows of a matrix (arrays or CSR, also of matrices on disk), with their first row."""
    matrix = by_rows(matrix)
    n, width = matrix.shape
    if sparse.issparse(matrix):
        width = matrix.nnz // max(n, 1)
    size = max(1, (BLOCK_VALUES if n_values is None else n_values) // max(width, 1))
    if not sparse.issparse(matrix) and not isinstance(matrix, np.ndarray):
        # on disk, where most matrices are sparse and small reads are slow
        size = max(size, DISK_ROWS)
    for start in range(0, n, size):
        yield start, in_memory(matrix[start : start + size])


def in_memory(block):
    """A block as a numpy array or a CSR matrix."""
    if hasattr(block, "compute"):
        block = block.compute()
    return by_rows(block) if sparse.issparse(block) else np.asarray(block)


def scan(matrix) -> Rows:
    """Look at every value of a matrix, cells x genes, once."""
    n = matrix.shape[0]
    found, fractions, above = (np.zeros(n, np.int64) for _ in range(3))
    largest = np.zeros(n, np.float32)
    facts: dict[str, Any] = {
        "n_found": found,
        "n_fractions": fractions,
        "n_above_one": above,
        "largest": largest,
    }
    smallest = 0.0
    for start, block in row_blocks(matrix):
        values: Any = block.data if sparse.issparse(block) else block
        at = slice(start, start + block.shape[0])
        if not values.size:
            continue
        # the sum is NaN or infinite if any value is; extremes are only located when needed
        if values.dtype.kind == "f" and not np.isfinite(values.sum(dtype=np.float64)):
            return Rows(**facts, not_finite=_first(block, ~np.isfinite(values), start))
        if (least := float(values.min())) < 0:
            smallest = min(smallest, least)
            return Rows(**facts, negative=_first(block, values < 0, start), smallest=smallest)
        found[at] = per_row(values != 0, block)
        above[at] = per_row(values > 1, block)
        largest[at] = _row_maximum(values, block)
        if values.dtype.kind == "f":
            fractions[at] = per_row(values != np.rint(values), block)
    return Rows(**facts, smallest=smallest)


def per_row(flags: np.ndarray, block) -> np.ndarray:
    """How many of the (stored) values of each row of a block are flagged."""
    if not sparse.issparse(block):
        return flags.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    return ends[block.indptr[1:]] - ends[block.indptr[:-1]]


def _row_maximum(values: np.ndarray, block) -> np.ndarray:
    if not sparse.issparse(block):
        return values.max(axis=1, initial=0)
    out = np.zeros(block.shape[0], values.dtype)
    filled = np.diff(block.indptr) > 0
    out[filled] = np.maximum.reduceat(values, block.indptr[:-1][filled])
    return np.maximum(out, 0)


def _first(block, flags: np.ndarray, start: int) -> tuple[int, int]:
    """Row and column of the first flagged value of a block."""
    position = int(np.flatnonzero(flags.reshape(-1))[0])
    if not sparse.issparse(block):
        row, column = np.unravel_index(position, flags.shape)
        return start + int(row), int(column)
    row = np.searchsorted(block.indptr, position, side="right") - 1
    return start + int(row), int(block.indices[position])
