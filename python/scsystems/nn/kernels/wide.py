"""A linear layer over all genes in bfloat16 that spends little time on moving memory."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .product import Product


class WideLinear:
    """``x @ weight.T + bias`` in bfloat16, for a layer that is used once per training step.

    Where the weight has a gradient already (as in `flat_parameters`), the new one is written
    over it and not added to it.

    Parameters
    ----------
    weight, bias
        Parameters of the layer.
    genes
        Which dimension of the weight are genes: 0 (the layer's output) or 1 (its input).
    """

    def __init__(self, weight: Tensor, bias: Tensor, genes: Literal[0, 1]):
        self.product = Product(weight, True, genes)
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """B x n_in -> B x n_out, float32."""
        return _WideLinear.apply(x, self.product.weight, self.bias, self.product)


class _WideLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, product: Product) -> Tensor:
        product.refresh()
        x = _padded(x, product.low.shape[1])
        ctx.save_for_backward(x)
        ctx.product = product
        return product.forward(x)[:, : len(bias)] + bias

    @staticmethod
    def backward(ctx, grad: Tensor):
        (x,), product = ctx.saved_tensors, ctx.product
        n_out, n_in = product.weight.shape
        low = _padded(grad, len(product.low))
        to_x = product.input_gradient(low)[:, :n_in].float() if ctx.needs_input_grad[0] else None
        to_weight = None
        if ctx.needs_input_grad[1]:
            if product.weight.grad is None:
                to_weight = (low.t() @ x)[:n_out, :n_in].float()
            else:
                product.write_weight_gradient(low, x)
        return to_x, to_weight, grad.sum(0) if ctx.needs_input_grad[2] else None, None


def _padded(x: Tensor, width: int) -> Tensor:
    """In bfloat16, columns of zeros appended."""
    if x.shape[1] == width:
        return x.bfloat16()
    out = x.new_zeros(len(x), width, dtype=torch.bfloat16)
    out[:, : x.shape[1]] = x
    return out
