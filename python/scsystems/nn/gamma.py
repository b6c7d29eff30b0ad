"""The gamma function's logarithm and derivative in few vectorized passes."""

from __future__ import annotations

import torch
from torch import Tensor

from .device import on_cpu

HALF_LOG_TWO_PI = 0.9189385332046727


def lgamma_digamma(z: Tensor) -> tuple[Tensor, Tensor]:
    """``log Gamma(z)`` and ``digamma(z)`` for z of at least 1.

    On the CPU in single precision torch's own go entry by entry. Here four steps of the
    recurrence lead to z + 4, where the first terms left out of the asymptotic series are below
    1e-8. With ``t = z (z + 3)`` the product of the four steps is ``t (t + 2)``.
    """
    if z.dtype != torch.float32 or not on_cpu(z):
        return torch.lgamma(z), torch.digamma(z)
    w = z + 4
    t = (w - 1).mul_(z)
    product = (t + 2).mul_(t)
    steps = (t + 1).div_(product).mul_(torch.add(w, z).sub_(1)).mul_(2)
    log_w, inverse = w.log(), w.reciprocal()
    square = inverse.square()
    digamma = (square / 252).sub_(1 / 120).mul_(square).add_(1 / 12).mul_(square).add_(steps)
    digamma.add_(inverse, alpha=0.5).neg_().add_(log_w)
    lgamma = (square / 1260).sub_(1 / 360).mul_(square).add_(1 / 12).mul_(inverse)
    lgamma.sub_(product.log_()).sub_(w).add_(HALF_LOG_TWO_PI).addcmul_(w.sub_(0.5), log_w)
    return lgamma, digamma
