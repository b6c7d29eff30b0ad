"""Minibatches of counts that hold the nonzero ones only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.special import gammaln
from torch import Tensor

from .source import WHOLE, Shard, epoch_schedule

# cells whose sums are computed at a time, in double precision
BLOCK = 4096


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

    def dense(self) -> Tensor:
        """All counts, B x G."""
        out = torch.zeros(self.n_cells, self.n_genes, dtype=self.x.dtype)
        out[self.row, self.column] = self.x
        return out

    def position(self) -> Tensor:
        """Positions in the B x G counts row by row, E."""
        return self.row * self.n_genes + self.column


class CountBatch(NamedTuple):
    """Nonzero counts of B cells, their batch codes and their positions in the source."""

    counts: Nonzeros
    batch: Tensor
    index: Tensor  # type: ignore[assignment]  # not tuple.index


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

    in_blocks = False

    def __init__(
        self,
        x: np.ndarray | sparse.spmatrix,
        batch: np.ndarray,
        dtype: torch.dtype = torch.float32,
    ):
        self.device = torch.device("cpu")
        # a scalar stands for torch's type in numpy
        csr = sparse.csr_matrix(x, dtype=torch.zeros((), dtype=dtype).numpy().dtype)
        if not csr.data.all():
            csr = csr.copy()
            csr.eliminate_zeros()
        self.n_genes = csr.shape[1]
        self.batch = torch.as_tensor(batch)
        self.start = csr.indptr.astype(np.int64)
        self.x, self.column = csr.data, csr.indices
        self.total, self.log_factorials = (
            torch.empty(len(self.batch), dtype=dtype) for _ in range(2)
        )
        for first in range(0, csr.shape[0], BLOCK):
            rows = csr[first : first + BLOCK].astype(np.float64)
            self.total[first : first + BLOCK] = _row_sums(rows)
            rows.data = gammaln(rows.data + 1)
            self.log_factorials[first : first + BLOCK] = _row_sums(rows)

    def __len__(self) -> int:
        return len(self.total)

    def epoch(
        self, batch_size: int, generator: torch.Generator, shard: Shard = WHOLE
    ) -> Iterator[Tensor]:
        """One block: see `epoch_schedule`."""
        yield epoch_schedule(len(self), batch_size, generator, self.device, shard)

    def in_order(self, batch_size: int, shard: Shard = WHOLE) -> Iterator[Tensor]:
        """Indices of all cells once, in their order."""
        own = shard.in_order(len(self))
        yield from torch.arange(own.start, own.stop).split(batch_size)

    def gather(self, indices: Tensor) -> CountBatch:
        """The minibatch of the cells at ``indices``."""
        at = indices.numpy()
        start, stop = self.start[at], self.start[at + 1]
        # joining slices takes a third of the time of picking rows of a sparse matrix
        rows = [slice(*ends) for ends in zip(start.tolist(), stop.tolist(), strict=True)]
        x, column = (np.concatenate([a[row] for row in rows]) for a in (self.x, self.column))
        size = stop - start
        row = np.repeat(np.arange(len(size)), size)
        ends = np.append(0, size.cumsum())
        counts = Nonzeros(
            torch.from_numpy(x),
            torch.from_numpy(row),
            torch.from_numpy(column.astype(np.int64)),
            torch.from_numpy(ends),
            self.total[indices],
            self.log_factorials[indices],
            self.n_genes,
        )
        return CountBatch(counts, self.batch[indices], indices)


def _row_sums(csr: sparse.csr_matrix) -> Tensor:
    return torch.from_numpy(np.asarray(csr.sum(1)).ravel())
