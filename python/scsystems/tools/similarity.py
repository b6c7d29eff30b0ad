"""How alike cells and cell types of two species are, as the target's decoder sees it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from ..data.resident import CellArrays, iterate
from ..errors import InputError
from ..nn.scspecies.alignment import candidate_log_prob
from ..nn.scspecies.net import ScviNet
from ..torch_state import usual_torch

# decoded pairs of cells that are in memory at a time
PAIRS = 4096


@usual_torch()
@torch.no_grad()
def similarity(
    net: ScviNet, cells: CellArrays, own: np.ndarray, context: np.ndarray, among: np.ndarray
) -> np.ndarray:
    """Similarity of target cells to context cells: ``log p(x | own z) - log p(x | z of the context cell)``.

    Both latent vectors pass through the target's decoder with the target cell's batch and
    library size (paper, equation 22). 0 means that the context cell explains the target cell as
    well as its own latent vector does; **larger is less similar**.

    Parameters
    ----------
    net
        The target's network.
    cells
        n target cells.
    own
        Their latent means, n x L.
    context
        Latent means of context cells, m x L.
    among
        Rows of ``context`` to compare each target cell with, n x K.

    Returns
    -------
    n x K, float32.
    """
    device = next(net.parameters()).device
    z = torch.as_tensor(np.concatenate([context, own]), device=device)
    n, k = among.shape
    among = np.concatenate([among, len(context) + np.arange(n)[:, None]], 1)
    # alike cells of a batch side by side share their candidates' decodings
    order = np.lexsort((among[:, 0], cells.categorical[:, 0]))
    rows = torch.as_tensor(among[order], device=device)
    size = max(1, PAIRS // (k + 1))
    out = np.empty((n, k), np.float32)
    start = 0
    for batch in iterate(cells.take(order), device, size):
        part = slice(start, start + len(batch.x))
        code = batch.categorical[:, 0]
        log_library = net.log_library(batch.x, code)
        value = candidate_log_prob(net, batch.x, log_library, code, z, rows[part])
        out[order[part]] = (value[:, -1:] - value[:, :-1]).cpu().numpy()
        start = part.stop
    return out


def type_similarity(
    net: ScviNet,
    cells: CellArrays,
    own: np.ndarray,
    label: np.ndarray,
    context: np.ndarray,
    context_label: np.ndarray,
    n_samples: int,
    seed: int,
) -> np.ndarray:
    """Similarity of types: the mode of the similarities of sampled pairs of cells.

    Parameters
    ----------
    net, cells, own, context
        As in `similarity`.
    label, context_label
        Codes of the types from 0; every code of either must occur.
    n_samples
        Cells drawn of every type, at most all of them.
    seed
        Decides the draw.

    Returns
    -------
    Target types x context types; larger is less similar.
    """
    rng = np.random.default_rng(seed)

    def sample(codes: np.ndarray) -> list[np.ndarray]:
        groups = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
        return [rng.choice(group, min(n_samples, len(group)), replace=False) for group in groups]

    here, there = sample(label), sample(context_label)
    at, columns = np.concatenate(here), np.concatenate(there)
    among = np.broadcast_to(np.arange(len(columns)), (len(at), len(columns)))
    values = similarity(net, cells.take(at), own[at], context[columns], among)
    rows = np.cumsum([0, *map(len, here)])
    splits = np.cumsum([0, *map(len, there)])
    return np.array(
        [[mode(values[a:b, c:d].ravel()) for c, d in pairwise(splits)] for a, b in pairwise(rows)]
    )


def mode(values: np.ndarray) -> float:
    """The mode of a sample by the half-sample method: the densest half, again and again.

    It needs no bandwidth and is not moved by a long tail.
    """
    values = np.sort(np.asarray(values, np.float64))
    if len(values) == 0 or not np.isfinite(values).all():
        raise InputError("mode needs at least one value and finite ones only.")
    while len(values) > 3:
        half = (len(values) + 1) // 2
        start = int(np.argmin(values[half - 1 :] - values[: len(values) - half + 1]))
        values = values[start : start + half]
    if len(values) == 3:
        left, right = values[1] - values[0], values[2] - values[1]
        values = values[:2] if left < right else values[1:] if right < left else values[1:2]
    return float(values.mean())
