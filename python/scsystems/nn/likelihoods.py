"""Densities, each summed over its last axis; constants that no parameter changes are left out."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Gaussian negative log-likelihood per cell, without the constant G/2 log(2 pi).

    ``0.5 * sum_g [log v_g + (x_g - mu_g)^2 / v_g]``.

    Parameters
    ----------
    x, mean
        B x G.
    log_var
        B x G, or G when the variance is one learned value per gene.
    """
    scaled = (x - mean) * torch.exp(-0.5 * log_var)
    return 0.5 * (scaled.square().sum(-1) + log_var.sum(-1))


def normal_log_density(z: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Elementwise log N(z; mean, var) without the constant 1/2 log(2 pi)."""
    return -0.5 * (torch.log(var) + (z - mean).square() / var)


def kl_standard_normal(mean: Tensor, var: Tensor) -> Tensor:
    """KL(N(mean, var) || N(0, 1)) in closed form, summed over the latent dimensions."""
    return 0.5 * (var + mean.square() - 1 - torch.log(var)).sum(-1)
