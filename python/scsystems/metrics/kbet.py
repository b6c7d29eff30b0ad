"""kBET: is the mixture of systems around a cell that of its cell type as a whole?"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError

from .arrays import check_embedding, check_groups
from .neighbors import nearest_neighbors
from .score import Score, mean, weighted_mean

FEWEST_CELLS = 10
"""Labels with fewer cells are not tested, as in scib-metrics."""


@same_cells("embedding", "labels", "systems")
def kbet(embedding, labels, systems, alpha: float = 0.05) -> Score:
    """Fraction of cells whose neighborhood passes kBET's chi-squared test, within labels.

    Among the cells of a label, every cell's nearest neighbors are counted by system and
    compared with the label's own composition. The number of neighbors follows scib: a
    quarter of the label's mean number of cells per system, but 10 to 70.

    scib-metrics' ``kbet_per_label`` seeks the neighbors in a diffusion map of the label's
    graph; here they are the exact neighbors in the embedding, which is quicker and does not
    depend on an eigensolver's start.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    labels, systems
        Label and system of every cell.
    alpha
        Level of the test.

    Returns
    -------
    The mean over labels; 1 is perfect mixing. Labels of one system only, or with fewer than
    10 cells, are NaN. ``micro`` weights labels by cells.
    """
    embedding = check_embedding(embedding)
    labels = check_groups(labels, len(embedding), "labels")
    systems = check_groups(systems, len(embedding), "systems", min_groups=2)
    groups = {}
    for code, name in enumerate(labels.names):
        cells = np.flatnonzero(labels.codes == code)
        present, local = np.unique(systems.codes[cells], return_inverse=True)
        if len(cells) < FEWEST_CELLS or len(present) < 2:
            groups[name] = np.nan
            continue
        k = int(np.clip(len(cells) / len(present) // 4, 10, 70))
        neighbors = nearest_neighbors(embedding[cells], k + 1)
        groups[name] = float(np.mean(pvalues(local[neighbors.indices], local) >= alpha))
    if np.isnan(list(groups.values())).all():
        raise InputError(
            f"No label has {FEWEST_CELLS} cells of two systems; kBET compares systems within "
            "the labels that they share."
        )
    macro = mean(groups.values())
    sizes = dict(zip(labels.names, labels.sizes, strict=True))
    return Score(macro, micro=weighted_mean(groups, sizes), macro=macro, groups=groups)


def pvalues(around: np.ndarray, systems: np.ndarray) -> np.ndarray:
    """Chi-squared test of every neighborhood's composition against that of all cells.

    Parameters
    ----------
    around
        System codes of the neighbors, cells x k.
    systems
        System code of every cell; every code up to the largest occurs.
    """
    composition = np.bincount(systems) / len(systems)
    counts = np.stack([(around == code).sum(axis=1) for code in range(len(composition))], axis=1)
    expected = composition * around.shape[1]
    return chi2.sf(((counts - expected) ** 2 / expected).sum(axis=1), df=len(composition) - 1)
