"""Hidden layers on the CPU: what lies between their products is one compiled loop each way."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .layer import Layer, Rows
from .norm import norm_backward, norm_forward


class CompiledLayer(Layer):
    """A `Layer` on the CPU."""

    def __init__(self, *args):
        super().__init__(*args)
        norm = self.norm
        names = ("design", "pre", "out", "d_pre", "injected", "d_injected")
        self.arrays = {name: getattr(self, name).numpy() for name in names}
        self.weight_arrays = {k: v.numpy() for k, v in self.norm_weights.items()}
        self.gradient_arrays = {k: v.numpy() for k, v in self.d_norm.items()}
        number = self.arrays["pre"].dtype.type
        self.options = number(norm.momentum), number(norm.eps)
        self.all_kept = np.ones(self.pre.shape, np.uint8)

    def forward(self, product: Tensor, part: Rows, keep: Tensor | None) -> None:
        """From the rows' product to their output, in ``out``."""
        arrays, at, train = self.arrays, part.at, part.keep is not None
        statistics: Any = np.empty((2, self.pre.shape[1]), arrays["pre"].dtype)
        self.statistics[at.start] = statistics
        norm_forward(
            product.to(self.pre.dtype).numpy(),
            arrays["design"][at],
            arrays["injected"],
            self.all_kept[at] if keep is None else keep.numpy(),
            *self.weight_arrays[train],
            self.norm.running_mean.numpy(),
            self.norm.running_var.numpy(),
            *self.options,
            train,
            *statistics,
            arrays["pre"][at],
            arrays["out"][at],
        )

    def backward(self, d_out: Tensor, part: Rows) -> None:
        """From the gradient of the rows' output to that of their product, in ``d_pre``."""
        arrays, at, train = self.arrays, part.at, part.keep is not None
        norm_backward(
            d_out.to(self.pre.dtype).numpy(),
            arrays["out"][at],
            arrays["pre"][at],
            arrays["design"][at],
            self.weight_arrays[train][0],
            train,
            *self.statistics[at.start],
            arrays["d_injected"],
            *self.gradient_arrays[train],
            arrays["d_pre"][at],
        )
