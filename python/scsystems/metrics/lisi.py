"""Local inverse Simpson's index: how many systems, or labels, live around a cell?"""

from __future__ import annotations

import numpy as np

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError

from .arrays import Groups, check_embedding, check_groups
from .neighbors import Neighbors, nearest_neighbors
from .scib import scib, scib_neighbors
from .score import Score, mean

K = 90
"""Neighbors that LISI looks at, as scib-metrics does; perplexity is a third of it."""


@same_cells("neighbors", "groups")
def lisi(neighbors: Neighbors, groups, k: int = K) -> np.ndarray:
    """LISI of every cell: the effective number of groups in its neighborhood.

    Parameters
    ----------
    neighbors
        Nearest neighbors, at least ``k`` (of a small data set, all cells).
    groups
        System, batch or label of every cell.

    Returns
    -------
    Values from 1 (one group) to the number of groups, shape ``(n_cells,)``; NaN for a cell
    whose neighbors are all equally far.
    """
    groups = check_groups(groups, neighbors.n_cells, "groups")
    near = neighbors.first(k)
    # the cell itself has no vote: with too few others the perplexity cannot be reached
    if near.k < 4:
        raise InputError(f"LISI needs at least 4 neighbors; found {near.k}.")
    values = np.asarray(scib().lisi_knn(scib_neighbors(near, k), groups.codes), dtype=float)
    # scib-metrics marks a neighborhood without weights by an index of -1
    return np.clip(np.where(values < 0, np.nan, values), 1, len(groups.names))


@same_cells("neighbors", "systems", "labels")
def ilisi(neighbors: Neighbors, systems, labels=None, k: int = K) -> Score:
    """Mixing of systems: LISI over systems, scaled to 0 (apart) .. 1 (mixed evenly).

    Parameters
    ----------
    neighbors
        Nearest neighbors of every cell.
    systems
        System of every cell.
    labels
        Label of every cell, if the value per label is wanted, too.
    k
        Neighbors to look at.

    Returns
    -------
    The median over cells, as scib-metrics' ``ilisi_knn``. ``macro`` is the mean over labels
    of the median within a label; labels of one system only have none.
    """
    systems = check_groups(systems, neighbors.n_cells, "systems", min_groups=2)
    values = (lisi(neighbors, systems, k) - 1) / (len(systems.names) - 1)
    if labels is None:
        return _median_score(values, None)
    labels = check_groups(labels, neighbors.n_cells, "labels", allow_missing=True)
    shared = [
        label
        for label in range(len(labels.names))
        if len(np.unique(systems.codes[labels.codes == label])) > 1
    ]
    return _median_score(values, labels, shared)


@same_cells("neighbors", "labels")
def clisi(neighbors: Neighbors, labels, k: int = K) -> Score:
    """Purity of labels: LISI over labels, scaled to 0 (labels mixed) .. 1 (labels apart).

    Returns
    -------
    The median over cells, as scib-metrics' ``clisi_knn``; ``macro`` is the mean over labels
    of the median within a label.
    """
    labels = check_groups(labels, neighbors.n_cells, "labels", min_groups=2)
    n = len(labels.names)
    return _median_score((n - lisi(neighbors, labels, k)) / (n - 1), labels, range(n))


@same_cells("embedding", "systems", "similar", "dissimilar")
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
        Neighbors, searched among the comparison's cells only.

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
        scores[name] = float(ilisi(nearest_neighbors(embedding[mask], k), systems[mask], k=k))
    return {**scores, "difference": scores["similar"] - scores["dissimilar"]}


def _median_score(values: np.ndarray, labels: Groups | None, count=()) -> Score:
    median = _median(values)
    if labels is None:
        return Score(median, micro=median)
    groups = {labels.names[label]: _median(values[labels.codes == label]) for label in count}
    return Score(median, micro=median, macro=mean(groups.values()), groups=groups)


def _median(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(np.median(values)) if values.size else float("nan")
