"""Preservation of biology without cell types: three substitutes for the labeled metrics.

They take clusters that the cells of one sample (or system) form before integration for what
cell types would be. Between samples such clusters are never compared by name.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError

from .arrays import check_embedding, check_groups
from .clustering import leiden, name_clusters, nmi
from .neighbors import nearest_neighbors, search
from .pcs import principal_components
from .score import Score, mean, weighted_mean

SMALLEST_SAMPLE = 100
"""Cells that a sample needs for clusters of its own."""
RESOLUTION = 1.0
"""Leiden resolution of the clusters before integration."""


def clusters_before(expression, samples, *, seed: int = 0) -> np.ndarray:
    """Cluster every sample on its own, before integration.

    Leiden at resolution 1 on 15 principal components of standardized expression.

    Parameters
    ----------
    expression
        Log-normalized, cells x genes.
    samples
        Sample (or system) of every cell.
    seed
        Seed of components and clusters.

    Returns
    -------
    Name of every cell's cluster, ``"<sample>: <number>"``; None in samples of fewer than 100
    cells.
    """
    samples = check_groups(samples, expression.shape[0], "samples")
    names = np.full(expression.shape[0], None, dtype=object)
    for code in np.flatnonzero(samples.sizes >= SMALLEST_SAMPLE):
        cells = np.flatnonzero(samples.codes == code)
        space = principal_components(expression[cells], seed=seed)
        clusters = leiden(nearest_neighbors(space, 15), [RESOLUTION], seed)[RESOLUTION]
        names[cells] = [f"{samples.names[code]}: {cluster}" for cluster in clusters]
    if without_cluster(names).all():
        raise InputError(
            f"No sample has {SMALLEST_SAMPLE} cells, so none can be clustered on its own "
            f"(the largest has {samples.sizes.max()})."
        )
    return names


def without_cluster(names: np.ndarray) -> np.ndarray:
    """Mask of the cells without a cluster."""
    return np.asarray(pd.isna(np.asarray(names, dtype=object)))


@same_cells("clusters", "before", "samples")
def cluster_preservation(clusters, before, samples) -> Score:
    """NMI, within every sample, of clusters after integration with those before.

    The label-free counterpart of NMI-fixed: clusters after integration (all samples together,
    high resolution) are named by the most common cluster before.

    Parameters
    ----------
    clusters
        Clusters after integration.
    before
        Result of :func:`clusters_before`.
    samples
        The same samples.

    Returns
    -------
    The mean over samples; ``micro`` weights them by cells.
    """
    clusters, before = np.asarray(clusters), np.asarray(before, dtype=object)
    samples = check_groups(samples, len(clusters), "samples")
    known = ~without_cluster(before)
    groups, sizes = {}, {}
    for code, name in enumerate(samples.names):
        cells = known & (samples.codes == code)
        if cells.any():
            groups[name] = nmi(name_clusters(clusters[cells], before[cells]), before[cells])
            sizes[name] = int(cells.sum())
    macro = mean(groups.values())
    return Score(macro, micro=weighted_mean(groups, sizes), macro=macro, groups=groups)


@same_cells("embedding", "before", "systems")
def matched_profiles(embedding, expression, before, systems, k: int = 25) -> Score:
    """Do the cells that meet across systems express the same genes?

    For every cluster before integration, its mean expression is correlated with that of its
    cells' ``k`` nearest cells in every other system; genes are standardized within systems, so
    that what differs between systems as a whole does not count. It falls when integration
    matches cells of different kinds, which neither iLISI nor the preservation within samples
    notices.

    Parameters
    ----------
    embedding
        Integrated, cells x dimensions.
    expression
        Log-normalized, cells x genes.
    before
        Result of :func:`clusters_before`.
    systems
        System of every cell.
    k
        Neighbors in the other system.

    Returns
    -------
    The mean over clusters (and other systems) of Pearson's correlation over genes; ``micro``
    weights clusters by cells.
    """
    embedding = check_embedding(embedding)
    systems = check_groups(systems, len(embedding), "systems", min_groups=2)
    before = np.asarray(before, dtype=object)
    known = ~without_cluster(before)
    groups: dict[str, list[float]] = {}
    moments = [_moments(expression[systems.codes == s]) for s in range(len(systems.names))]
    varies = np.all([deviation > 1e-6 for _, deviation in moments], axis=0)
    if varies.sum() < 3:
        raise InputError("Fewer than 3 genes vary within every system; expected at least 3.")
    for target in range(len(systems.names)):
        query = np.flatnonzero(known & (systems.codes == target))
        if not len(query):
            continue
        clusters = check_groups(before[query], len(query), "before")
        own = _cluster_means(expression[query], clusters.codes, np.arange(len(query))[:, None])
        own = (own - moments[target][0]) / np.where(varies, moments[target][1], 1)
        for source in range(len(systems.names)):
            if source == target:
                continue
            reference = np.flatnonzero(systems.codes == source)
            near = search(embedding[reference], embedding[query], min(k, len(reference)))[1]
            met = _cluster_means(expression[reference], clusters.codes, near)
            met = (met - moments[source][0]) / np.where(varies, moments[source][1], 1)
            for code, name in enumerate(clusters.names):
                r = _correlation(own[code, varies], met[code, varies])
                groups.setdefault(name, []).append(r)
    values = {name: mean(parts) for name, parts in groups.items()}
    names, counts = np.unique(before[known].astype(str), return_counts=True)
    macro = mean(values.values())
    sizes = dict(zip(names, counts, strict=True))
    return Score(macro, micro=weighted_mean(values, sizes), macro=macro, groups=values)


def _moments(matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every gene."""
    first = np.asarray(matrix.mean(axis=0)).ravel()
    squares = matrix.multiply(matrix) if sparse.issparse(matrix) else np.square(matrix)
    second = np.asarray(squares.mean(axis=0)).ravel()
    return first, np.sqrt(np.maximum(second - first**2, 0))


def _cluster_means(expression, codes: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Mean expression over the ``members`` (rows of ``expression``) of every cluster's cells."""
    rows = np.repeat(codes, members.shape[1])
    shape = (codes.max() + 1, expression.shape[0])
    weights = sparse.csr_matrix((np.ones(rows.size), (rows, members.ravel())), shape=shape)
    total = weights @ expression
    total = total.toarray() if sparse.issparse(total) else np.asarray(total)
    return total / np.asarray(weights.sum(axis=1))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0
