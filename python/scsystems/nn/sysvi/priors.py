"""Priors of the latent space: standard normal, VampPrior, Gaussian mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

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


class Prior(nn.Module):
    """A distribution of the latent space.

    A new prior is a subclass in `PRIORS`; see there. ``of_cells`` says whether its components
    start from cells.
    """

    of_cells = False

    @classmethod
    def from_cells(
        cls, x: Tensor, design: Tensor, encode: Encode, trainable: bool, density: Density
    ) -> Prior:
        """Start from K cells: their expression (K x G) and covariates (K x n_total)."""
        raise NotImplementedError

    @classmethod
    def from_noise(
        cls, n_components: int, n_latent: int, generator: torch.Generator, *how: Any
    ) -> Prior:
        """Start at random; ``how`` is ``trainable`` and ``density``."""
        raise NotImplementedError

    @classmethod
    def empty(cls, n_components: int, sizes: Any, trainable: bool, density: Density) -> Prior:
        """The right shape for a network of ``sizes``, for weights to be loaded into."""
        raise NotImplementedError

    def kl(self, mean: Tensor, var: Tensor, z: Tensor, encode: Encode) -> Tensor:
        """KL(q || p) per cell, exact or from the sample ``z`` of q = N(mean, var), B x L each."""
        raise NotImplementedError


class StandardNormalPrior(Prior):
    """N(0, I)."""

    @classmethod
    def empty(cls, n_components: int, sizes: Any, trainable: bool, density: Density) -> Prior:
        """It has nothing to load."""
        return cls()

    def kl(self, mean: Tensor, var: Tensor, z: Tensor, encode: Encode) -> Tensor:
        """KL(q || N(0, I)) per cell in closed form; ``z`` and ``encode`` are not needed."""
        return kl_standard_normal(mean, var)


class MixturePrior(Prior):
    """What VampPrior and Gaussian mixture share: weights, density, one-sample KL."""

    of_cells = True

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

    @classmethod
    def from_cells(
        cls, x: Tensor, design: Tensor, encode: Encode, trainable: bool, density: Density
    ) -> Prior:
        """The cells are the first pseudoinputs."""
        return cls(x, design, trainable, density)

    @classmethod
    def empty(cls, n_components: int, sizes: Any, trainable: bool, density: Density) -> Prior:
        """Pseudoinputs of zeros."""
        x = torch.zeros(n_components, sizes.n_genes)
        design = torch.zeros(n_components, sizes.covariates.n_total)
        return cls(x, design, trainable, density)

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

    @classmethod
    def from_cells(
        cls, x: Tensor, design: Tensor, encode: Encode, trainable: bool, density: Density
    ) -> Prior:
        """The cells' posteriors are the first components."""
        return cls(*encode(x, Covariates(design=design)), trainable, density)

    @classmethod
    def from_noise(
        cls, n_components: int, n_latent: int, generator: torch.Generator, *how: Any
    ) -> Prior:
        """Means in [0, 1), variances of 1."""
        mean = torch.rand(n_components, n_latent, generator=generator)
        return cls(mean, torch.ones_like(mean), *how)

    @classmethod
    def empty(cls, n_components: int, sizes: Any, trainable: bool, density: Density) -> Prior:
        """Components of ones."""
        ones = torch.ones(n_components, sizes.n_latent)
        return cls(ones, ones, trainable, density)

    def components(self, encode: Encode) -> tuple[Tensor, Tensor]:
        """The free parameters; the encoder is not used."""
        return self.mean, self.log_var.exp()


# by the name that a user gives as ``prior``
PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormalPrior,
    "vamp": VampPrior,
    "gmm": GaussianMixturePrior,
}
