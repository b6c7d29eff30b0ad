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
        B x G, or G when the variance is one value per gene.
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


def negative_binomial(
    x: Tensor, log_mean: Tensor, log_theta: Tensor, batch: Tensor | None = None
) -> Tensor:
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
        Log of the inverse dispersion theta (variance mu + mu^2 / theta): G, or B x G, or a row
        per batch, n_batches x G, with ``batch``. ``u`` must stay below 88, the largest exponent.
    batch
        Batch codes, B.
    """
    return _NegativeBinomial.apply(x, log_mean, log_theta, batch)


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
    ratio, weight = log_library.exp()[:, None] / theta, x + theta
    value = torch.empty(among.shape, dtype=rho.dtype, device=rho.device)
    one = rho.new_ones(())
    # the pairs of one cell are few enough for a processor's cache, those of all cells are not
    size = 1 if rho.device.type == "cpu" else max(1, len(x))
    for start in range(0, len(x), size):
        at = slice(start, start + size)
        pairs = rho.index_select(0, among[at].flatten()).view(-1, among.shape[1], rho.shape[1])
        spread = torch.addcmul(one, pairs, ratio[at, None], out=pairs).log_()
        value[at] = -torch.matmul(spread, weight[at, :, None])[..., 0]
    value += (x @ log_rho.T).gather(1, among)
    counts = PositiveCounts(x, log_theta)
    constant = (x * (log_library[:, None] - log_theta)).sum(1)
    constant += counts.sum_rows(counts.gamma_terms())
    return value.add_(constant[:, None])


class _NegativeBinomial(torch.autograd.Function):
    """Value and closed-form gradient in few passes: the largest elementwise cost of a step."""

    @staticmethod
    def forward(
        ctx, x: Tensor, log_mean: Tensor, log_theta: Tensor, batch: Tensor | None
    ) -> Tensor:
        of_cell = log_theta if batch is None else log_theta[batch]
        theta = of_cell.exp()
        u = log_mean - of_cell
        counts = PositiveCounts(x, of_cell)
        u_there = counts.pick(u)
        ratio = u.exp_()
        spread = ratio.log1p()  # -log of the probability of success
        value = (spread * theta).sum(-1).neg_()
        value += counts.sum_rows(counts.x * (u_there - counts.pick(spread)) + counts.gamma_terms())
        if any(ctx.needs_input_grad):
            # minus the derivative with respect to log mu: theta s - x (1 - s), s = mu / (mu + theta)
            fraction = ratio.div_(ratio + 1)
            fraction_there = counts.pick(fraction)
            minus_to_mean = counts.add_to(fraction.mul_(theta), counts.x * (fraction_there - 1))
            to_theta = None
            if ctx.needs_input_grad[2]:
                to_theta = torch.addcmul(minus_to_mean, spread, theta, value=-1)
                counts.add_to(to_theta, counts.theta * counts.digamma_terms())
            ctx.save_for_backward(minus_to_mean, to_theta, batch)
            ctx.shape = log_theta.shape
        return value

    @staticmethod
    def backward(ctx, grad: Tensor):
        minus_to_mean, to_theta, batch = ctx.saved_tensors
        grad_theta = gradient_of_theta(grad, to_theta, batch, ctx.shape)
        return None, grad.neg()[:, None] * minus_to_mean, grad_theta, None


def gradient_of_theta(
    grad: Tensor, to_theta: Tensor | None, batch: Tensor | None, shape: torch.Size
) -> Tensor | None:
    """Sum of derivatives per cell and gene, ``grad`` weighting the cells, over those that share a value."""
    if to_theta is None:
        return None
    if len(shape) == 1:
        return grad @ to_theta
    if batch is None:
        return grad[:, None] * to_theta
    # a product with the few one-hot columns adds up the cells of each batch
    onehot = torch.zeros(len(grad), shape[0], device=grad.device, dtype=grad.dtype)
    return onehot.scatter_(1, batch[:, None], grad[:, None]).t() @ to_theta


def _gamma_is_slow(device: torch.device) -> bool:
    return device.type == "cpu"


class PositiveCounts:
    """What is added where x > 0 only, as all terms with gamma functions are.

    On the CPU, where these functions are slow, only these entries are computed. A GPU computes
    all, since picking some would make it wait.
    """

    def __init__(self, x: Tensor, log_theta: Tensor):
        self.shape = x.shape
        self.flat = None
        if _gamma_is_slow(x.device):
            # numpy finds them in a third of torch's time
            self.flat = torch.from_numpy(np.flatnonzero((x > 0).numpy()))
            self.rows = torch.div(self.flat, x.shape[1], rounding_mode="floor")
        self.x = self.pick(x)
        if log_theta.dim() == 1 and self.flat is not None:
            self.log_theta = log_theta[self.flat - self.rows * x.shape[1]]
        else:
            self.log_theta = self.pick(log_theta)
        self.theta = self.log_theta.exp()

    def pick(self, values: Tensor) -> Tensor:
        """The entries of B x G values where x > 0."""
        # a copy in either case: callers go on in place
        return values.clone() if self.flat is None else values.take(self.flat)

    def of_groups(self, values: Tensor, sizes: list[int]) -> Tensor:
        """Of B x groups values those of the entries' cells and groups of neighboring columns."""
        if self.flat is None:
            return values.repeat_interleave(torch.tensor(sizes, device=values.device), 1)
        ends = torch.tensor(sizes).cumsum(0)[:-1]
        group = torch.bucketize(self.flat - self.rows * self.shape[1], ends, right=True)
        return values[self.rows, group]

    def sum_rows(self, terms: Tensor) -> Tensor:
        """Sum of such terms per cell, B."""
        if self.flat is None:
            return terms.sum(-1)
        return terms.new_zeros(self.shape[0]).index_add_(0, self.rows, terms)

    def add_to(self, values: Tensor, terms: Tensor) -> Tensor:
        """Add such terms to B x G values, in place."""
        if self.flat is None:
            return values.add_(terms)
        values.view(-1).index_add_(0, self.flat, terms)
        return values

    def gamma_terms(self) -> Tensor:
        """``log Gamma(x + theta) - log Gamma(theta) - log Gamma(x + 1)``."""
        return (
            torch.lgamma(self.x + self.theta) - torch.lgamma(self.theta) - torch.lgamma(self.x + 1)
        )

    def digamma_terms(self) -> Tensor:
        """The derivative of the gamma terms with respect to theta."""
        return _digamma(self.x + self.theta) - _digamma(self.theta)


def _digamma(z: Tensor) -> Tensor:
    """digamma(z), z > 0, in some vectorized passes: torch's own goes entry by entry on the CPU.

    Six steps of the recurrence, then the asymptotic series, whose first term left out is below
    1e-9 there.
    """
    if z.dtype != torch.float32 or not _gamma_is_slow(z.device):
        return torch.digamma(z)
    # pairs of steps share a division: 1/z + 1/(z + 1) = (2z + 1) / (z (z + 1))
    shift = sum((2 * z + (2 * i + 1)).div_((z + i) * (z + (i + 1))) for i in (0, 2, 4))
    w = z + 6
    inverse = w.reciprocal()
    square = inverse.square()
    series = ((square / 252 - 1 / 120).mul_(square).add_(1 / 12)).mul_(square)
    return w.log_().sub_(inverse, alpha=0.5).sub_(series).sub_(shift)


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
    """`PositiveCounts.gamma_terms` with its derivative."""

    @staticmethod
    def forward(ctx, x: Tensor, log_theta: Tensor) -> Tensor:
        ctx.save_for_backward(x, log_theta)
        counts = PositiveCounts(x, log_theta)
        return counts.sum_rows(counts.gamma_terms())

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, log_theta = ctx.saved_tensors
        counts = PositiveCounts(x, log_theta)
        slope = counts.add_to(torch.zeros_like(x), counts.theta * counts.digamma_terms())
        return None, grad @ slope if log_theta.dim() == 1 else grad[:, None] * slope


def kl_normal(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(prior_mean, prior_std^2)), elementwise."""
    ratio = std / prior_std
    return 0.5 * (ratio.square() + ((mean - prior_mean) / prior_std).square() - 1) - torch.log(
        ratio
    )
