"""The three steps of scSpecies: pre-train the context, find neighbors, align a target."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ...data.counts import CountBatch, ResidentCounts
from ...data.neighbors import agreeing, nearest, vote
from ...data.resident import CellArrays, ResidentCells, iterate
from ...data.source import Minibatch
from ...nn.scspecies.alignment import (
    AlignedNet,
    AlignmentOptions,
    AlignmentWeights,
    Candidates,
    ContextCells,
)
from ...nn.scspecies.gradients import FastForward, fast_gradients, has_fast_forward
from ...nn.scspecies.net import ScviNet, scvi_loss
from ...train.checkpoint import History
from ...train.loop import Callback, FitResult, FitSettings, fit
from ...train.schedules import ramp

logger = logging.getLogger(__name__)

INFERENCE_CHUNK = 2048
SEARCH_CHUNK = 128
# up to this many cells a data set is small (paper, Hyperparameters)
LARGE = 10_000


@dataclass(frozen=True)
class Weights:
    """Weights of the loss over the epochs; each rises linearly over ``n_warmup`` epochs.

    ``kl``: of the KL terms; ``eta``: of the paper's alignment term; ``mixing``: of the energy
    distance between the species' cells of a label.
    """

    kl: tuple[float, float] = (0.1, 1.0)
    eta: tuple[float, float] = (10.0, 25.0)
    mixing: tuple[float, float] = (0.0, 0.0)
    n_warmup: int = 10

    def at(self, epoch: int) -> AlignmentWeights:
        """The weights at ``epoch`` (from 0)."""
        pairs = (self.kl, self.eta, self.mixing)
        return AlignmentWeights(*(ramp(a, b, self.n_warmup, epoch) for a, b in pairs))


def default_epochs(n_cells: int) -> int:
    """30 epochs above 10,000 cells, else 60 (paper, Hyperparameters)."""
    return 30 if n_cells > LARGE else 60


def default_batch_size(n_cells: int) -> int:
    """128 (paper, Hyperparameters), less for small data, which need several steps per epoch."""
    return min(128, max(32, n_cells // 7))


def default_quantile(n_cells: int) -> float:
    """0.8 above 10,000 cells, else 0.2: small data need more cells for rare types to be represented."""
    return 0.8 if n_cells > LARGE else 0.2


def library_prior(cells: CellArrays, n_batches: int) -> Tensor:
    """Mean and standard deviation of the log total counts of every batch, n_batches x 2."""
    x: Any = cells.x
    total = np.log(np.maximum(np.asarray(x.sum(1), np.float64).ravel(), 1.0))
    batch = cells.categorical[:, 0]
    rows = []
    for code in range(n_batches):
        own = total[batch == code]
        own = own if len(own) else total
        rows.append((own.mean(), max(own.std(), 1e-2)))
    return torch.tensor(rows, dtype=torch.float32)


def homologous_fraction(cells: CellArrays, n_homologous: int) -> float:
    """Fraction of all counts that lie on the first ``n_homologous`` genes, kept off 0 and 1."""
    if n_homologous == cells.x.shape[1]:
        return 1.0
    x: Any = cells.x
    fraction = float(x[:, :n_homologous].sum() / max(x.sum(), 1.0))
    return min(max(fraction, 1e-3), 1 - 1e-3)


def pretrain(
    net: ScviNet,
    cells: CellArrays,
    device: torch.device,
    settings: FitSettings,
    weights: Weights,
    generator: torch.Generator,
    callbacks: Sequence[Callback] = (),
    identity: dict[str, Any] | None = None,
    earlier: History | None = None,
) -> FitResult:
    """Step 1: train the context's network."""

    def loss(batch: Minibatch, epoch: int, generator: torch.Generator, train: bool):
        return net.loss(batch.x, batch.categorical[:, 0], weights.at(epoch).kl, generator, train)

    if not has_fast_forward(net, device):
        resident = ResidentCells(cells, device)
        return fit(
            net, loss, resident, settings, generator, None, callbacks, identity, earlier=earlier
        )
    forward = FastForward(net)

    def fast_loss(batch: CountBatch, epoch: int, generator: torch.Generator):
        parts = forward(batch.counts, batch.batch, generator, True)
        return scvi_loss(*parts[2:], weights.at(epoch).kl)

    gradients = fast_gradients(net, forward, fast_loss)
    counts = ResidentCounts(cells.x, cells.categorical[:, 0])
    return fit(
        net,
        loss,
        counts,
        settings,
        generator,
        None,
        callbacks,
        identity,
        gradients,
        earlier=earlier,
    )


@torch.inference_mode()
def embed(
    net: ScviNet, cells: CellArrays, device: torch.device
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, mean, standard deviation and log library size of cells, without dropout."""
    parts = []
    for batch in iterate(cells, device, INFERENCE_CHUNK):
        code = batch.categorical[:, 0]
        values = (*net.encode(batch.x, code), net.log_library(batch.x, code))
        parts.append([v.cpu().numpy() for v in values])
    features, mean, std, log_library = (np.concatenate(p) for p in zip(*parts, strict=True))
    return features, mean, std, log_library


@dataclass(frozen=True)
class Neighborhood:
    """Step 2's result for a target: neighbors (n x k), their vote and its fraction (n), and who is aligned (n)."""

    index: np.ndarray
    label: np.ndarray
    agreement: np.ndarray
    kept: np.ndarray


def find_neighbors(
    target,
    context,
    context_label: np.ndarray,
    n_labels: int,
    k: int,
    quantile: float,
    at_least: int,
    device,
) -> Neighborhood:
    """Step 2: context neighbors of every target cell, on counts of the genes they share.

    Parameters
    ----------
    target, context
        Counts of the homologous genes, in the same order, n_target x H and n_context x H.
    context_label, n_labels
        Label codes of the context cells and the number of labels.
    k
        Number of neighbors.
    quantile, at_least
        See :func:`scsystems.data.neighbors.agreeing`.
    """
    index, _ = nearest(log1p(target), log1p(context), k, "cosine", device)
    label, agreement = vote(context_label[index], n_labels)
    return Neighborhood(index, label, agreement, agreeing(label, agreement, quantile, at_least))


def log1p(counts):
    """Log of counts plus one, sparse matrices staying sparse."""
    return counts.log1p() if sparse.issparse(counts) else np.log1p(counts)


class AlignmentObjective:
    """The loss that `fit` calls in step 3, with what has to be done once per epoch."""

    def __init__(self, aligned: AlignedNet, cells: ResidentCells, weights: Weights):
        self.aligned = aligned
        self.cells = cells
        self.weights = weights
        self.epoch: int | None = None
        kept = aligned.target_kept.nonzero()[:, 0]
        # alike cells of a batch beside each other share most of their candidates
        alike = (
            cells.categorical[kept, 0] * len(aligned.context_label) + aligned.target_index[kept, 0]
        )
        self.kept = kept[torch.argsort(alike)]

    def __call__(self, batch: Minibatch, epoch: int, generator: torch.Generator, train: bool):
        """The loss of a minibatch; prepares the epoch with its first one."""
        if train:
            self._begin(epoch, generator)
        weights = self.weights.at(epoch)
        return self.aligned.loss(
            batch.x, batch.categorical[:, 0], batch.index, weights, generator, train
        )

    def fast(self, forward: FastForward):
        """The same in training, with ``forward`` in place of the network's."""
        aligned = self.aligned

        def loss(batch: CountBatch, epoch: int, generator: torch.Generator):
            self._begin(epoch, generator)
            parts = forward(batch.counts, batch.batch, generator, aligned.options.inner_dropout)
            every_step = aligned.options.search_every == 0
            x = self.cells.gather(batch.index).x if every_step else None
            weights = self.weights.at(epoch)
            return aligned.loss_of(parts, x, batch.batch, batch.index, weights, generator)

        return loss

    def _begin(self, epoch: int, generator: torch.Generator) -> None:
        if epoch == self.epoch:
            return
        if self.aligned.options.searches_at(epoch) and self.weights.eta[1] > 0:
            self._visit(self.aligned.search, self.kept, SEARCH_CHUNK, generator)
        if self.weights.mixing[1] > 0:
            self.aligned.relabel()
        if self.epoch is None and epoch == 0 and self.weights.mixing[1] > 0:
            everyone = torch.arange(len(self.cells), device=self.cells.device)
            self._visit(self.aligned.embed, everyone, INFERENCE_CHUNK, generator)
        self.epoch = epoch

    def _visit(self, function, rows: Tensor, size: int, generator: torch.Generator) -> None:
        for index in rows.split(size):
            batch = self.cells.gather(index)
            function(batch.x, batch.categorical[:, 0], index, generator)


def align(
    net: ScviNet,
    cells: CellArrays,
    context: ContextCells,
    neighbors: Neighborhood,
    options: AlignmentOptions,
    device: torch.device,
    settings: FitSettings,
    weights: Weights,
    generator: torch.Generator,
    callbacks: Sequence[Callback] = (),
    identity: dict[str, Any] | None = None,
    earlier: History | None = None,
) -> FitResult:
    """Step 3: train the target's network, its inner encoder frozen where it is the context's."""
    candidates = Candidates(
        *(torch.as_tensor(a, device=device) for a in (neighbors.index, neighbors.kept))
    )
    aligned = AlignedNet(
        net, ContextCells(*(t.to(device) for t in context)), candidates, options
    ).to(device)
    fast = has_fast_forward(net, device)
    resident = ResidentCells(cells, device, "sparse" if fast else "auto")
    objective = AlignmentObjective(aligned, resident, weights)
    if not fast:
        return fit(
            aligned,
            objective,
            resident,
            settings,
            generator,
            None,
            callbacks,
            identity,
            earlier=earlier,
        )
    forward = FastForward(net)
    gradients = fast_gradients(aligned, forward, objective.fast(forward))
    counts = ResidentCounts(cells.x, cells.categorical[:, 0])
    return fit(
        aligned,
        objective,
        counts,
        settings,
        generator,
        None,
        callbacks,
        identity,
        gradients,
        earlier=earlier,
    )


@torch.inference_mode()
def decoded_counts(
    net: ScviNet, mean: np.ndarray, log_library: np.ndarray, genes: np.ndarray, device: torch.device
) -> np.ndarray:
    """Counts of cells as their decoder expects them, of ``genes``, averaged over batches; n x len(genes)."""
    net = net.to(device)
    columns = torch.as_tensor(genes, device=device)
    out = []
    for start in range(0, len(mean), INFERENCE_CHUNK):
        part = slice(start, start + INFERENCE_CHUNK)
        z = torch.as_tensor(mean[part], device=device)
        scale = torch.as_tensor(log_library[part], device=device).exp()[:, None]
        total = torch.zeros(len(z), len(genes), device=device)
        for code in range(net.sizes.n_batches):
            batch = torch.full((len(z),), code, device=device)
            total += net.decoder(z, batch).log_rho[:, columns].exp()
        out.append((total / net.sizes.n_batches * scale).cpu().numpy())
    return np.concatenate(out)
