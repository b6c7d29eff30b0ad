"""Running statistics of BatchNorm where copies of a network train at the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .shared import shared_zeros


class SharedStatistics:
    """Running means and variances of a network and its copies, a row of one matrix each.

    The matrix lies in memory that processes forked from this one share.

    Parameters
    ----------
    net
        Its ``BatchNorm1d`` layers keep running statistics.
    n_copies
        Number of rows; ``net`` has the first.
    """

    def __init__(self, net: nn.Module, n_copies: int):
        present = torch.cat([b.flatten() for b in _buffers(net)] or [torch.zeros(0)])
        self.agreed = present.clone()
        self.rows = shared_zeros((n_copies, len(present)), present.dtype)
        self.rows.copy_(present)
        self.attach(net, 0)

    def attach(self, net: nn.Module, copy: int) -> None:
        """Let a copy of the network keep its statistics in a row."""
        buffers = _buffers(net)
        values = self.rows[copy].split([b.numel() for b in buffers])
        for buffer, own in zip(buffers, values, strict=True):
            buffer.data = own.view(buffer.shape)

    def agree(self) -> None:
        """Give all copies what each has learned from its minibatch.

        Each moves the statistics by momentum times the difference to its minibatch's; the sum of
        these is what the minibatches would have done one after the other, but for terms of the
        square of the momentum (0.01).
        """
        self.agreed += (self.rows - self.agreed).sum(0)
        self.rows.copy_(self.agreed)


@contextmanager
def shared_statistics(net: nn.Module, n_copies: int) -> Iterator[SharedStatistics]:
    """`SharedStatistics` for the time of the block; then the network has memory of its own again."""
    try:
        yield SharedStatistics(net, n_copies)
    finally:
        for buffer in _buffers(net):
            buffer.data = buffer.data.clone()


def _buffers(net: nn.Module) -> list[Tensor]:
    return [
        buffer
        for layer in net.modules()
        if isinstance(layer, nn.BatchNorm1d)
        for buffer in (layer.running_mean, layer.running_var)
    ]
