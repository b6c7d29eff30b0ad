"""Which target cells are of a type that the context does not have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..nn.scspecies.net import ScviNet
from .expression import decode

CHUNK = 512
FLOOR = 1e-8
# labels with fewer cells have no say in what differs between the species as a whole
FEWEST_CELLS = 5
# score above which a cell is called novel
THRESHOLD = 1.5


def unexplained(
    target: ScviNet, context: ScviNet, z: np.ndarray, counts, pairs: np.ndarray, label: np.ndarray
) -> np.ndarray:
    """How much better the target's decoder explains each cell than the context's does, n.

    Both decode the cell's own latent vector to expression relative to all homologous genes.
    A cell of a type that the context has looks the same in both, apart from what differs
    between the species in every type: that is taken off, as the median over labels of the mean
    log ratio of the decoders. A new cell lies near context cells of another type, and the
    context's decoder expects these.

    Parameters
    ----------
    target, context
        The networks.
    z
        Latent means of the target's cells, n x L.
    counts
        Their counts of the homologous genes, n x H, dense or sparse.
    pairs
        Positions of the homologous genes in the context's and the target's data, H x 2.
    label
        Transferred label of every cell.

    Returns
    -------
    Multinomial log-likelihood of the homologous counts under the target's decoder minus that
    under the context's, per molecule; larger is newer.
    """
    names, code, size = np.unique(label, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), len(pairs)))
    for part, mine, theirs in _decoded(target, context, z, pairs):
        np.add.at(sums, code[part], mine - theirs)
    counted = size >= min(FEWEST_CELLS, size.max())
    shift = np.median(sums[counted] / size[counted, None], 0)
    out = np.empty(len(z))
    for part, mine, theirs in _decoded(target, context, z, pairs):
        theirs = theirs + shift
        theirs -= np.log(np.exp(theirs).sum(1, keepdims=True))
        x = counts[part]
        x = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
        out[part] = (x * (mine - theirs)).sum(1) / np.maximum(x.sum(1), 1)
    return out


def _decoded(target, context, z, pairs) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Log relative expression of the cells by both decoders, chunk by chunk."""
    context_genes, target_genes = pairs.T
    for start in range(0, len(z), CHUNK):
        part = slice(start, min(start + CHUNK, len(z)))
        yield (
            part,
            *(
                np.log(decode(net, z[part], np.arange(net.sizes.n_batches), genes).relative + FLOOR)
                for net, genes in ((target, target_genes), (context, context_genes))
            ),
        )


def standard_scores(values: np.ndarray) -> np.ndarray:
    """Robust standard scores: centered at the median, scaled by the median absolute deviation, n.

    New cells hardly move either, as long as they are few. Scores are cut at -3 and 10.
    """
    center, spread = center_and_spread(values)
    return np.clip((np.asarray(values, np.float64) - center) / spread, -3, 10)


def center_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Median, and median absolute deviation as a standard deviation, above zero."""
    values = np.asarray(values, np.float64)
    center = float(np.median(values))
    # 1.4826: the median absolute deviation of a normal distribution becomes its standard deviation
    spread = 1.4826 * float(np.median(np.abs(values - center)))
    return center, max(spread, 1e-9 * (abs(center) + 1))


def novelty(unexplained: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """One score from both signs: the mean of their standard scores, the first counting twice, n.

    Parameters
    ----------
    unexplained
        What `unexplained` returned.
    distance
        Distance to the nearest context cells in the latent space.
    """
    return (2 * standard_scores(unexplained) + standard_scores(np.log(distance + FLOOR))) / 3
