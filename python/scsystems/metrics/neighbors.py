"""Exact nearest neighbors in an embedding: computed once, shared by all metrics."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from scsystems.data.by_name import names_of_cells
from scsystems.errors import InputError

from .arrays import check_embedding


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbors of every cell, nearest first; the cell itself comes first.

    Attributes
    ----------
    indices
        Cells' positions, shape ``(n_cells, k)``.
    distances
        Euclidean distances, float32, shape ``(n_cells, k)``; the first column is zero.
    cell_names
        Names of the cells, if the embedding had any (a data frame).
    """

    indices: np.ndarray
    distances: np.ndarray
    cell_names: pd.Index | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.indices.shape[0]

    @property
    def k(self) -> int:
        """Number of neighbors, the cell itself included."""
        return self.indices.shape[1]

    def first(self, k: int) -> Neighbors:
        """Keep the ``k`` nearest (the cell itself included; all of them if there are fewer)."""
        if k >= self.k:
            return self
        return Neighbors(self.indices[:, :k], self.distances[:, :k], self.cell_names)

    @cached_property
    def graph(self) -> csr_matrix:
        """Directed graph without self-edges: 1 from every cell to each of its neighbors."""
        n, k = self.n_cells, self.k - 1
        indptr = np.arange(0, n * k + 1, k)
        return csr_matrix((np.ones(n * k), self.indices[:, 1:].ravel(), indptr), shape=(n, n))

    @cached_property
    def connectivities(self) -> csr_matrix:
        """Symmetric neighbor graph with UMAP's weights, as scanpy uses for clustering."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # umap warns that tensorflow is not installed
            from umap.umap_ import fuzzy_simplicial_set

        weights, *_ = fuzzy_simplicial_set(
            csr_matrix((self.n_cells, 1)),
            n_neighbors=self.k,
            random_state=None,
            metric="precomputed",
            knn_indices=self.indices,
            knn_dists=self.distances,
        )
        return weights.tocsr()


def nearest_neighbors(embedding, k: int = 90) -> Neighbors:
    """Find the ``k`` nearest neighbors of every cell, the cell itself included.

    The search is exact and so needs no seed. Memory grows as ``n_cells * k``.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    k
        Number of neighbors, the cell itself included; cut to the number of cells.

    Raises
    ------
    InputError
        With fewer than three cells or ``k`` below two.
    """
    names, embedding = names_of_cells(embedding), check_embedding(embedding)
    n = len(embedding)
    if n < 3 or k < 2:
        raise InputError(
            f"Nearest neighbors need at least 3 cells and k >= 2; found {n} cells and k={k}."
        )
    k = min(k, n)
    distances, indices = search(embedding, embedding, k)
    return Neighbors(*_self_first(indices, distances), names)


def search(reference: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact Euclidean distances (float32) and indices of each query's k nearest references."""
    finder = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="euclidean")
    distances, indices = finder.fit(reference).kneighbors(query)
    return distances.astype(np.float32), indices.astype(np.int32)


def _self_first(indices: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put every cell first among its own neighbors, also where others coincide with it."""
    n, k = indices.shape
    own = np.arange(n, dtype=indices.dtype)[:, None]
    is_self = indices == own
    absent = ~is_self.any(axis=1)
    is_self[absent, -1] = True  # more than k cells coincide: drop the last of them
    others = ~is_self
    indices = np.hstack([own, indices[others].reshape(n, k - 1)])
    distances = np.hstack([np.zeros((n, 1), np.float32), distances[others].reshape(n, k - 1)])
    return indices, distances
