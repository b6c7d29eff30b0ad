"""Exact nearest neighbors between two sets of cells, block by block, and the votes of their labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from ..errors import InputError
from ..torch_state import usual_torch

Metric = Literal["cosine", "euclidean"]

# distances of a block of this many queries and references are in memory at a time
QUERY_BLOCK, REFERENCE_BLOCK = 2048, 16384


@usual_torch()
def nearest(
    query,
    reference,
    k: int,
    metric: Metric = "euclidean",
    device: torch.device | str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest reference cells of every query cell, nearest first.

    Exact; memory grows with ``n_query * k`` and never with ``n_query * n_reference``.

    Parameters
    ----------
    query, reference
        Cells x dimensions: arrays, tensors or scipy sparse matrices.
    k
        Number of neighbors, at most the number of reference cells.
    metric
        ``"cosine"`` (1 - cosine of the angle; a cell without any value is at distance 1 from
        all) or ``"euclidean"``.
    device
        Where the distances are computed.

    Returns
    -------
    Indices (int64) and distances (float32), n_query x k each.
    """
    if not 1 <= k <= reference.shape[0]:
        raise InputError(
            f"{k} neighbors were asked of {reference.shape[0]} reference cells. Expected 1 to {reference.shape[0]}."
        )
    indices = np.empty((query.shape[0], k), np.int64)
    distances = np.empty((query.shape[0], k), np.float32)
    for start, q in _blocks(query, QUERY_BLOCK, metric, device):
        best: Tensor | None = None
        at: Tensor | None = None
        for offset, r in _blocks(reference, REFERENCE_BLOCK, metric, device):
            d = 1 - q @ r.T if metric == "cosine" else _euclidean(q, r)
            value, position = d.topk(min(k, len(r)), dim=1, largest=False)
            position = position + offset
            if best is not None and at is not None:
                value, position = torch.cat([best, value], 1), torch.cat([at, position], 1)
                value, order = value.topk(min(k, value.shape[1]), dim=1, largest=False)
                position = position.gather(1, order)
            best, at = value, position
        if best is not None and at is not None:
            indices[start : start + len(q)] = at.cpu().numpy()
            distances[start : start + len(q)] = best.cpu().numpy()
    return indices, distances


def _euclidean(q: Tensor, r: Tensor) -> Tensor:
    # by differences: the expanded square loses the digits that tell close cells apart
    return torch.cdist(q, r, compute_mode="donot_use_mm_for_euclid_dist")


def _blocks(cells, size: int, metric: Metric, device) -> Iterator[tuple[int, Tensor]]:
    if sparse.issparse(cells) and cells.format != "csr":
        cells = cells.tocsr()
    for start in range(0, cells.shape[0], size):
        block = cells[start : start + size]
        block = torch.as_tensor(
            block.toarray() if sparse.issparse(block) else block, dtype=torch.float32, device=device
        )
        yield start, F.normalize(block, dim=1) if metric == "cosine" else block


def vote(codes: np.ndarray, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """The most common label among every cell's neighbors, and its fraction.

    Of equally common labels the one whose first cell is nearest wins.

    Parameters
    ----------
    codes
        Label codes of the neighbors, nearest first, n x k.
    n_labels
        Number of labels.

    Returns
    -------
    Winning codes and fractions (float32), n each.
    """
    rows = np.arange(len(codes))
    counts = np.zeros((len(codes), n_labels), np.int32)
    np.add.at(counts, (rows[:, None], codes), 1)
    of_neighbor = np.take_along_axis(counts, codes, 1)
    winner = codes[rows, of_neighbor.argmax(1)]
    return winner, (of_neighbor.max(1) / codes.shape[1]).astype(np.float32)


def agreeing(
    label: np.ndarray, agreement: np.ndarray, level: float, at_least: int = 0
) -> np.ndarray:
    """The cells whose agreement reaches the quantile of their predicted label (paper, equation 15).

    Parameters
    ----------
    label
        Predicted label of every cell.
    agreement
        Fraction of the neighbors that have this label.
    level
        Level of the quantile: 0.8 keeps the best fifth of every label. Cells that equal the
        quantile are kept, else a label on which all neighbors agree would lose all its cells.
    at_least
        Keep at least so many cells of every label, the best ones, however high the level.

    Returns
    -------
    A mask, n.
    """
    if not 0 <= level <= 1:
        raise InputError(
            f"quantile={level!r}. Expected a level between 0 (keep all cells) and 1 (keep the best)."
        )
    kept = np.zeros(len(label), bool)
    for code in np.unique(label):
        cells = np.flatnonzero(label == code)
        scores = agreement[cells]
        bound = np.quantile(scores, level)
        if at_least:
            bound = min(bound, np.sort(scores)[-min(at_least, len(cells))])
        kept[cells] = scores >= bound
    return kept
