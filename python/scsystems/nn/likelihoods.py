"""Densities, each summed over its last axis; constants that no parameter changes are left out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
    if log_var.dim() == 1:
        return _GeneVarianceNLL.apply(x, mean, log_var)
    scaled = (x - mean) * torch.exp(-0.5 * log_var)
    return 0.5 * (scaled.square().sum(-1) + log_var.sum(-1))


class _GeneVarianceNLL(torch.autograd.Function):
    """`gaussian_nll` with one variance per gene, with two B x G tensors instead of six."""

    @staticmethod
    def forward(ctx, x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        inverse_std = torch.exp(-0.5 * log_var)
        scaled = (x - mean).mul_(inverse_std)
        ctx.save_for_backward(scaled, inverse_std)
        return 0.5 * (torch.linalg.vector_norm(scaled, dim=-1).square() + log_var.sum())

    @staticmethod
    def backward(ctx, grad: Tensor):
        scaled, inverse_std = ctx.saved_tensors
        weighted = scaled * grad[:, None]
        # d/dlog_var = 0.5 * (1 - scaled^2), weighted by the cell's gradient and summed over cells
        to_log_var = 0.5 * (grad.sum() - torch.einsum("bg,bg->g", weighted, scaled))
        to_mean = weighted.mul_(inverse_std).neg_()
        return None, to_mean, to_log_var


def normal_log_density(z: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Elementwise log N(z; mean, var) without the constant 1/2 log(2 pi)."""
    return -0.5 * (torch.log(var) + (z - mean).square() / var)


def kl_standard_normal(mean: Tensor, var: Tensor) -> Tensor:
    """KL(N(mean, var) || N(0, 1)) in closed form, summed over the latent dimensions."""
    return 0.5 * (var + mean.square() - 1 - torch.log(var)).sum(-1)


def _gamma_terms(x: Tensor, log_theta: Tensor) -> Tensor:
    """``sum_g [log Gamma(x + theta) - log Gamma(theta) - log Gamma(x + 1)]`` per cell, B.

    Nothing is added where x = 0, so on the CPU, where gamma functions are slow, only the
    other entries are computed. A GPU computes all, since picking some would make it wait.
    """
    if x.device.type != "cpu":
        theta = log_theta.exp()
        return (torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)).sum(-1)
    rows, columns = x.nonzero(as_tuple=True)
    counts = x[rows, columns]
    theta = (log_theta[columns] if log_theta.dim() == 1 else log_theta[rows, columns]).exp()
    terms = torch.lgamma(counts + theta) - torch.lgamma(theta) - torch.lgamma(counts + 1)
    return x.new_zeros(len(x)).index_add(0, rows, terms)


def negative_binomial(x: Tensor, log_mean: Tensor, log_theta: Tensor) -> Tensor:
    """Log-probability of counts per cell, constants included.

    With ``u = log mu - log theta``: ``sum_g [x u - (x + theta) softplus(u)]`` plus gamma terms.

    Parameters
    ----------
    x
        Counts, B x G.
    log_mean
        Log of the mean mu, B x G.
    log_theta
        Log of the inverse dispersion theta (variance mu + mu^2 / theta), G or B x G.
    """
    u = log_mean - log_theta
    return (x * u - (x + log_theta.exp()) * F.softplus(u)).sum(-1) + _gamma_terms(x, log_theta)


def zero_inflated_negative_binomial(x: Tensor, log_mean: Tensor, log_theta: Tensor, zero_logits: Tensor) -> Tensor:
    """Log-probability of counts per cell when a gene is zero with probability sigmoid(zero_logits) besides.

    Parameters
    ----------
    x, log_mean, log_theta
        As in `negative_binomial`.
    zero_logits
        Logits of the extra zeros, B x G.
    """
    u = log_mean - log_theta
    spread = log_theta.exp() * F.softplus(u)  # -log NB(0)
    no_extra = -F.softplus(-zero_logits)
    zero = F.softplus(-spread - zero_logits) + no_extra
    positive = x * (u - F.softplus(u)) - spread - zero_logits + no_extra
    return torch.where(x == 0, zero, positive).sum(-1) + _gamma_terms(x, log_theta)


def kl_normal(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(prior_mean, prior_std^2)), elementwise."""
    ratio = std / prior_std
    return 0.5 * (ratio.square() + ((mean - prior_mean) / prior_std).square() - 1) - torch.log(ratio)
