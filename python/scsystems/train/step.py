"""Epochs as steps: losses and gradient of minibatches, then the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ..data.source import BatchSource
from .adam import FlatAdam
from .flat import FlatParameters
from .parallel.distributed import Group, Replica
from .parallel.forked import Workers, forked_workers
from .parallel.shared import shared_zeros
from .parallel.statistics import SharedStatistics, shared_statistics

# (minibatch, epoch from 0, generator, whether the parameters are those of the last call, which may
# save work) -> named tuple of scalar losses, having written the gradient of every parameter; the
# minibatch is of whichever kind the source gives
Gradients = Callable[[Any, int, torch.Generator, bool], Any]


class Steps:
    """Training on one minibatch after the other.

    Parameters
    ----------
    gradients
        Losses of a minibatch, and its gradient.
    flat
        The parameters.
    cells
        Cells to train on.
    batch_size
        Cells in a minibatch.
    optimizer
        Of the parameters.
    generator
        The only source of randomness.
    clip
        Largest norm of a gradient; longer ones are scaled down to it.
    replica
        Where other processes of a group train the same network.
    """

    def __init__(
        self,
        gradients: Gradients,
        flat: FlatParameters,
        cells: BatchSource,
        batch_size: int,
        optimizer: torch.optim.Optimizer | FlatAdam,
        generator: torch.Generator,
        clip: float | None,
        replica: Replica | None = None,
    ):
        self.gradients, self.flat, self.cells = gradients, flat, cells
        self.batch_size, self.optimizer = batch_size, optimizer
        self.generator, self.clip, self.replica = generator, clip, replica
        # where processes that are forked later read it, too
        self.epoch = shared_zeros((1,), torch.int64)
        # losses added up over an epoch, in a place that a recorded step finds again
        self.names: Sequence[str] = ()
        self.sums: Tensor | None = None
        # the gradient that is written
        self.row = 0
        # where several processes train, see `together`
        self.workers: Workers | None = None
        self.statistics: SharedStatistics | None = None

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """All minibatches once; returns the mean losses."""
        self.epoch.fill_(epoch)
        if self.sums is not None:
            self.sums.zero_()
        n_steps = 0
        for block in self._blocks():
            n_steps += len(block)
            if self.workers is None:
                for indices in block:
                    self.step(indices)
            else:
                for minibatches in block.split(len(self.flat.gradients)):
                    self.step_together(minibatches)
        means = self.sums / n_steps
        if self.replica is not None:
            means = self.replica.group.add_up(means) / self.replica.group.n
        return named_losses(self.names, "train", means)

    def _blocks(self) -> Iterator[Tensor]:
        if self.replica is None:
            return self.cells.epoch(self.batch_size, self.generator)
        return self.replica.epoch(self.cells, self.batch_size)

    def step(self, indices: Tensor) -> None:
        """One step of the optimizer on the cells at ``indices``, and on those of other processes."""
        self.learn(indices)
        if self.replica is not None:
            self.replica.average()
        self.optimizer.step()

    def learn(self, indices: Tensor) -> None:
        """Gradient of the cells at ``indices``; adds the losses up."""
        self.add(self.gradient(0, indices, self.generator))

    def step_together(self, minibatches: Tensor) -> None:
        """One step of the optimizer along each minibatch's gradient, all taken at the same weights."""
        losses = self.workers.gradients(minibatches, self.generator)
        self.statistics.agree()
        adam = cast(FlatAdam, self.optimizer)
        self.workers.step(len(minibatches), adam.n_steps, adam.param_groups[0]["lr"])
        self.add(losses)

    def gradient(
        self, row: int, indices: Tensor, generator: torch.Generator, same_weights: bool = False
    ) -> Tensor:
        """Losses of the cells at ``indices``; writes one of the gradients.

        ``same_weights`` says that the weights are those of the gradient before.
        """
        if row != self.row:
            self.row = row
            self.flat.write_gradients_to(row)
            self.statistics.begin(row)
        cells = self.cells.gather(indices)
        parts = self.gradients(cells, int(self.epoch), generator, same_weights)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.flat.vector, self.clip)
        self.names = parts._fields
        return torch.stack([p.detach() for p in parts])

    def update(self, part: int, n_gradients: int, n_steps: int, lr: float) -> None:
        """Steps of a part of the parameters along several gradients."""
        adam = cast(FlatAdam, self.optimizer)
        adam.n_steps = n_steps
        adam.param_groups[0]["lr"] = lr
        adam.steps(self.flat.gradients[:n_gradients], part, self.flat.part(part))

    def record(self, recorded: Callable[[Callable[[Tensor], None], torch.Generator], Any]) -> None:
        """Run steps from a recording, but for what other processes take part in."""
        if self.replica is None:
            self.step = recorded(self.step, self.generator)  # type: ignore[method-assign]
        else:
            self.learn = recorded(self.learn, self.generator)  # type: ignore[method-assign]

    def add(self, losses: Tensor) -> None:
        """Add to the losses of the epoch."""
        if self.sums is None:
            self.sums = torch.zeros_like(losses)
        self.sums += losses


@contextmanager
def together(steps: Steps, net: nn.Module) -> Iterator[None]:
    """For the time of the block steps take as many minibatches as the parameters have gradients."""
    n = len(steps.flat.gradients)
    cast(FlatAdam, steps.optimizer).share(n)
    with (
        shared_statistics(net, n) as steps.statistics,
        forked_workers(n, steps.gradient, steps.update) as steps.workers,
    ):
        try:
            yield
        finally:
            steps.workers = None


@torch.no_grad()
def validate(
    loss: Callable[..., Any],
    cells: BatchSource,
    batch_size: int,
    generator: torch.Generator,
    epoch: int,
    group: Group | None = None,
) -> dict[str, float]:
    """Mean losses of cells that are not trained on, each of which is in one process of the group."""
    sums: Any = 0.0
    names: Sequence[str] = ()
    share = () if group is None else (group.share,)
    for indices in cells.in_order(batch_size, *share):
        parts = loss(cells.gather(indices), epoch, generator, False)
        sums, names = sums + torch.stack(tuple(parts)) * len(indices), parts._fields
    if group is not None:
        group.add_up(sums)
    return named_losses(names, "validation", sums / len(cells))


def named_losses(
    names: Sequence[str], part: Literal["train", "validation"], values: Tensor
) -> dict[str, float]:
    """History keys as users of scvi-tools know them: ``train_loss``, ``elbo_train``, ..."""
    keys = (f"{part}_loss" if name == "total" else f"{name}_{part}" for name in names)
    return dict(zip(keys, values.tolist(), strict=True))
