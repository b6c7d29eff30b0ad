"""Agreement of clusters with labels: NMI, ARI, and Jaccard per label."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from scipy.sparse import triu
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError, require_extra

from .arrays import check_groups
from .neighbors import Neighbors
from .score import Score, mean

K = 15
"""Neighbors per cell of the graph to cluster."""
RESOLUTIONS = tuple(np.round(np.arange(1, 11) * 0.2, 1))
"""Resolutions tried by the optimized scores, as in scib-metrics."""
FIXED_RESOLUTION = 2.0
"""Resolution of the paper's NMI-fixed and Jaccard."""


def leiden(
    neighbors: Neighbors, resolutions: Sequence[float] = (FIXED_RESOLUTION,), seed: int = 0
) -> dict[float, np.ndarray]:
    """Leiden clusters (modularity) of the neighbor graph at every resolution.

    Parameters
    ----------
    neighbors
        Nearest neighbors of every cell; the first 15 are used, with UMAP's weights.
    resolutions
        Resolutions of modularity.
    seed
        Seed of every run.

    Returns
    -------
    Resolution -> cluster of every cell.
    """
    igraph = require_extra("igraph", "metrics")
    edges = triu(neighbors.first(K).connectivities, k=1).tocoo()
    graph = igraph.Graph(
        n=neighbors.n_cells, edges=np.column_stack([edges.row, edges.col]), directed=False
    )
    clusters = {}
    try:
        for resolution in resolutions:
            igraph.set_random_number_generator(random.Random(seed))
            partition = graph.community_leiden(
                objective_function="modularity", weights=edges.data, resolution=float(resolution)
            )
            clusters[resolution] = np.asarray(partition.membership)
    finally:
        igraph.set_random_number_generator(random)  # igraph's own default
    return clusters


@same_cells("clusters", "labels")
def name_clusters(clusters, labels) -> np.ndarray:
    """Name every cluster by its most common label (of equally common ones, the first by name).

    Returns
    -------
    Name of every cell's cluster.
    """
    clusters = np.unique(np.asarray(clusters), return_inverse=True)[1]
    labels = check_groups(labels, len(clusters), "labels")
    counts = np.zeros((clusters.max() + 1, len(labels.names)), dtype=int)
    np.add.at(counts, (clusters, labels.codes), 1)
    return np.array(labels.names, dtype=object)[counts.argmax(axis=1)[clusters]]


@same_cells("clusters", "labels")
def nmi(clusters, labels) -> float:
    """Normalized mutual information of clusters and labels, 0 .. 1."""
    return float(normalized_mutual_info_score(_text(labels, clusters), clusters))


@same_cells("clusters", "labels")
def ari(clusters, labels) -> float:
    """Adjusted Rand index of clusters and labels; 0 is chance, 1 is identity."""
    return float(adjusted_rand_score(_text(labels, clusters), clusters))


def best_nmi_ari(clusterings: dict[float, np.ndarray], labels) -> tuple[float, float, float]:
    """NMI and ARI at the resolution with the best NMI, and that resolution."""
    if not clusterings:
        raise InputError("'clusterings' is empty; expected clusters for at least one resolution.")
    scores = {resolution: nmi(clusters, labels) for resolution, clusters in clusterings.items()}
    best = max(scores, key=lambda resolution: scores[resolution])
    return scores[best], ari(clusterings[best], labels), best


@same_cells("clusters", "labels")
def jaccard(clusters, labels) -> Score:
    """Jaccard index of every label with the clusters that are named by it.

    The paper's measure of lost cell types: a label that no cluster is named by has 0.

    Parameters
    ----------
    clusters
        Cluster of every cell, at a high resolution (the paper: Leiden, 2).
    labels
        Label of every cell.

    Returns
    -------
    The mean over labels. ``micro`` pools the cells of all labels before dividing.
    """
    labels = check_groups(labels, len(clusters), "labels")
    named, truth = name_clusters(clusters, labels), labels.as_text()
    both = {name: int(((named == name) & (truth == name)).sum()) for name in labels.names}
    either = {name: int(((named == name) | (truth == name)).sum()) for name in labels.names}
    groups = {name: both[name] / either[name] for name in labels.names}
    macro = mean(groups.values())
    micro = sum(both.values()) / sum(either.values())
    return Score(macro, micro=micro, macro=macro, groups=groups)


def _text(labels, clusters) -> np.ndarray:
    return check_groups(labels, len(clusters), "labels").as_text().astype(str)
