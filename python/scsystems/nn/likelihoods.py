"""Densities, each summed over its last axis; constants that no parameter changes are left out."""

from __future__ import annotations

import numpy as np
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
        # d/dlog_var = 0.5 * (1 - scaled^2), weighted by the cell's gradient and summed over cells
        to_log_var = 0.5 * (grad.sum() - grad @ scaled.square())
        to_mean = (scaled * grad[:, None]).mul_(inverse_std).neg_()
        return None, to_mean, to_log_var


def normal_log_density(z: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Elementwise log N(z; mean, var) without the constant 1/2 log(2 pi)."""
    return -0.5 * (torch.log(var) + (z - mean).square() / var)


def kl_standard_normal(mean: Tensor, var: Tensor) -> Tensor:
    """KL(N(mean, var) || N(0, 1)) in closed form, summed over the latent dimensions."""
    return 0.5 * (var + mean.square() - 1 - torch.log(var)).sum(-1)


# log(mu / theta) beyond this changes no probability but would overflow
LARGEST_LOG_RATIO = 80.0


def negative_binomial(x: Tensor, log_mean: Tensor, log_theta: Tensor) -> Tensor:
    """Log-probability of counts per cell, constants included.

    With ``u = log mu - log theta``: ``sum_g [x u - (x + theta) log(1 + e^u)]`` plus
    ``sum_g [log Gamma(x + theta) - log Gamma(theta) - log Gamma(x + 1)]``.

    Parameters
    ----------
    x
        Counts, B x G.
    log_mean
        Log of the mean mu, B x G.
    log_theta
        Log of the inverse dispersion theta (variance mu + mu^2 / theta), G or B x G.
    """
    return _NegativeBinomial.apply(x, log_mean, log_theta)


def negative_binomial_pairs(
    x: Tensor, log_library: Tensor, log_theta: Tensor, log_rho: Tensor, among: Tensor
) -> Tensor:
    """`negative_binomial` of every cell under each of K fractions picked from a common table.

    One elementwise pass per pair instead of the many of the general formula; no gradient.

    Parameters
    ----------
    x, log_library, log_theta
        Counts (B x G), log library size (B) and log inverse dispersion (G or B x G) of cells.
    log_rho
        Table of log expression fractions, U x G.
    among
        Rows of the table for every cell, B x K.

    Returns
    -------
    B x K.
    """
    theta = log_theta.exp()
    rho = log_rho.exp()
    pairs = rho[among.flatten()].view(*among.shape, -1)
    spread = pairs.mul_(log_library.exp()[:, None, None] / theta.unsqueeze(-2)).log1p_()
    value = -torch.matmul(spread, (x + theta)[:, :, None])[..., 0]
    value += (x @ log_rho.T).gather(1, among)
    constant = (x * (log_library[:, None] - log_theta)).sum(1) + _PositiveCounts(
        x, log_theta
    ).gamma_terms()
    return value.add_(constant[:, None])


class _NegativeBinomial(torch.autograd.Function):
    """Value and closed-form gradient in one pass: this is the largest elementwise cost of a step."""

    @staticmethod
    def forward(ctx, x: Tensor, log_mean: Tensor, log_theta: Tensor) -> Tensor:
        u = (log_mean - log_theta).clamp_max_(LARGEST_LOG_RATIO)
        ratio = u.exp()
        spread = ratio.log1p()
        theta = log_theta.exp()
        total = x + theta
        value = (x * u).sub_(total * spread).sum(-1)
        counts = _PositiveCounts(x, log_theta)
        value += counts.gamma_terms()
        if any(ctx.needs_input_grad):
            to_mean = torch.addcmul(x, total, ratio.div_(ratio + 1), value=-1)
            to_theta = None
            if ctx.needs_input_grad[2]:
                to_theta = counts.add_digamma_terms(spread.neg_()).mul_(theta).sub_(to_mean)
            ctx.save_for_backward(to_mean, to_theta)
            ctx.per_gene = log_theta.dim() == 1
        return value

    @staticmethod
    def backward(ctx, grad: Tensor):
        to_mean, to_theta = ctx.saved_tensors
        grad_theta = None
        if to_theta is not None:
            grad_theta = grad @ to_theta if ctx.per_gene else grad[:, None] * to_theta
        return None, grad[:, None] * to_mean, grad_theta


class _PositiveCounts:
    """Terms with gamma functions, which vanish where x = 0.

    On the CPU, where these functions are slow, only the other entries are computed. A GPU
    computes all, since picking some would make it wait.
    """

    def __init__(self, x: Tensor, log_theta: Tensor):
        self.shape, self.device = x.shape, x.device
        self.at = None
        if x.device.type == "cpu":
            # numpy finds them in a third of torch's time
            flat = torch.from_numpy(np.flatnonzero((x > 0).numpy()))
            rows = torch.div(flat, x.shape[1], rounding_mode="floor")
            columns = flat - rows * x.shape[1]
            self.at = rows, columns
            x = x.take(flat)
            log_theta = log_theta[columns] if log_theta.dim() == 1 else log_theta.take(flat)
        self.x, self.theta = x, log_theta.exp()

    def gamma_terms(self) -> Tensor:
        """``sum_g [log Gamma(x + theta) - log Gamma(theta) - log Gamma(x + 1)]``, B."""
        terms = (
            torch.lgamma(self.x + self.theta) - torch.lgamma(self.theta) - torch.lgamma(self.x + 1)
        )
        if self.at is None:
            return terms.sum(-1)
        return terms.new_zeros(self.shape[0]).index_add_(0, self.at[0], terms)

    def add_digamma_terms(self, to: Tensor) -> Tensor:
        """Add the derivative with respect to theta, in place, to a B x G tensor."""
        terms = torch.digamma(self.x + self.theta) - torch.digamma(self.theta)
        return to.add_(terms) if self.at is None else to.index_put_(self.at, terms, accumulate=True)


def zero_inflated_negative_binomial(
    x: Tensor, log_mean: Tensor, log_theta: Tensor, zero_logits: Tensor
) -> Tensor:
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
    return torch.where(x == 0, zero, positive).sum(-1) + _GammaTerms.apply(x, log_theta)


class _GammaTerms(torch.autograd.Function):
    """`_PositiveCounts.gamma_terms` with its derivative."""

    @staticmethod
    def forward(ctx, x: Tensor, log_theta: Tensor) -> Tensor:
        ctx.save_for_backward(x, log_theta)
        return _PositiveCounts(x, log_theta).gamma_terms()

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, log_theta = ctx.saved_tensors
        slope = (
            _PositiveCounts(x, log_theta).add_digamma_terms(torch.zeros_like(x)) * log_theta.exp()
        )
        return None, grad @ slope if log_theta.dim() == 1 else grad[:, None] * slope


def kl_normal(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(prior_mean, prior_std^2)), elementwise."""
    ratio = std / prior_std
    return 0.5 * (ratio.square() + ((mean - prior_mean) / prior_std).square() - 1) - torch.log(
        ratio
    )
