"""A hidden layer on the rows of one matrix, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..layers import HiddenLayer, keep_scale
from .product import Product


class Rows(NamedTuple):
    """Consecutive rows that share minibatch statistics; ``keep`` are their dropout masks per layer.

    Without ``keep`` they are evaluated: running statistics, no dropout.
    """

    at: slice
    keep: Sequence[Tensor | None] | None


class Layer:
    """A `HiddenLayer` on the rows of one matrix, forwards and backwards.

    ``design`` has a row of covariates for each, the last of them 1. ``taken`` is ``out`` in the type
    that what comes next takes, ``d_low`` is ``d_pre`` in that of the product.
    """

    def __init__(self, layer: HiddenLayer, design: Tensor, of_genes: bool, dtype: torch.dtype):
        self.layer, self.norm, self.design = layer, layer.norm, design
        n_rows, n_design = design.shape
        self.product = Product(layer.weight, layer.reduced, 1 if of_genes else None)
        # dropout multiplies what it keeps; since ReLU keeps factors, BatchNorm can do that
        self.scale = keep_scale(layer.dropout_rate)
        new = layer.weight.new_empty
        width = len(layer.weight)
        self.pre, self.out, self.d_pre = (new(n_rows, width) for _ in range(3))
        self.taken = self.out.to(dtype)
        self.d_low = self.d_pre.to(self.product.dtype)
        # what is added for covariates and bias is one product with [design, 1]
        self.injected, self.d_injected = new(n_design, width), new(n_design, width)
        # by whether the rows are trained on: weight and bias of the norm, and their gradients
        self.norm_weights = {train: new(2, width) for train in (False, True)}
        self.d_norm = {train: new(2, width) for train in (False, True)}
        self.statistics: dict[int, Sequence[Tensor]] = {}

    def refresh(self) -> None:
        """Take over the weights that the optimizer has changed."""
        layer, norm = self.layer, self.norm
        self.product.refresh()
        # a stack that does not see covariates has no use for their weights
        self.injected[:-1] = layer.covariate_weight[: len(self.injected) - 1]
        self.injected[-1] = layer.bias
        for train, (weight, bias) in self.norm_weights.items():
            factor = self.scale if train else 1.0
            torch.mul(norm.weight, factor, out=weight)
            torch.mul(norm.bias, factor, out=bias)

    def begin(self) -> None:
        """Forget gradients that are added to."""
        for gradient in (self.d_injected, *self.d_norm.values()):
            gradient.zero_()

    def forward(self, product: Tensor, part: Rows, keep: Tensor | None) -> None:
        """From the rows' product to their output, in ``out``."""
        pre, norm, train = self.pre[part.at], self.norm, part.keep is not None
        torch.addmm(product.to(pre.dtype), self.design[part.at], self.injected, out=pre)
        weight, bias = self.norm_weights[train]
        normed, *self.statistics[part.at.start] = torch.native_batch_norm(
            pre,
            weight,
            bias,
            norm.running_mean,
            norm.running_var,
            train,
            norm.momentum,
            norm.eps,
        )
        out = torch.clamp_min(normed, 0, out=self.out[part.at])
        if keep is not None:
            out.mul_(keep)

    def backward(self, d_out: Tensor, part: Rows) -> None:
        """From the gradient of the rows' output to that of their product, in ``d_pre``."""
        train = part.keep is not None
        d_pre, *d_norm = torch.ops.aten.native_batch_norm_backward(
            torch.ops.aten.threshold_backward(d_out.to(self.pre.dtype), self.out[part.at], 0),
            self.pre[part.at],
            self.norm_weights[train][0],
            self.norm.running_mean,
            self.norm.running_var,
            *self.statistics[part.at.start],
            train,
            self.norm.eps,
            [True, True, True],
        )
        for total, gradient in zip(self.d_norm[train], d_norm, strict=True):
            total.add_(gradient)
        self.d_injected.addmm_(self.design[part.at].t(), d_pre)
        self.d_pre[part.at] = d_pre

    def write_gradients(self, x: Tensor) -> None:
        """Gradients of the weights from all rows at once."""
        layer = self.layer
        self.product.write_weight_gradient(self.d_low, x)
        layer.covariate_weight.grad[: len(self.d_injected) - 1] = self.d_injected[:-1]
        layer.bias.grad.copy_(self.d_injected[-1])
        parameters = (self.norm.weight, self.norm.bias)
        for parameter, trained, other in zip(
            parameters, self.d_norm[True], self.d_norm[False], strict=True
        ):
            torch.add(other, trained, alpha=self.scale, out=parameter.grad)
