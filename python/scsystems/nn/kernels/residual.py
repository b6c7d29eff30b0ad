"""Gaussian reconstruction: squares and the gradient of the mean, one pass over cells x genes."""

from __future__ import annotations

import torch
from torch import Tensor

from ..device import on_cpu


def residual_gradients(
    x: Tensor, mean: Tensor, inverse_std: Tensor, factor: float, d_mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums of squares of ``(x - mean) * inverse_std``, and the gradient of the mean.

    Parameters
    ----------
    x
        B x G.
    mean
        B x at least G, maybe in bfloat16.
    inverse_std
        G.
    factor
        Of the gradient.
    d_mean
        Written in its first G columns: ``factor * (x - mean) * inverse_std**2``, like ``mean``.

    Returns
    -------
    Sum of squares and sum of the gradient over cells, G each.
    """
    residual = mean[:, : x.shape[1]].to(x.dtype, copy=True)
    if on_cpu(x):
        from .residual_cpu import residual_pass

        squares, total = torch.zeros_like(inverse_std), torch.zeros_like(inverse_std)
        given = [t.numpy() for t in (x, residual, inverse_std)]
        residual_pass(*given, given[0].dtype.type(factor), squares.numpy(), total.numpy())
    else:
        torch.sub(x, residual, out=residual).mul_(inverse_std)
        squares = residual.square().sum(0)
        total = residual.mul_(inverse_std).mul_(factor).sum(0)
    d_mean[:, : x.shape[1]] = residual
    return squares, total
