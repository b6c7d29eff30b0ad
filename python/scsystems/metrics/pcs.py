"""The unintegrated embedding that integration is compared with: principal components."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from scsystems.errors import InputError, NonFiniteError
from scsystems.threads import torch_threads_kept


@torch_threads_kept()
def principal_components(matrix, n_components: int = 15, *, scale: bool = True, seed: int = 0):
    """Principal components of log-normalized expression, by default of standardized genes.

    A sparse matrix stays sparse: genes are divided by their standard deviation, and centered
    inside the decomposition only.

    Parameters
    ----------
    matrix
        Cells x genes, log-normalized.
    n_components
        Number of components; cut to what the matrix allows.
    scale
        Whether to divide every gene by its standard deviation (the paper's 15 components do).
    seed
        Seed of the solver's start.

    Returns
    -------
    Float32, cells x components.
    """
    import scanpy as sc

    if matrix.ndim != 2 or min(matrix.shape) < 3:
        raise InputError(
            f"The expression matrix has shape {matrix.shape}; expected at least 3 cells and "
            "3 genes."
        )
    matrix = (
        sparse.csr_matrix(matrix, dtype=np.float32)
        if sparse.issparse(matrix)
        else (np.asarray(matrix, dtype=np.float32))
    )
    data = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(data).all():
        raise NonFiniteError("The expression matrix has NaN or infinite values.")
    variance = _variance(matrix)
    varies = variance > 1e-12
    if varies.sum() < 3:
        raise InputError("Fewer than 3 genes vary between cells; expected at least 3.")
    matrix = matrix[:, varies]
    if scale:
        factors = (1 / np.sqrt(variance[varies])).astype(np.float32)
        matrix = matrix @ sparse.diags(factors) if sparse.issparse(matrix) else matrix * factors
    n_components = min(n_components, min(matrix.shape) - 1)
    return np.asarray(
        sc.pp.pca(matrix, n_comps=n_components, svd_solver="arpack", random_state=seed),
        dtype=np.float32,
    )


def _variance(matrix) -> np.ndarray:
    """(n - 1) variance of every gene of a dense or sparse matrix, in float64."""
    n = matrix.shape[0]
    if sparse.issparse(matrix):
        squares = matrix.astype(np.float64)
        mean = np.asarray(squares.mean(axis=0)).ravel()
        squares.data **= 2
        second = np.asarray(squares.sum(axis=0)).ravel()
        return np.maximum(second - n * mean**2, 0) / (n - 1)
    return matrix.var(axis=0, ddof=1, dtype=np.float64)
