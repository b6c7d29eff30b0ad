"""Hidden layers on the rows of one matrix, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..layers import HiddenLayer, HiddenStack, keep_scale

# numbers of genes are filled up to a multiple of this
MULTIPLE = 32


class Rows(NamedTuple):
    """Consecutive rows that share minibatch statistics; ``keep`` are their dropout masks per layer.

    Without ``keep`` they are evaluated: running statistics, no dropout.
    """

    at: slice
    keep: Sequence[Tensor | None] | None


class Product:
    """``x @ weight.T`` and its two gradients, in bfloat16 if ``reduced``.

    The copy of the weight in bfloat16 has zeros appended to a dimension of genes (``genes``: 0
    rows, 1 columns), up to a number that products like: odd numbers of genes cost up to twice
    the time. What is multiplied with it must have as many.
    """

    def __init__(self, weight: nn.Parameter, reduced: bool, genes: Literal[0, 1] | None = None):
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
        """Take over the weights that the optimiser has changed."""
        if self.reduced:
            self.low[self.inside] = self.weight
        else:
            self.low = self.weight.detach()

    def cast(self, x: Tensor) -> Tensor:
        """As products take it."""
        return x.to(self.dtype)

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


class Layer:
    """A `HiddenLayer` on the rows of one matrix, forwards and backwards."""

    def __init__(self, layer: HiddenLayer, n_rows: int, with_design: bool, of_genes: bool):
        self.layer, self.norm = layer, layer.norm
        self.product = Product(layer.weight, layer.reduced, 1 if of_genes else None)
        # dropout multiplies what it keeps; since ReLU keeps factors, BatchNorm can do that
        self.scale = keep_scale(layer.dropout_rate)
        new = layer.weight.new_empty
        width = len(layer.weight)
        self.pre, self.out = new(n_rows, width), new(n_rows, width)
        self.d_pre = new(n_rows, width, dtype=self.product.dtype)
        n_design = len(layer.covariate_weight) + 1 if with_design else 0
        self.d_injected = new(n_design, width) if with_design else None
        self.statistics: dict[int, Sequence[Tensor]] = {}

    def refresh(self) -> None:
        """Begin a step: take over the weights, forget gradients that are added to."""
        layer, norm = self.layer, self.norm
        self.product.refresh()
        # what is added for covariates and bias is one product with [design, 1]
        self.bias = layer.bias.detach()
        if self.d_injected is not None:
            self.injected = torch.cat([layer.covariate_weight.detach(), self.bias[None]])
            self.d_injected.zero_()
        plain = norm.weight.detach(), norm.bias.detach()
        scaled = plain if self.scale == 1 else tuple(w * self.scale for w in plain)
        self.norm_weights = {False: plain, True: scaled}
        self.d_norm: dict[bool, list[Tensor]] = {}

    def forward(self, product: Tensor, design: Tensor | None, part: Rows, keep: Tensor | None):
        """From the rows' product to their output, in ``out``."""
        pre, norm, train = self.pre[part.at], self.norm, part.keep is not None
        pre.copy_(product)
        if design is None:
            pre.add_(self.bias)
        else:
            pre.addmm_(design, self.injected)
        normed, *self.statistics[part.at.start] = torch.native_batch_norm(
            pre,
            *self.norm_weights[train],
            norm.running_mean,
            norm.running_var,
            train,
            norm.momentum,
            norm.eps,
        )
        out = torch.clamp_min(normed, 0, out=self.out[part.at])
        if keep is not None:
            out.mul_(keep)

    def backward(self, d_out: Tensor, design: Tensor | None, part: Rows) -> None:
        """From the gradient of the rows' output to that of their product, in ``d_pre``."""
        train = part.keep is not None
        d_pre, *d_norm = torch.ops.aten.native_batch_norm_backward(
            torch.ops.aten.threshold_backward(d_out, self.out[part.at], 0),
            self.pre[part.at],
            self.norm_weights[train][0],
            self.norm.running_mean,
            self.norm.running_var,
            *self.statistics[part.at.start],
            train,
            self.norm.eps,
            [True, True, True],
        )
        if train in self.d_norm:
            d_norm = [a.add_(b) for a, b in zip(self.d_norm[train], d_norm, strict=True)]
        self.d_norm[train] = d_norm
        if design is not None:
            self.d_injected.addmm_(design.t(), d_pre)
        self.d_pre[part.at] = d_pre

    def write_gradients(self, x: Tensor) -> None:
        """Gradients of the weights from all rows at once."""
        layer = self.layer
        self.product.write_weight_gradient(self.d_pre, x)
        if self.d_injected is None:
            layer.bias.grad.copy_(self.d_pre.sum(0))
        else:
            layer.covariate_weight.grad.copy_(self.d_injected[:-1])
            layer.bias.grad.copy_(self.d_injected[-1])
        for i, parameter in enumerate((self.norm.weight, self.norm.bias)):
            torch.mul(self.d_norm[True][i], self.scale, out=parameter.grad)
            if False in self.d_norm:
                parameter.grad.add_(self.d_norm[False][i])


class Stack:
    """A `HiddenStack` on the rows of one matrix."""

    def __init__(self, stack: HiddenStack, design_width: int, n_rows: int, of_genes: bool):
        self.stack = stack
        self.layers = [
            Layer(layer, n_rows, design_width > 0, of_genes and i == 0)
            for i, layer in enumerate(stack.layers)
        ]
        new = stack.layers[0].weight.new_ones
        self.design = new(n_rows, design_width + 1) if design_width else None
        # what each layer but the first takes, as its products want it
        self.inputs = [
            layer.layer.weight.new_empty(
                n_rows, layer.layer.weight.shape[1], dtype=layer.product.dtype
            )
            for layer in self.layers[1:]
        ]

    def set_design(self, at: slice, design: Tensor) -> None:
        """Covariates of some rows, if this stack sees any."""
        if self.design is not None:
            self.design[at, :-1] = design

    def refresh(self) -> None:
        """Begin a step."""
        for layer in self.layers:
            layer.refresh()

    def _design(self, part: Rows) -> Tensor | None:
        return None if self.design is None else self.design[part.at]

    def forward(self, x: Tensor | None, parts: Sequence[Rows], product: Tensor | None = None):
        """From the rows' input, or the first layer's product of it, to their hidden features."""
        span = slice(parts[0].at.start, parts[-1].at.stop)
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = self.inputs[i - 1][span].copy_(self.layers[i - 1].out[span])
            if i > 0 or product is None:
                product = layer.product.forward(x)
            for part in parts:
                rows = product[part.at.start - span.start : part.at.stop - span.start]
                keep = None if part.keep is None else part.keep[i]
                layer.forward(rows, self._design(part), part, keep)
        return self.layers[-1].out[span]

    def backward(self, d: Tensor, parts: Sequence[Rows]) -> Tensor:
        """From the gradient of hidden features to that of the first product."""
        start, stop = parts[0].at.start, parts[-1].at.stop
        for i in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[i]
            for part in parts:
                rows = d[part.at.start - start : part.at.stop - start]
                layer.backward(rows, self._design(part), part)
            if i > 0:
                d = layer.product.input_gradient(layer.d_pre[start:stop]).to(layer.pre.dtype)
        return self.layers[0].d_pre[start:stop]

    def write_gradients(self, x: Tensor) -> None:
        """Gradients of all weights; ``x`` is the first layer's input."""
        for layer, given in zip(self.layers, [x, *self.inputs], strict=True):
            layer.write_gradients(given)

    def design_gradient(self, at: slice) -> Tensor:
        """Gradient of rows of the design, which every layer takes."""
        return sum(
            layer.d_pre[at].to(layer.pre.dtype) @ layer.layer.covariate_weight.t()
            for layer in self.layers
        )
