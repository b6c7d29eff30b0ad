"""Aligning a target species to a context species: candidate search and the objective of step 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..likelihoods import negative_binomial_pairs
from .net import Expression, Posterior, ScviNet, draw

# added to squared distances
SMALLEST_SQUARE = 1e-8

AlignmentMode = Literal["intermediate", "latent"]


class ContextCells(NamedTuple):
    """Trained context cells: features (n x F), mean and std of z (n x L), label codes (n)."""

    features: Tensor
    mean: Tensor
    std: Tensor
    label: Tensor


class Candidates(NamedTuple):
    """Per target cell: its context neighbors, nearest first (n x k), and whether it is aligned (n)."""

    index: Tensor  # type: ignore[assignment]  # not tuple.index
    kept: Tensor


class AlignmentWeights(NamedTuple):
    """Weights of the parts of the loss at one epoch; ``eta`` belongs to the paper's term."""

    kl: float = 1.0
    eta: float = 25.0
    mixing: float = 0.0


class AlignmentLoss(NamedTuple):
    """The total to minimize and its parts, means over the minibatch; ``elbo`` is negative and unweighted."""

    total: Tensor
    elbo: Tensor
    reconstruction_loss: Tensor
    kl_local: Tensor
    kl_library: Tensor
    alignment_loss: Tensor
    mixing_loss: Tensor


@torch.no_grad()
def candidate_log_prob(
    net: ScviNet, x: Tensor, log_library: Tensor, batch: Tensor, z: Tensor, among: Tensor
) -> Tensor:
    """Log-likelihood of every cell's counts when it is decoded from each of its candidates.

    Candidates that several cells of a batch share are decoded once.

    Parameters
    ----------
    net
        The target's network.
    x, log_library, batch
        Counts (B x G), log library size (B) and batch codes (B) of target cells.
    z
        Latent vectors of context cells, n x L.
    among
        Rows of ``z`` that are each cell's candidates, B x K.

    Returns
    -------
    B x K.
    """
    n_batches = net.sizes.n_batches
    keys, at = torch.unique(among * n_batches + batch[:, None], return_inverse=True)
    rows, of_batch = keys // n_batches, keys % n_batches
    table = net.decoder(z[rows], of_batch)
    if net.sizes.likelihood == "nb" and net.sizes.dispersion != "cell":
        # the dispersion belongs to the cell's batch, whatever it is decoded from
        own = Expression(table.log_rho, *net.decoder.log_dispersion(None, batch), None)
        return negative_binomial_pairs(x, log_library, own.log_theta_of_cells(), own.log_rho, at)
    n, k = among.shape
    at = at.flatten()
    of_cell = torch.arange(n, device=x.device).repeat_interleave(k)
    theta = table.log_theta_of_cells()
    zero = None if table.zero_logits is None else table.zero_logits[at]
    pairs = Expression(table.log_rho[at], theta if theta.dim() == 1 else theta[at], None, zero)
    return net.log_prob(x[of_cell], log_library[of_cell], pairs).view(n, k)


def sample_same_label(
    label: Tensor,
    order: Tensor,
    start: Tensor,
    size: Tensor,
    n_samples: int,
    generator: torch.Generator | None,
) -> Tensor:
    """For every cell, rows of ``n_samples`` reference cells of its label, with replacement.

    Parameters
    ----------
    label
        Label codes of B cells.
    order, start, size
        Reference rows sorted by label, and where in them each label begins and how many it has.
    """
    fraction = torch.rand(len(label), n_samples, device=label.device, generator=generator)
    offset = (fraction * size[label][:, None]).long()
    # rounding of a fraction next to one must not reach into the next label
    offset = torch.minimum(offset, (size[label][:, None] - 1).clamp_min(0))
    return order[(start[label][:, None] + offset).clamp_max(len(order) - 1)]


class LabelIndex(nn.Module):
    """Rows of cells grouped by label, to draw cells of a label from."""

    order: Tensor
    size: Tensor
    start: Tensor

    def __init__(self, label: Tensor, n_labels: int, mask: Tensor | None = None):
        super().__init__()
        rows = (
            torch.arange(len(label), device=label.device) if mask is None else mask.nonzero()[:, 0]
        )
        order = rows[torch.argsort(label[rows], stable=True)]
        size = torch.bincount(label[rows], minlength=n_labels)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("size", size, persistent=False)
        self.register_buffer("start", size.cumsum(0) - size, persistent=False)

    def draw(self, label: Tensor, n_samples: int, generator: torch.Generator | None) -> Tensor:
        """B labels -> B x n_samples rows."""
        return sample_same_label(label, self.order, self.start, self.size, n_samples, generator)


@dataclass(frozen=True)
class AlignmentOptions:
    """How a target is aligned.

    Parameters
    ----------
    mode
        What is pulled together: intermediate features, or latent samples.
    search_every
        Epochs between searches for the best candidates; 0: one in every step (the paper).
        Until the first search a cell is aligned to its nearest neighbor in the data.
    inner_dropout
        Dropout in the inner encoder.
    n_mixing_samples
        Cells that every cell is compared with in the mixing term.
    """

    mode: AlignmentMode = "intermediate"
    search_every: int = 10
    inner_dropout: bool = False
    n_mixing_samples: int = 64

    def searches_at(self, epoch: int) -> bool:
        """Whether the candidates of all cells are looked for at the beginning of ``epoch``."""
        return self.search_every > 0 and epoch > 0 and epoch % self.search_every == 0


class AlignedNet(nn.Module):
    """A target's network with the context cells it is aligned to.

    Parameters
    ----------
    net
        The target's network.
    context
        Trained context cells.
    candidates
        Context neighbors of the target's cells, in the order of the training cells.
    options
        How to align.
    """

    context_features: Tensor
    context_mean: Tensor
    context_std: Tensor
    context_label: Tensor
    target_index: Tensor
    target_kept: Tensor
    chosen: Tensor
    latent: Tensor

    def __init__(
        self, net: ScviNet, context: ContextCells, candidates: Candidates, options: AlignmentOptions
    ):
        super().__init__()
        self.net = net
        self.options = options
        for name, value in context._asdict().items():
            self.register_buffer(f"context_{name}", value, persistent=False)
        for name, value in candidates._asdict().items():
            self.register_buffer(f"target_{name}", value, persistent=False)
        n = len(candidates.index)
        # saved with a checkpoint, so that a resumed run is the same run
        self.register_buffer("chosen", candidates.index[:, 0].clone())
        self.register_buffer(
            "latent", torch.zeros(n, context.mean.shape[1], device=context.mean.device)
        )
        self.n_labels = int(context.label.max()) + 1
        self.context_by_label = LabelIndex(context.label, self.n_labels)
        self.relabel()

    def relabel(self) -> None:
        """Give every target cell the label of its present best candidate, for the mixing term."""
        self.target_label = self.context_label[self.chosen]
        self.target_by_label = LabelIndex(self.target_label, self.n_labels, self.target_kept)

    def choose(
        self,
        x: Tensor,
        batch: Tensor,
        index: Tensor,
        log_library: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The context cell that explains each target cell best, B (paper, equations 19 and 20)."""
        among = self.target_index[index]
        z = draw(self.context_mean, self.context_std, generator)
        best = candidate_log_prob(self.net, x, log_library, batch, z, among).argmax(1)
        return among.gather(1, best[:, None])[:, 0]

    @torch.no_grad()
    def search(
        self, x: Tensor, batch: Tensor, index: Tensor, generator: torch.Generator | None
    ) -> None:
        """Find and keep the best candidates of the cells at ``index``."""
        self.chosen[index] = self.choose(x, batch, index, self.net.log_library(x, batch), generator)

    @torch.no_grad()
    def embed(
        self, x: Tensor, batch: Tensor, index: Tensor, generator: torch.Generator | None
    ) -> None:
        """Keep a latent sample of the cells at ``index``, for the mixing term."""
        posterior = self.net.encode(x, batch)
        self.latent[index] = draw(posterior.mean, posterior.std, generator)

    def loss(
        self,
        x: Tensor,
        batch: Tensor,
        index: Tensor,
        weights: AlignmentWeights,
        generator: torch.Generator,
        train: bool,
    ) -> AlignmentLoss:
        """Loss of a minibatch: negative ELBO + eta * alignment (paper, equation 21) + mixing.

        Parameters
        ----------
        x, batch, index
            Counts (B x G), batch codes (B) and positions among the training cells (B).
        """
        parts = self.net(x, batch, generator, train, train and self.options.inner_dropout)
        return self.loss_of(parts, x, batch, index, weights, generator)

    def loss_of(
        self,
        parts: tuple[Posterior, Tensor, Tensor, Tensor, Tensor],
        x: Tensor | None,
        batch: Tensor,
        index: Tensor,
        weights: AlignmentWeights,
        generator: torch.Generator,
    ) -> AlignmentLoss:
        """`loss` from what `ScviNet.forward` returns; ``x`` is needed by a search in every step only."""
        posterior, z, nll, kl, kl_library = parts
        kept = self.target_kept[index]
        alignment = (kept * self._distance(x, batch, index, kept, posterior, z, generator)).mean()
        mixing = nll.new_zeros(())
        if weights.mixing > 0:
            mixing = (kept * self._energy(z, index, generator)).mean()
        nll, kl, kl_library = nll.mean(), kl.mean(), kl_library.mean()
        total = (
            nll + weights.kl * (kl + kl_library) + weights.eta * alignment + weights.mixing * mixing
        )
        return AlignmentLoss(total, nll + kl + kl_library, nll, kl, kl_library, alignment, mixing)

    def _distance(
        self, x, batch, index, kept, posterior: Posterior, z: Tensor, generator
    ) -> Tensor:
        """Squared distance of each cell from its best candidate, B."""
        chosen = self.chosen[index]
        if self.options.search_every == 0:
            # cells that are not aligned need no search; a GPU would have to wait for their number
            rows = kept.nonzero()[:, 0] if x.device.type == "cpu" else slice(None)
            log_library = self.net.log_library(x[rows], batch[rows])
            chosen[rows] = self.choose(x[rows], batch[rows], index[rows], log_library, generator)
            self.chosen[index] = chosen
        if self.options.mode == "intermediate":
            return (posterior.features - self.context_features[chosen]).square().sum(1)
        there = draw(self.context_mean[chosen], self.context_std[chosen], generator)
        return (z - there).square().sum(1)

    def _energy(self, z: Tensor, index: Tensor, generator) -> Tensor:
        """Each cell's part of the energy distance between the two species' cells of its label, B.

        ``2 E|t - c| - E|t - t'|`` over context cells c and other target cells t' of the label;
        t' are latent samples kept from their last visit, hence the factor 2.
        """
        label = self.target_label[index]
        n = self.options.n_mixing_samples
        there = self.context_by_label.draw(label, n, generator)
        there = draw(_rows(self.context_mean, there), _rows(self.context_std, there), generator)
        here = _rows(self.latent, self.target_by_label.draw(label, n, generator))
        self.latent[index] = z.detach()
        return 2 * (mean_distance(z, there) - mean_distance(z, here))


def _rows(values: Tensor, at: Tensor) -> Tensor:
    """Rows of a matrix at B x n places, B x n x L; much faster on the CPU than indexing."""
    return values.index_select(0, at.flatten()).view(*at.shape, -1)


def mean_distance(z: Tensor, points: Tensor) -> Tensor:
    """Mean Euclidean distance of each z (B x L) from its n points (B x n x L), B; no gradient to the points."""
    return _MeanDistance.apply(z, points)


class _MeanDistance(torch.autograd.Function):
    """The gradient is the mean of the unit vectors: little is kept, and nothing computed twice."""

    @staticmethod
    def forward(ctx, z: Tensor, points: Tensor) -> Tensor:
        away = z[:, None] - points
        # the root of a sum of squares has no gradient at zero
        distance = torch.linalg.vecdot(away, away).add_(SMALLEST_SQUARE).sqrt_()
        n = points.shape[1]
        ctx.save_for_backward(torch.bmm((1 / n / distance)[:, None], away)[:, 0])
        return distance.mean(1)

    @staticmethod
    def backward(ctx, grad: Tensor):
        (unit,) = ctx.saved_tensors
        return grad[:, None] * unit, None
