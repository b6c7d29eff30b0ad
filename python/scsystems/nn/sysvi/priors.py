"""Priors of the latent space: standard normal, VampPrior, Gaussian mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ..layers import Covariates
from ..likelihoods import kl_standard_normal, normal_log_density

Density = Literal["joint", "factorized"]
Encode = Callable[[Tensor, Covariates], tuple[Tensor, Tensor]]


def mixture_log_density(
    z: Tensor, mean: Tensor, var: Tensor, log_weight: Tensor, density: Density
) -> Tensor:
    """Log density of B points under K diagonal Gaussians, without constants.

    Parameters
    ----------
    z
        B x L.
    mean, var
        K x L.
    log_weight
        K, log mixture weights.
    density
        ``"joint"``: ``logsumexp_k [log w_k + sum_l log N(z_l; m_kl, v_kl)]``, a mixture of
        L-dimensional Gaussians, as in the VampPrior paper.
        ``"factorized"``: ``sum_l logsumexp_k [log w_k + log N(z_l; m_kl, v_kl)]``, a mixture
        in each latent dimension on its own, as public implementations of sysVI compute.
    """
    log_n = normal_log_density(z[None], mean[:, None], var[:, None])  # K x B x L
    if density == "joint":
        return torch.logsumexp(log_weight[:, None] + log_n.sum(-1), 0)
    return torch.logsumexp(log_weight[:, None, None] + log_n, 0).sum(-1)


class StandardNormalPrior(nn.Module):
    """N(0, I)."""

    def kl(self, mean: Tensor, var: Tensor, z: Tensor, encode: Encode) -> Tensor:
        """KL(q || N(0, I)) per cell in closed form; ``z`` and ``encode`` are not needed."""
        return kl_standard_normal(mean, var)


class MixturePrior(nn.Module):
    """What VampPrior and Gaussian mixture share: weights, density, one-sample KL."""

    def __init__(self, n_components: int, density: Density):
        super().__init__()
        self.density = density
        self.logits = nn.Parameter(torch.zeros(n_components))

    def components(self, encode: Encode) -> tuple[Tensor, Tensor]:
        """Means and variances of the components, K x L each."""
        raise NotImplementedError

    def log_weights(self) -> Tensor:
        """Log mixture weights, K."""
        return torch.log_softmax(self.logits, 0)

    def kl(self, mean: Tensor, var: Tensor, z: Tensor, encode: Encode) -> Tensor:
        """One-sample estimate ``log q(z|x) - log p(z)`` per cell."""
        log_q = normal_log_density(z, mean, var).sum(-1)
        m, v = self.components(encode)
        return log_q - mixture_log_density(z, m, v, self.log_weights(), self.density)


class VampPrior(MixturePrior):
    """Mixture of the posteriors of K pseudoinputs (Tomczak & Welling 2018).

    Parameters
    ----------
    x
        Expression of the pseudoinputs at the start, K x G.
    design
        Their covariates as real-valued vectors, K x n_total.
    trainable
        Whether pseudoinputs and their covariates are learned.
    density
        See `mixture_log_density`.
    """

    def __init__(self, x: Tensor, design: Tensor, trainable: bool, density: Density):
        super().__init__(len(x), density)
        self.x = nn.Parameter(x.clone(), requires_grad=trainable)
        self.design = nn.Parameter(design.clone(), requires_grad=trainable)

    def components(self, encode: Encode) -> tuple[Tensor, Tensor]:
        """Encode the pseudoinputs; ``encode`` must use running statistics and no dropout."""
        return encode(self.x, Covariates(design=self.design))


class GaussianMixturePrior(MixturePrior):
    """Mixture of K free diagonal Gaussians.

    Parameters
    ----------
    mean, var
        Start of the components, K x L each.
    trainable
        Whether they are learned.
    density
        See `mixture_log_density`.
    """

    def __init__(self, mean: Tensor, var: Tensor, trainable: bool, density: Density):
        super().__init__(len(mean), density)
        self.mean = nn.Parameter(mean.clone(), requires_grad=trainable)
        self.log_var = nn.Parameter(var.log(), requires_grad=trainable)

    def components(self, encode: Encode) -> tuple[Tensor, Tensor]:
        """The free parameters; the encoder is not used."""
        return self.mean, self.log_var.exp()
