"""Products of sparse expression with a weight, on the CPU, without making it dense."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from torch import Tensor

# above this fraction of nonzeros a dense product is faster
SPARSE_BELOW = 0.2


class SparseRows(NamedTuple):
    """Rows of a CSR matrix: ``value[start[i]:start[i + 1]]`` in the columns ``gene[...]``."""

    start: np.ndarray
    gene: np.ndarray
    value: np.ndarray

    def product(self, weight: Tensor, bias: Tensor) -> Tensor:
        """``rows @ weight.T + bias``: H x G and H -> B x H."""
        from .sparse_cpu import add_rows

        out = bias.detach().repeat(len(self.start) - 1, 1)
        add_rows(*self, weight.detach().t().contiguous().numpy(), out.numpy())
        return out


def is_sparse_enough(x) -> bool:
    """Whether `SparseRows.product` is the faster way for an array or matrix, in memory or on disk."""
    n_values = getattr(x, "nnz", None)
    return n_values is not None and n_values < SPARSE_BELOW * x.shape[0] * x.shape[1]


def sparse_rows(x: sparse.csr_matrix) -> SparseRows:
    """The rows of a CSR matrix, in single precision."""
    return SparseRows(x.indptr, x.indices, x.data.astype(np.float32, copy=False))
