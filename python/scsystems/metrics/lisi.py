"""Local inverse Simpson's index: how many systems, or labels, live around a cell?"""

from __future__ import annotations

import numpy as np

from scsystems.errors import InputError

from .arrays import Groups, check_embedding, check_groups
from .neighbors import Neighbors, nearest_neighbors
from .scib import scib, scib_neighbors

K = 90
"""Neighbours that LISI looks at, as scib-metrics does; perplexity is a third of it."""


def lisi(neighbors: Neighbors, groups, k: int = K) -> np.ndarray:
    """LISI of every cell: the effective number of groups in its neighbourhood.

    Parameters
    ----------
    neighbors
        Nearest neighbours, at least ``k`` (of a small data set, all cells).
    groups
        System, batch or label of every cell.

    Returns
    -------
    Values from 1 (one group) to the number of groups, shape ``(n_cells,)``.
    """
    groups = check_groups(groups, neighbors.n_cells, "groups")
    values = np.asarray(scib().lisi_knn(scib_neighbors(neighbors, k), groups.codes))
    # where all neighbours coincide with the cell there are no weights: scib gives 1 / -1
    return np.clip(np.where(values < 0, np.nan, values), 1, len(groups.names))


def ilisi(neighbors: Neighbors, systems, k: int = K) -> float:
    """Median LISI over systems, scaled to 0 (apart) .. 1 (mixed evenly).

    Equals scib-metrics' ``ilisi_knn``.
    """
    systems = check_groups(systems, neighbors.n_cells, "systems", min_groups=2)
    return float(np.nanmedian(scaled_ilisi(neighbors, systems, k)))


def clisi(neighbors: Neighbors, labels, k: int = K) -> float:
    """Median LISI over labels, scaled to 0 (labels mixed) .. 1 (labels apart).

    Equals scib-metrics' ``clisi_knn``.
    """
    labels = check_groups(labels, neighbors.n_cells, "labels", min_groups=2)
    return float(np.nanmedian(scaled_clisi(neighbors, labels, k)))


def scaled_ilisi(neighbors: Neighbors, systems: Groups, k: int = K) -> np.ndarray:
    """LISI over systems of every cell, scaled to 0 .. 1."""
    return (lisi(neighbors, systems, k) - 1) / (len(systems.names) - 1)


def scaled_clisi(neighbors: Neighbors, labels: Groups, k: int = K) -> np.ndarray:
    """LISI over labels of every cell, scaled and turned so that 1 is best."""
    n = len(labels.names)
    return (n - lisi(neighbors, labels, k)) / (n - 1)


def condition_ilisi(embedding, systems, similar, dissimilar, k: int = K) -> dict[str, float]:
    """Mixing (iLISI) of similar and of dissimilar groups of cells across systems.

    The paper's check that integration keeps what differs: of one cell type, groups that are
    alike across systems (healthy and healthy) should mix, others (healthy and diseased)
    should not.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    systems
        System of every cell.
    similar, dissimilar
        Masks of the cells of either comparison, both with cells of two or more systems.
    k
        Neighbours, searched among the comparison's cells only.

    Returns
    -------
    ``similar`` (higher is better), ``dissimilar`` (lower is better) and their
    ``difference`` (higher is better).
    """
    embedding = check_embedding(embedding)
    systems = check_groups(systems, len(embedding), "systems", min_groups=2).as_text()
    scores = {}
    for name, mask in (("similar", similar), ("dissimilar", dissimilar)):
        mask = np.asarray(mask)
        if mask.shape != (len(embedding),) or mask.dtype != bool:
            raise InputError(
                f"'{name}' is an array of {mask.dtype} of shape {mask.shape}; expected a mask "
                f"(bool) of the {len(embedding)} cells."
            )
        n_systems = len(np.unique(systems[mask]))
        if n_systems < 2:
            raise InputError(
                f"'{name}' selects {mask.sum()} cells of {n_systems} system(s); "
                "expected cells of at least two."
            )
        scores[name] = ilisi(nearest_neighbors(embedding[mask], k), systems[mask], k)
    return {**scores, "difference": scores["similar"] - scores["dissimilar"]}
