"""Running statistics of BatchNorm where several processes train at the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .shared import shared_zeros


def norm_statistics(net: nn.Module) -> list[Tensor]:
    """Running means and variances of the ``BatchNorm1d`` layers of a network."""
    return [
        buffer
        for layer in net.modules()
        if isinstance(layer, nn.BatchNorm1d)
        for buffer in (layer.running_mean, layer.running_var)
    ]


def learned_beside(net: nn.Module) -> list[Tensor]:
    """All that a minibatch changes in a network, but for what the optimizer does along its gradient."""
    by_itself = [m for m in net.modules() if getattr(m, "learns_by_itself", False)]
    others = [t.detach() for m in by_itself for t in (*m.parameters(), *m.buffers())]
    return norm_statistics(net) + others


class SharedStatistics:
    """Running means and variances of a network, those of every process a row of one matrix.

    Parameters
    ----------
    net
        Its ``BatchNorm1d`` layers keep running statistics.
    n_processes
        Number of rows; this process writes the first.
    """

    def __init__(self, net: nn.Module, n_processes: int):
        self.buffers = norm_statistics(net)
        present = torch.cat([b.flatten() for b in self.buffers] or [torch.zeros(0)])
        self.agreed = shared_zeros(present.shape, present.dtype).copy_(present)
        self.rows = shared_zeros((n_processes, len(present)), present.dtype)
        self.rows.copy_(present)
        sizes = [b.numel() for b in self.buffers]
        self.views = [
            [v.view(b.shape) for v, b in zip(row.split(sizes), self.buffers, strict=True)]
            for row in self.rows
        ]
        self.write_to(0)

    def write_to(self, row: int) -> None:
        """Which row this process writes."""
        for buffer, values in zip(self.buffers, self.views[row], strict=True):
            buffer.data = values

    def begin(self, row: int) -> None:
        """Write a row from what is agreed on, also where another process has begun it."""
        self.rows[row] = self.agreed
        self.write_to(row)

    def agree(self) -> None:
        """Give all processes what each has learned from its minibatch.

        Each moves the statistics by momentum times the difference to its minibatch's; the sum of
        these is what the minibatches would have done one after the other, but for terms of the
        square of the momentum (0.01).
        """
        self.agreed += (self.rows - self.agreed).sum(0)
        self.rows.copy_(self.agreed)

    def release(self) -> None:
        """Give every layer memory of its own again."""
        for buffer in self.buffers:
            buffer.data = buffer.data.clone()


@contextmanager
def shared_statistics(net: nn.Module, n_processes: int) -> Iterator[SharedStatistics]:
    """`SharedStatistics` for the time of the block."""
    statistics = SharedStatistics(net, n_processes)
    try:
        yield statistics
    finally:
        statistics.release()
