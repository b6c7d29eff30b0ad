"""Prototype cells (median expression of a type) and the record of what they align to in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from ...data.disk import DiskMatrix
from ...data.resident import CellArrays
from ...nn.scspecies.alignment import candidate_log_prob
from ...nn.scspecies.net import ScviNet

# cells of a label on disk whose median is taken
MOST_CELLS = 4096


def prototypes(
    cells: CellArrays, label: np.ndarray, n_labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median counts of the cells of every label that occurs, and their most common batch.

    Of cells on disk that is of `MOST_CELLS` of each label, drawn at random.

    Returns
    -------
    Codes of the labels (P), counts (P x G, float32) and batch codes (P).
    """
    codes = np.flatnonzero(np.bincount(label, minlength=n_labels))
    counts, batch = [], []
    for code in codes:
        at = np.flatnonzero(label == code)
        if isinstance(cells.x, DiskMatrix) and len(at) > MOST_CELLS:
            at = np.sort(np.random.default_rng(0).choice(at, MOST_CELLS, replace=False))
        x: Any = cells.x[at]
        counts.append(np.median(x.toarray() if sparse.issparse(x) else x, axis=0))
        batch.append(np.bincount(cells.categorical[at, 0]).argmax())
    return codes, np.stack(counts).astype(np.float32), np.array(batch)


class PrototypeRecord:
    """Callback of step 3: after each epoch, how well context prototypes explain the target's.

    The value is the log-likelihood of a target prototype decoded from a context prototype,
    minus that decoded from its own latent mean, both by the target's decoder: 0 is as good as
    its own, and less is worse (paper, Figure 3).
    """

    def __init__(
        self,
        net: ScviNet,
        counts: np.ndarray,
        batch: np.ndarray,
        z: np.ndarray,
        names,
        context_names,
        device,
    ):
        self.net = net
        self.x = torch.as_tensor(counts, device=device)
        self.batch = torch.as_tensor(batch, device=device)
        self.z = torch.as_tensor(z, device=device)
        self.names, self.context_names = list(names), list(context_names)
        self.epochs: list[int] = []
        self.values: list[np.ndarray] = []

    @torch.no_grad()
    def __call__(self, epoch: int, max_epochs: int, losses: dict[str, float]) -> None:
        """Note the values after an epoch."""
        own = self.net.encode(self.x, self.batch).mean
        log_library = self.net.log_library(self.x, self.batch)
        n, n_context = len(self.x), len(self.z)
        z = torch.cat([self.z, own])
        among = torch.arange(n_context, device=z.device).expand(n, -1)
        among = torch.cat([among, n_context + torch.arange(n, device=z.device)[:, None]], 1)
        value = candidate_log_prob(self.net, self.x, log_library, self.batch, z, among)
        self.epochs.append(epoch)
        self.values.append((value[:, :-1] - value[:, -1:]).double().cpu().numpy())

    def frame(self) -> pd.DataFrame:
        """Long table: ``epoch`` (from 1), ``target_type``, ``context_type``, ``difference``."""
        index = pd.MultiIndex.from_product(
            [self.epochs, self.names, self.context_names],
            names=["epoch", "target_type", "context_type"],
        )
        values = np.concatenate([v.ravel() for v in self.values]) if self.values else np.zeros(0)
        return pd.DataFrame({"difference": values}, index=index).reset_index()
