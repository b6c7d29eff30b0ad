"""Average silhouette widths: of labels, of systems within labels, of isolated labels."""

from __future__ import annotations

import numpy as np
import torch

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError
from scsystems.torch_state import usual_torch

from .arrays import check_embedding, check_groups
from .score import Score, mean, weighted_mean


@same_cells("embedding", "groups")
@usual_torch()
def silhouettes(embedding, groups, block: tuple[int, int] = (256, 4096)) -> np.ndarray:
    """Silhouette of every cell, -1 (in the wrong group) .. 1 (in a group of its own).

    Exact, with Euclidean distances in blocks that fit the processor's cache: memory grows with
    the number of cells, time with its square (100,000 cells and 15 dimensions: 11 s of one
    core). A cell alone in its group has 0.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    groups
        Group of every cell, at least two groups.
    block
        Cells x other cells whose distances are held at a time.
    """
    embedding = check_embedding(embedding)
    groups = check_groups(groups, len(embedding), "groups", min_groups=2)
    # centered, so that distances from products of coordinates stay accurate
    cells = torch.from_numpy(embedding - embedding.mean(axis=0))
    squares, ones = (cells**2).sum(dim=1, keepdim=True), torch.ones(len(cells), 1)
    # |a - b|^2 = (-2a, |a|^2, 1) . (b, 1, |b|^2)
    left = torch.cat([-2 * cells, squares, ones], dim=1)
    right = torch.cat([cells, ones, squares], dim=1).T.contiguous()
    codes = torch.from_numpy(groups.codes)
    sizes = torch.from_numpy(groups.sizes).float()
    member = torch.nn.functional.one_hot(codes, len(sizes)).float()
    widths = []
    for rows in range(0, len(cells), block[0]):
        part, own = left[rows : rows + block[0]], codes[rows : rows + block[0], None]
        to_groups = torch.zeros(len(part), len(sizes))
        for columns in range(0, len(cells), block[1]):
            distances = (part @ right[:, columns : columns + block[1]]).clamp_(min=0).sqrt_()
            to_groups.addmm_(distances, member[columns : columns + block[1]])
        # a cell's distance to itself is zero, and it does not count among its group
        within = to_groups.gather(1, own) / (sizes[own] - 1).clamp(min=1)
        between = (to_groups / sizes).scatter(1, own, torch.inf).min(dim=1, keepdim=True).values
        width = (between - within) / torch.maximum(between, within).clamp(min=1e-30)
        widths.append(torch.where(sizes[own] > 1, width, 0.0).squeeze(1))
    return torch.cat(widths).double().numpy()


@same_cells("embedding", "labels")
def asw_label(embedding, labels, *, widths: np.ndarray | None = None) -> Score:
    """Separation of labels: mean silhouette, scaled to 0 .. 1.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    labels
        Label of every cell.
    widths
        The silhouettes, if they are known already.

    Returns
    -------
    The mean over cells, as scib-metrics' ``silhouette_label``; ``macro`` is over labels.
    """
    labels = check_groups(labels, len(embedding), "labels", min_groups=2)
    widths = silhouettes(embedding, labels) if widths is None else widths
    scaled = (widths + 1) / 2
    groups = {name: mean(scaled[labels.codes == i]) for i, name in enumerate(labels.names)}
    micro = mean(scaled)
    return Score(micro, micro=micro, macro=mean(groups.values()), groups=groups)


@same_cells("embedding", "labels", "systems")
def isolated_labels(embedding, labels, systems, *, widths: np.ndarray | None = None) -> Score:
    """Separation of the labels that the fewest systems share, 0 .. 1.

    If all labels occur in all systems, none is isolated and all of them count.

    Returns
    -------
    The mean over isolated labels, as scib-metrics' ``isolated_labels``.
    """
    labels = check_groups(labels, len(embedding), "labels", min_groups=2)
    systems = check_groups(systems, len(embedding), "systems", min_groups=2)
    present = np.zeros((len(labels.names), len(systems.names)), dtype=bool)
    present[labels.codes, systems.codes] = True
    n_systems = present.sum(axis=1)
    of_label = asw_label(embedding, labels, widths=widths).groups
    isolated = [labels.names[i] for i in np.flatnonzero(n_systems == n_systems.min())]
    return _mean_over_labels({name: of_label[name] for name in isolated}, labels)


@same_cells("embedding", "labels", "systems")
def asw_batch(embedding, labels, systems) -> Score:
    """Mixing of systems within labels: 1 - |silhouette| over systems; 1 is best.

    Returns
    -------
    The mean over labels, as scib-metrics' ``silhouette_batch``; labels of one system only have
    none. ``micro`` weights labels by cells.
    """
    return _within_labels(embedding, labels, systems, lambda widths: 1 - np.abs(widths))


@same_cells("embedding", "labels", "systems")
def asw_signed(embedding, labels, systems) -> Score:
    """Separation of systems within labels, signed: -1 .. 1, higher means further apart.

    The paper's measure of how strong a batch effect is before integration: the absolute value
    would count cells nearer to the other system as separated.

    Returns
    -------
    The mean over labels; labels of one system only have none. ``micro`` weights labels by
    cells.
    """
    return _within_labels(embedding, labels, systems, lambda widths: widths)


def _within_labels(embedding, labels, systems, transform) -> Score:
    embedding = check_embedding(embedding)
    labels = check_groups(labels, len(embedding), "labels")
    systems = check_groups(systems, len(embedding), "systems", min_groups=2)
    groups = {}
    for code, name in enumerate(labels.names):
        cells = np.flatnonzero(labels.codes == code)
        if 1 < len(np.unique(systems.codes[cells])) < len(cells):
            groups[name] = mean(transform(silhouettes(embedding[cells], systems.codes[cells])))
    if not groups:
        raise InputError(
            "No label has cells of two systems; systems can only be compared within a label "
            "that they share."
        )
    return _mean_over_labels(groups, labels)


def _mean_over_labels(groups: dict[str, float], labels) -> Score:
    macro = mean(groups.values())
    sizes = dict(zip(labels.names, labels.sizes, strict=True))
    return Score(macro, micro=weighted_mean(groups, sizes), macro=macro, groups=groups)
