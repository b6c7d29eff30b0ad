"""The adversarial ablation (ADV): a classifier that tells the systems apart on the latent space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import linear


class _ReverseGradient(torch.autograd.Function):
    """Identity forwards; the gradient changes its sign backwards."""

    @staticmethod
    def forward(ctx, z: Tensor) -> Tensor:
        return z.view_as(z)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return -grad


class SystemClassifier(nn.Module):
    """Two hidden layers from z to the systems' logits.

    The classifier minimises the cross-entropy; through the reversed gradient the encoder
    maximises it, so one backward pass serves both (ADV in the sysVI paper, weight kappa).
    """

    def __init__(
        self, n_latent: int, n_systems: int, generator: torch.Generator, n_hidden: int = 32
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                linear(n_latent, n_hidden, generator),
                linear(n_hidden, n_hidden, generator),
                linear(n_hidden, n_systems, generator),
            ]
        )

    def forward(self, z: Tensor) -> Tensor:
        """B x L -> B x n_systems logits."""
        for layer in self.layers[:-1]:
            z = F.leaky_relu(layer(z))
        return self.layers[-1](z)

    def loss(self, z: Tensor, system: Tensor) -> Tensor:
        """Cross-entropy per cell; its gradient reaches ``z`` with the sign reversed."""
        return F.cross_entropy(self(_ReverseGradient.apply(z)), system, reduction="none")
