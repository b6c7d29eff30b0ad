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


class BatchSource(Protocol):
    """Cells to draw minibatches from.

    An epoch is one or more blocks of cells; only one of them has to be on the device. While a
    block is there, `gather` takes the indices that came with it.
    """

    device: torch.device
    n_genes: int
    # whether cells come and go, so that processes forked from this one do not see them
    in_blocks: bool

    def __len__(self) -> int:
        """Number of cells."""

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Blocks of one epoch in random order, each as the indices of its minibatches, steps x size.

        All minibatches of an epoch have the same size, at most ``batch_size`` and never a single
        cell, and every cell is in at least one.
        """

    def in_order(self, batch_size: int) -> Iterator[Tensor]:
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


def epoch_schedule(n_cells: int, batch_size: int, generator: torch.Generator, device) -> Tensor:
    """Indices of one epoch of cells that are all there: steps x size, every cell at least once.

    What is missing to a full last minibatch (fewer cells than there are steps) is filled with
    cells of the epoch's beginning.
    """
    steps, size = steps_and_size(n_cells, batch_size)
    order = torch.randperm(n_cells, generator=generator, device=device)
    filled = torch.cat([order, order[: steps * size - n_cells]])
    return filled.view(steps, size)
