"""All trainable parameters as one vector: the optimiser's pass becomes a single kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

# every parameter starts at a multiple of this many numbers, as vector units like it
ALIGNMENT = 16


@contextmanager
def flat_parameters(parameters: Sequence[nn.Parameter]) -> Iterator[nn.Parameter]:
    """Within the block the parameters and their gradients are views of one vector and its gradient.

    Gradients are always there: set them to zero before adding to them, or write over them.

    Parameters
    ----------
    parameters
        Parameters of one device and dtype.

    Yields
    ------
    The vector, with ``grad`` in place.
    """
    starts, n = [], 0
    for p in parameters:
        starts.append(n)
        n += -(-p.numel() // ALIGNMENT) * ALIGNMENT
    vector = nn.Parameter(parameters[0].new_zeros(n) if parameters else torch.zeros(0))
    vector.grad = torch.zeros_like(vector)
    for p, start in zip(parameters, starts, strict=True):
        here = slice(start, start + p.numel())
        values = vector.data[here].view(p.shape)
        values.copy_(p.data)
        p.data, p.grad = values, vector.grad[here].view(p.shape)
    try:
        yield vector
    finally:
        for p in parameters:
            p.data, p.grad = p.data.clone(), None
