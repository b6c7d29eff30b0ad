"""Graph connectivity: do the cells of a type hang together, whatever their system?"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from scsystems.data.by_name import same_cells

from .arrays import check_groups
from .neighbors import Neighbors
from .score import Score, mean, weighted_mean

K = 15
"""Neighbors per cell of the graph, as in scib-metrics."""


@same_cells("neighbors", "labels")
def graph_connectivity(neighbors: Neighbors, labels) -> Score:
    """Fraction of a label's cells in the largest component of its neighbor graph.

    Parameters
    ----------
    neighbors
        Nearest neighbors of every cell; the first 15 are used.
    labels
        Label of every cell.

    Returns
    -------
    The mean over labels, as scib-metrics' ``graph_connectivity``; 1 means that every label is
    in one piece. ``micro`` weights labels by cells.
    """
    labels = check_groups(labels, neighbors.n_cells, "labels")
    graph = neighbors.first(K).graph
    groups = {}
    for code, name in enumerate(labels.names):
        cells = np.flatnonzero(labels.codes == code)
        _, component = connected_components(graph[cells][:, cells], connection="strong")
        groups[name] = np.bincount(component).max() / len(cells)
    macro = mean(groups.values())
    sizes = dict(zip(labels.names, labels.sizes, strict=True))
    return Score(macro, micro=weighted_mean(groups, sizes), macro=macro, groups=groups)
