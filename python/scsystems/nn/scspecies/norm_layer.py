"""The hidden layer of scSpecies: product, LayerNorm, ReLU, dropout."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import relu_dropout, uniform_


class NormLayer(nn.Module):
    """Linear, LayerNorm, ReLU, Dropout; the batch may add its own weights to the product."""

    def __init__(
        self, n_in: int, n_out: int, n_batches: int, dropout_rate: float, generator: torch.Generator
    ):
        super().__init__()
        fan_in = n_in + n_batches
        self.dropout_rate = dropout_rate
        # stands in for the product while training in bfloat16, see `reduced_precision`
        self.wide: Callable[[Tensor], Tensor] | None = None
        self.weight = nn.Parameter(uniform_(torch.empty(n_out, n_in), fan_in, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(n_out), fan_in, generator))
        self.batch_weight = None
        if n_batches:
            self.batch_weight = nn.Parameter(
                uniform_(torch.empty(n_batches, n_out), fan_in, generator)
            )
        self.norm = nn.LayerNorm(n_out)

    def forward(
        self,
        x: Tensor,
        batch: Tensor | None = None,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """B x n_in and batch codes (B) -> B x n_out."""
        h = F.linear(x, self.weight, self.bias) if self.wide is None else self.wide(x)
        return self.of_product(h, batch, train, generator)

    def of_product(
        self, h: Tensor, batch: Tensor | None, train: bool, generator: torch.Generator | None
    ) -> Tensor:
        """What follows on the product with weight and bias, B x n_out."""
        if self.batch_weight is not None:
            h = h + F.embedding(batch, self.batch_weight)
        h = self.norm(h)
        return relu_dropout(h, self.dropout_rate, generator) if train else F.relu(h)
