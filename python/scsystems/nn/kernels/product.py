"""The product with a weight and its gradients, in bfloat16 where that is faster."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

# numbers of genes are filled up to a multiple of this
MULTIPLE = 32


class Product:
    """``x @ weight.T`` and its two gradients, in bfloat16 if ``reduced``.

    The copy of the weight in bfloat16 has zeros appended to a dimension of genes (``genes``: 0
    rows, 1 columns), up to a number that products like: odd numbers of genes cost up to twice
    the time. What is multiplied with it must have as many.
    """

    def __init__(self, weight: Tensor, reduced: bool, genes: Literal[0, 1] | None = None):
        self.weight, self.reduced = weight, reduced
        self.dtype = torch.bfloat16 if reduced else weight.dtype
        self.low = weight.detach()
        if reduced:
            shape = list(weight.shape)
            if genes is not None:
                shape[genes] = -(-shape[genes] // MULTIPLE) * MULTIPLE
            self.low = weight.new_zeros(shape, dtype=self.dtype)
            self.low_gradient = torch.empty_like(self.low)
        self.inside = tuple(slice(n) for n in weight.shape)

    def refresh(self) -> None:
        """Take over the weights that the optimizer has changed."""
        if self.reduced:
            self.low[self.inside] = self.weight
        else:
            self.low = self.weight.detach()

    def forward(self, x: Tensor) -> Tensor:
        """``x @ weight.T``."""
        return x @ self.low.t()

    def input_gradient(self, d: Tensor) -> Tensor:
        """From the gradient of the product to that of ``x``."""
        return d @ self.low

    def write_weight_gradient(self, d: Tensor, x: Tensor) -> None:
        """Overwrite the weight's gradient."""
        if self.reduced:
            torch.mm(d.t(), x, out=self.low_gradient)
            self.weight.grad.copy_(self.low_gradient[self.inside])
        else:
            torch.mm(d.t(), x, out=self.weight.grad)
