"""Choose cells that lie far apart, so that rare kinds are among them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

# as many cells of a group are looked at as tell its kinds apart
MOST_CELLS = 5000
N_COMPONENTS = 20


def spread_cells(x, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Indices of k cells, shared out evenly over groups, spread over the expression of each.

    Within a group the cells are the starting centers of k-means++ (Arthur & Vassilvitskii 2007)
    on principal components: each next one is drawn with a probability that grows with its
    squared distance to those chosen. Drawing all cells alike would give most places to the most
    common kind.

    Parameters
    ----------
    x
        Expression, n x G, dense or sparse.
    groups
        Code of the group of every cell, n.
    k
        How many; groups with fewer cells than their share give some twice.
    seed
        Decides the draw.
    """
    rng = np.random.default_rng(seed)
    # the largest groups take what cannot be shared out evenly
    names, sizes = np.unique(groups, return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    sizes = [k // len(order) + (i < k % len(order)) for i in range(len(order))]
    chosen = [
        _spread(x, np.flatnonzero(groups == name), size, rng)
        for name, size in zip(order, sizes, strict=True)
        if size
    ]
    return np.concatenate(chosen)


def _spread(x, at: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    from sklearn.cluster import kmeans_plusplus
    from sklearn.decomposition import PCA

    if len(at) > MOST_CELLS:
        at = np.sort(rng.choice(at, MOST_CELLS, replace=False))
    if len(at) <= k:
        return np.concatenate([at, rng.choice(at, k - len(at))])
    part = x[at]
    part = part.toarray() if sparse.issparse(part) else np.asarray(part)
    n_components = min(N_COMPONENTS, *part.shape)
    state = int(rng.integers(2**31))
    z = PCA(n_components, svd_solver="randomized", random_state=state).fit_transform(part)
    return at[kmeans_plusplus(z, k, random_state=state)[1]]
