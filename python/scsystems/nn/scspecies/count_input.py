"""From sparse counts to the encoder's first hidden layer, and back to the gradient of its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ...data.counts import Nonzeros
from ..kernels.product import MULTIPLE, Product
from .norm_layer import NormLayer


def filled_up(n: int) -> int:
    """The next number of cells that products like."""
    return -(-n // MULTIPLE) * MULTIPLE


class InputProduct:
    """The product of a layer over genes with its weight and bias.

    The gradient of the weight is written over the one that is there, and not added to it.
    """

    def __init__(self, layer: NormLayer, reduced: bool):
        self.layer = layer
        self.product = Product(layer.weight, reduced, 1)
        self.d = self.product.low.new_empty(0, 0)

    def __call__(self, seen: Tensor, n: int) -> Tensor:
        """Input as `CountInput` gives it -> B x n_out."""
        if len(self.d) != len(seen):
            self.d = self.product.low.new_zeros(len(seen), len(self.product.low))
        return _Product.apply(self.layer.bias, seen, n, self)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bias: Tensor, seen: Tensor, n: int, owner: InputProduct) -> Tensor:
        owner.product.refresh()
        ctx.seen, ctx.owner = seen, owner
        return owner.product.forward(seen)[:n] + bias

    @staticmethod
    def backward(ctx, grad: Tensor):
        d = ctx.owner.d
        d[: len(grad)] = grad
        d[len(grad) :] = 0
        ctx.owner.product.write_weight_gradient(d, ctx.seen)
        return grad.sum(0), None, None, None


class CountInput:
    """Cells as the encoder's products take them, in their number format, filled up with zeros."""

    def __init__(self, like: Product):
        self.like = like.low
        self.seen = self.like.new_empty(0, 0)

    def write(self, counts: Nonzeros, values: Tensor) -> Tensor:
        """The matrix with ``values`` where the counts are positive."""
        n, width = filled_up(counts.n_cells), self.like.shape[1]
        if len(self.seen) != n:
            self.seen = self.like.new_empty(n, width)
        at = counts.row * width + counts.column
        self.seen.zero_().view(-1).index_copy_(0, at, values.to(self.seen.dtype))
        return self.seen
