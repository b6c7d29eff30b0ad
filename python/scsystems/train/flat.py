"""All trainable parameters as one vector: the optimizer's pass becomes a single kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from .parallel.shared import shared_zeros

# every parameter starts at a multiple of this many numbers, as vector units like it
ALIGNMENT = 16


class FlatParameters:
    """Parameters as views of ``vector``, their gradients as views of its gradient.

    Gradients are always there: set them to zero before adding to them, or write over them.

    Parameters
    ----------
    parameters
        Parameters of one device and dtype.
    n_processes
        Where this is more than 1, vector and gradients lie in memory that processes forked from
        this one share.
    n_beside
        How many numbers there are to lie behind the first gradient, to be sent along with it.

    Attributes
    ----------
    vector
        All parameters.
    gradients
        A gradient of the vector for every process; this process writes the first.
    beside, sent
        The numbers behind the first gradient, and both as one vector.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], n_processes: int = 1, n_beside: int = 0):
        self.parameters, self.places, n = parameters, [], 0
        for p in parameters:
            self.places.append(slice(n, n + p.numel()))
            n += -(-p.numel() // ALIGNMENT) * ALIGNMENT
        like = parameters[0].detach() if parameters else torch.zeros(0)
        new = like.new_zeros if n_processes == 1 else lambda *shape: shared_zeros(shape, like.dtype)
        self.vector, rows = nn.Parameter(new(n)), new(n_processes, n + n_beside)
        self.gradients, self.beside, self.sent = rows[:, :n], rows[0, n:], rows[0]
        for p, place in zip(parameters, self.places, strict=True):
            values = self.vector.data[place].view(p.shape)
            values.copy_(p.data)
            p.data = values
        # the gradients of the parameters, for each of the vector's
        self.views = [
            [row[place].view(p.shape) for p, place in zip(parameters, self.places, strict=True)]
            for row in self.gradients
        ]
        self.write_gradients_to(0)

    def write_gradients_to(self, row: int) -> None:
        """Which of ``gradients`` this process writes."""
        self.vector.grad = self.gradients[row]
        for p, gradient in zip(self.parameters, self.views[row], strict=True):
            p.grad = gradient

    def part(self, row: int) -> slice:
        """The part of the vector that goes with one of ``gradients``, where work on it is shared."""
        size = -(-len(self.vector) // (ALIGNMENT * len(self.gradients))) * ALIGNMENT
        return slice(row * size, (row + 1) * size)

    def release(self) -> None:
        """Give every parameter memory of its own again, without a gradient."""
        for p in self.parameters:
            p.data, p.grad = p.data.clone(), None


@contextmanager
def flat_parameters(
    parameters: Sequence[nn.Parameter], n_processes: int = 1, n_beside: int = 0
) -> Iterator[FlatParameters]:
    """`FlatParameters` for the time of the block."""
    flat = FlatParameters(parameters, n_processes, n_beside)
    try:
        yield flat
    finally:
        flat.release()
