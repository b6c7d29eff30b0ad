"""All trainable parameters as one vector: the optimiser's pass becomes a single kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from .shared import shared_zeros

# every parameter starts at a multiple of this many numbers, as vector units like it
ALIGNMENT = 16


class FlatParameters:
    """Parameters as views of one vector, their gradients as views of its gradient.

    Gradients are always there: set them to zero before adding to them, or write over them.

    Parameters
    ----------
    parameters
        Parameters of one device and dtype.
    n_copies
        Where this is more than 1, other networks can have the same parameters and gradients of
        their own, all in memory that processes forked from this one share.

    Attributes
    ----------
    vectors
        The vector once for each copy, with its own ``grad``.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], n_copies: int = 1):
        self.places, n = [], 0
        for p in parameters:
            self.places.append(slice(n, n + p.numel()))
            n += -(-p.numel() // ALIGNMENT) * ALIGNMENT
        like = parameters[0].detach() if parameters else torch.zeros(0)
        new = like.new_zeros if n_copies == 1 else lambda *shape: shared_zeros(shape, like.dtype)
        values, gradients = new(n), new(n_copies, n)
        for p, place in zip(parameters, self.places, strict=True):
            values[place] = p.detach().flatten()
        self.vectors = [nn.Parameter(values) for _ in range(n_copies)]
        for vector, gradient in zip(self.vectors, gradients, strict=True):
            vector.grad = gradient
        self.attach(parameters, 0)

    def attach(self, parameters: Sequence[nn.Parameter], copy: int) -> None:
        """Make the same parameters of another network views of a copy."""
        vector = self.vectors[copy]
        for p, place in zip(parameters, self.places, strict=True):
            p.data, p.grad = (t[place].view(p.shape) for t in (vector.data, vector.grad))

    def part(self, copy: int) -> slice:
        """A share of the vector, where as many processes as there are copies work on it."""
        size = -(-len(self.vectors[0]) // (ALIGNMENT * len(self.vectors))) * ALIGNMENT
        return slice(copy * size, (copy + 1) * size)


@contextmanager
def flat_parameters(
    parameters: Sequence[nn.Parameter], n_copies: int = 1
) -> Iterator[FlatParameters]:
    """`FlatParameters` for the time of the block; then every parameter has memory of its own again."""
    try:
        yield FlatParameters(parameters, n_copies)
    finally:
        for p in parameters:
            p.data, p.grad = p.data.clone(), None
