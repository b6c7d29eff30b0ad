"""What the trainer sees of cells, wherever they lie: in memory, on a GPU, or on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Minibatch(NamedTuple):
    """The tensors of B cells on the training device."""

    x: Tensor
    system: Tensor
    categorical: Tensor | None
    continuous: Tensor | None
    weight: Tensor | None
    # the cells' positions in their source, to look up what else is known of each
    index: Tensor | None = None  # type: ignore[assignment]  # not tuple.index
    label: Tensor | None = None


class Shard(NamedTuple):
    """What one of ``n`` processes, the ``number``-th from 0, takes of cells that all of them have."""

    number: int = 0
    n: int = 1

    def of_epoch(self, n_cells: int) -> slice:
        """Which cells of an epoch's order: as many for every process; some that follow one another overlap by one."""
        size = -(-n_cells // self.n)
        start = self.number * (n_cells - size) // max(1, self.n - 1)
        return slice(start, start + size)

    def in_order(self, n_cells: int) -> slice:
        """Which cells of all, each in one process."""
        return slice(*(i * n_cells // self.n for i in (self.number, self.number + 1)))


# of a process that trains alone
WHOLE = Shard()


class BatchSource(Protocol):
    """Cells to draw minibatches from.

    An epoch is one or more blocks of cells; only one of them has to be on the device. While a
    block is there, `gather` takes the indices that came with it. Of several processes that train
    together each has all cells and takes its shard of an epoch; with a generator in the same state
    each of them gets as many minibatches, of one size, and all cells come in one of them at least.
    """

    device: torch.device
    n_genes: int
    # whether cells come and go, so that processes forked from this one do not see them
    in_blocks: bool

    def __len__(self) -> int:
        """Number of cells."""

    def epoch(
        self, batch_size: int, generator: torch.Generator, shard: Shard = WHOLE
    ) -> Iterator[Tensor]:
        """Blocks of one epoch in random order, each as the indices of its minibatches, steps x size.

        All minibatches of an epoch have the same size, at most ``batch_size`` and never a single
        cell, and every cell is in at least one.
        """

    def in_order(self, batch_size: int, shard: Shard = WHOLE) -> Iterator[Tensor]:
        """Indices of all cells once, in their order, at most ``batch_size`` at a time."""

    def gather(self, indices: Tensor) -> Any:
        """The minibatch of the cells at ``indices``, on the device, without synchronization."""


def steps_and_size(n_cells: int, batch_size: int) -> tuple[int, int]:
    """Number of minibatches in an epoch and their size.

    The size is as near below ``batch_size`` as divides the cells evenly, so that no minibatch is
    ever a single cell.
    """
    steps = -(-n_cells // batch_size)
    return steps, -(-n_cells // steps)


def epoch_schedule(
    n_cells: int, batch_size: int, generator: torch.Generator, device, shard: Shard = WHOLE
) -> Tensor:
    """Indices of one epoch of cells that are all there: steps x size, every cell at least once.

    What is missing to a full last minibatch (fewer cells than there are steps) is filled with
    cells of the epoch's beginning.
    """
    order = torch.randperm(n_cells, generator=generator, device=device)[shard.of_epoch(n_cells)]
    steps, size = steps_and_size(len(order), batch_size)
    filled = torch.cat([order, order[: steps * size - len(order)]])
    return filled.view(steps, size)
