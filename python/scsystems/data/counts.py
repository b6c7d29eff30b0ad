"""Minibatches of counts that hold the nonzero ones only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.special import gammaln
from torch import Tensor


class Nonzeros(NamedTuple):
    """The E nonzero counts of B cells, cell by cell.

    ``x``: the counts; ``row``, ``column``: where they are (E each); ``start``: where each cell's
    begin, and E (B + 1); ``total`` of each cell and the logarithm of its counts' factorials,
    summed (B each); ``n_genes`` columns.
    """

    x: Tensor
    row: Tensor
    column: Tensor
    start: Tensor
    total: Tensor
    log_factorials: Tensor
    n_genes: int

    @property
    def n_cells(self) -> int:
        """B."""
        return len(self.total)

    def position(self) -> Tensor:
        """Positions in the B x G counts row by row, E."""
        return self.row * self.n_genes + self.column


class CountBatch(NamedTuple):
    """Nonzero counts of B cells, their batch codes and their positions in the source."""

    counts: Nonzeros
    batch: Tensor
    index: Tensor


class ResidentCounts:
    """Cells in the computer's memory, a minibatch of which is a `CountBatch`.

    Parameters
    ----------
    x
        Counts, n x G, dense or sparse.
    batch
        Batch codes, n.
    dtype
        Of the counts in minibatches.
    """

    def __init__(
        self,
        x: np.ndarray | sparse.spmatrix,
        batch: np.ndarray,
        dtype: torch.dtype = torch.float32,
    ):
        self.device = torch.device("cpu")
        # a scalar stands for torch's type in numpy
        self.csr = sparse.csr_matrix(x, dtype=torch.zeros((), dtype=dtype).numpy().dtype)
        if not self.csr.data.all():
            self.csr = self.csr.copy()
            self.csr.eliminate_zeros()
        self.batch = torch.as_tensor(batch)
        self.n_genes = self.csr.shape[1]
        factorials = self.csr.copy()
        factorials.data = gammaln(factorials.data.astype(np.float64) + 1)
        self.log_factorials = _row_sums(factorials, dtype)
        self.total = _row_sums(self.csr, dtype)

    def __len__(self) -> int:
        return self.csr.shape[0]

    def gather(self, indices: Tensor) -> CountBatch:
        """The minibatch of the cells at ``indices``."""
        rows = self.csr[indices.numpy()]
        size = np.diff(rows.indptr)
        counts = Nonzeros(
            torch.from_numpy(rows.data),
            torch.from_numpy(np.repeat(np.arange(len(size)), size)),
            torch.from_numpy(rows.indices.astype(np.int64)),
            torch.from_numpy(rows.indptr),
            self.total[indices],
            self.log_factorials[indices],
            self.n_genes,
        )
        return CountBatch(counts, self.batch[indices], indices)


def _row_sums(csr: sparse.csr_matrix, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.asarray(csr.sum(1, dtype=np.float64)).ravel(), dtype=dtype)
