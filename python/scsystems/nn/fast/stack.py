"""Hidden layers on the rows of one matrix, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..layers import HiddenLayer, HiddenStack, keep_scale
from .device import compiles_loops

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
        """Take over the weights that the optimiser has changed."""
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


class Stack:
    """A `HiddenStack` on the rows of one matrix.

    Parameters
    ----------
    stack
        Its parameters have a ``grad``.
    design_width
        Number of columns of the covariates, 0 if the stack does not see them.
    n_rows
        Rows of the matrix.
    of_genes
        Whether the first layer takes genes.
    dtype
        Of the hidden features.
    """

    def __init__(
        self,
        stack: HiddenStack,
        design_width: int,
        n_rows: int,
        of_genes: bool,
        dtype: torch.dtype,
    ):
        self.stack = stack
        weight = stack.layers[0].weight
        kind = Layer
        if compiles_loops(weight):
            from .stack_cpu import CompiledLayer as kind
        taken = [torch.bfloat16 if layer.reduced else weight.dtype for layer in stack.layers[1:]]
        # covariates, and 1 for the bias
        self.design = weight.new_ones(n_rows, design_width + 1)
        self.layers = [
            kind(layer, self.design, of_genes and i == 0, taken_by)
            for i, (layer, taken_by) in enumerate(zip(stack.layers, [*taken, dtype], strict=True))
        ]

    def set_design(self, at: slice, design: Tensor) -> None:
        """Covariates of some rows, if this stack sees any."""
        if self.design.shape[1] > 1:
            self.design[at, :-1] = design

    def refresh(self) -> None:
        """Take over the weights that the optimiser has changed."""
        for layer in self.layers:
            layer.refresh()

    def begin(self) -> None:
        """Begin a step: forget the gradients of the one before."""
        for layer in self.layers:
            layer.begin()

    def forward(
        self, x: Tensor | None, parts: Sequence[Rows], product: Tensor | None = None
    ) -> Tensor:
        """From the rows' input, or the first layer's product of it, to their hidden features."""
        span = slice(parts[0].at.start, parts[-1].at.stop)
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = self.layers[i - 1].taken[span]
            if i > 0 or product is None:
                product = layer.product.forward(x)
            for part in parts:
                rows = product[part.at.start - span.start : part.at.stop - span.start]
                keep = None if part.keep is None else part.keep[i]
                layer.forward(rows, part, keep)
            if layer.taken is not layer.out:
                layer.taken[span] = layer.out[span]
        return self.layers[-1].taken[span]

    def backward(self, d: Tensor, parts: Sequence[Rows]) -> Tensor:
        """From the gradient of hidden features to that of the first product."""
        start, stop = parts[0].at.start, parts[-1].at.stop
        for i in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[i]
            for part in parts:
                rows = d[part.at.start - start : part.at.stop - start]
                layer.backward(rows, part)
            if layer.d_low is not layer.d_pre:
                layer.d_low[start:stop] = layer.d_pre[start:stop]
            if i > 0:
                d = layer.product.input_gradient(layer.d_low[start:stop])
        return self.layers[0].d_low[start:stop]

    def write_gradients(self, x: Tensor) -> None:
        """Gradients of all weights; ``x`` is the first layer's input."""
        for layer, given in zip(
            self.layers, [x, *(before.taken for before in self.layers[:-1])], strict=True
        ):
            layer.write_gradients(given)

    def design_gradient(self, at: slice) -> Tensor:
        """Gradient of rows of the design, which every layer takes."""
        return sum(layer.d_pre[at] @ layer.layer.covariate_weight.t() for layer in self.layers)
