"""Moran's I preservation: does the variation within a cell type survive integration?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError
from scsystems.words import word

from .arrays import check_embedding, check_groups
from .neighbors import nearest_neighbors
from .pcs import principal_components
from .score import Score, mean

K = 15
"""Neighbors per cell, within a group."""
FEWEST, MOST = 12, 150
"""Genes per group that the automatic cutoff aims at ("around a dozen to around 150")."""


@dataclass(frozen=True)
class MoranGroup:
    """Cells of one sample and cell type, and the genes that vary along them.

    Attributes
    ----------
    label, sample
        Names.
    cells
        Positions of the cells.
    genes
        Positions of the genes over the cutoff.
    before
        Their Moran's I before integration.
    """

    label: str
    sample: str
    cells: np.ndarray
    genes: np.ndarray
    before: np.ndarray


@dataclass(frozen=True)
class MoranReference:
    """What :func:`moran_reference` found before integration: groups of cells and a cutoff."""

    groups: list[MoranGroup]
    cutoff: float


def morans_i(weights, values) -> np.ndarray:
    """Moran's I of every column of ``values`` on a graph.

    ``n / sum(w) * sum_ij w_ij z_i z_j / sum_i z_i^2``, with z centered; NaN for a constant.

    Parameters
    ----------
    weights
        Sparse cells x cells.
    values
        Cells x genes, dense or sparse; made dense 256 genes at a time.
    """
    n, n_genes = values.shape
    out = np.empty(n_genes)
    scale = n / weights.sum()
    for start in range(0, n_genes, 256):
        part = values[:, start : start + 256]
        z = np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64)
        z = z - z.mean(axis=0)
        squares = (z**2).sum(axis=0)
        constant = squares <= 1e-12 * n
        out[start : start + 256] = np.where(
            constant,
            np.nan,
            scale * (z * (weights @ z)).sum(axis=0) / np.where(constant, 1, squares),
        )
    return out


@same_cells("labels", "samples")
def moran_reference(
    expression,
    labels,
    samples,
    *,
    min_cells: int = 500,
    min_fraction: float = 0.1,
    cutoff: float | None = None,
    seed: int = 0,
) -> MoranReference:
    """Find, before integration, the genes that vary along the cells of each type and sample.

    Parameters
    ----------
    expression
        Log-normalized, cells x genes.
    labels, samples
        Cell type and sample of every cell (doublets should be left out).
    min_cells
        Groups of a sample and a cell type need this many cells.
    min_fraction
        Genes expressed in a smaller fraction of a group's cells are dropped.
    cutoff
        Moran's I that a gene must exceed. By default the one value for all groups that leaves
        at most 150 genes in each, lowered if a group would keep fewer than 12.
    seed
        Seed of the principal components.

    Raises
    ------
    InputError
        If no group is large enough.
    """
    n_cells = expression.shape[0]
    labels = check_groups(labels, n_cells, "labels", allow_missing=True)
    samples = check_groups(samples, n_cells, "samples", allow_missing=True)
    pairs = pd.DataFrame({"label": labels.codes, "sample": samples.codes})
    pairs = pairs[(pairs >= 0).all(axis=1)]
    found = []
    for (label, sample), rows in pairs.groupby(["label", "sample"]):
        cells = rows.index.to_numpy()
        if len(cells) < min_cells:
            continue
        values = expression[cells]
        genes = np.flatnonzero(np.asarray((values > 0).mean(axis=0)).ravel() >= min_fraction)
        if len(genes) < 3:
            continue
        values = values[:, genes]
        pcs = principal_components(values, scale=False, seed=seed)
        before = morans_i(nearest_neighbors(pcs, K).connectivities, values)
        genes, before = genes[~np.isnan(before)], before[~np.isnan(before)]
        found.append(MoranGroup(labels.names[label], samples.names[sample], cells, genes, before))
    if not found:
        largest = pairs.groupby(["label", "sample"]).size().max() if len(pairs) else 0
        raise InputError(
            f"No cell type has {min_cells} cells in one sample (the largest group has {largest}); "
            f"Moran's I needs groups of that size. Give a smaller {word('smallest moran group')}."
        )
    cutoff = _automatic_cutoff([group.before for group in found]) if cutoff is None else cutoff
    groups = [
        MoranGroup(
            g.label, g.sample, g.cells, g.genes[g.before > cutoff], g.before[g.before > cutoff]
        )
        for g in found
    ]
    groups = [group for group in groups if len(group.genes)]
    if not groups:
        raise InputError(f"No gene has a Moran's I above the cutoff {cutoff}; give a lower one.")
    return MoranReference(groups, float(cutoff))


def moran_preservation(reference: MoranReference, expression, embedding) -> Score:
    """Fraction of the variation within cell types that an embedding keeps.

    Per group the mean over genes of ((after + 1) / 2) / ((before + 1) / 2), where Moran's I
    after integration is computed on neighbors in the embedding among the group's cells.

    Parameters
    ----------
    reference
        Result of :func:`moran_reference`.
    expression
        The same expression as was given there, cells x genes.
    embedding
        Cells x dimensions.

    Returns
    -------
    The mean over cell types of the mean over samples (the paper's order); about 1 if all is
    kept. ``micro`` is the mean over all groups' genes.
    """
    embedding = check_embedding(embedding)
    if len(embedding) != expression.shape[0]:
        raise InputError(
            f"'embedding' has {len(embedding)} cells, 'expression' {expression.shape[0]}; "
            "expected the same cells."
        )
    by_label: dict[str, list[np.ndarray]] = {}
    for group in reference.groups:
        weights = nearest_neighbors(embedding[group.cells], K).connectivities
        after = morans_i(weights, expression[group.cells][:, group.genes])
        by_label.setdefault(group.label, []).append((after + 1) / (group.before + 1))
    groups = {label: mean(mean(ratio) for ratio in ratios) for label, ratios in by_label.items()}
    macro = mean(groups.values())
    micro = mean(np.concatenate([ratio for ratios in by_label.values() for ratio in ratios]))
    return Score(macro, micro=micro, macro=macro, groups=groups)


def _automatic_cutoff(values: list[np.ndarray]) -> float:
    def above(group: np.ndarray, n: int) -> float:
        # the largest value that leaves n genes strictly above it
        return float(np.sort(group)[::-1][n]) if len(group) > n else -np.inf

    at_most = max(above(group, MOST) for group in values)
    at_least = min(above(group, FEWEST) for group in values)
    cutoff = min(at_most, at_least)
    return cutoff if np.isfinite(cutoff) else -1.0
