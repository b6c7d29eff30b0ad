"""Hidden layers on the rows of one matrix, forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..layers import HiddenStack
from .device import compiles_loops
from .layer import Layer, Rows


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
        layers: list[Any] = list(stack.layers)
        weight = layers[0].weight
        kind = Layer
        if compiles_loops(weight):
            from .layer_cpu import CompiledLayer as kind
        taken = [torch.bfloat16 if layer.reduced else weight.dtype for layer in layers[1:]]
        # covariates, and 1 for the bias
        self.design = weight.new_ones(n_rows, design_width + 1)
        self.layers = [
            kind(layer, self.design, of_genes and i == 0, taken_by)
            for i, (layer, taken_by) in enumerate(zip(layers, [*taken, dtype], strict=True))
        ]

    def set_design(self, at: slice, design: Tensor) -> None:
        """Covariates of some rows, if this stack sees any."""
        if self.design.shape[1] > 1:
            self.design[at, :-1] = design

    def refresh(self) -> None:
        """Take over the weights that the optimizer has changed."""
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
        parts = [layer.d_pre[at] @ layer.layer.covariate_weight.t() for layer in self.layers]
        return sum(parts[1:], parts[0])
