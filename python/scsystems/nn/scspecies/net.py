"""The base model of scSpecies: a conditional VAE on counts (scVI) with a split encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import linear
from ..likelihoods import (
    kl_normal,
    kl_standard_normal,
    negative_binomial,
    zero_inflated_negative_binomial,
)
from .norm_layer import NormLayer
from .softmax_counts import softmax_negative_binomial

Likelihood = Literal["nb", "zinb"]
Dispersion = Literal["dataset", "batch", "cell"]
Library = Literal["observed", "encoder"]
EncoderInput = Literal["log1p", "counts"]

# exp of a log-std or log-dispersion beyond this range is of no use and overflows in products
LOG_RANGE = 10.0


@dataclass(frozen=True)
class ScviSizes:
    """Everything that decides the shape of the weights and the forward pass of one species.

    The ``n_homologous`` genes come first. ``homologous_fraction`` is the fraction of expression that
    they get: the decoder's fractions sum to it over them, and to the rest over the others.
    """

    n_genes: int
    n_homologous: int
    n_batches: int
    homologous_fraction: float
    n_latent: int = 10
    n_features: int = 300
    n_hidden: int = 200
    dropout_rate: float = 0.1
    likelihood: Likelihood = "nb"
    dispersion: Dispersion = "batch"
    library: Library = "observed"
    encoder_input: EncoderInput = "log1p"


class Expression(NamedTuple):
    """What the decoder says of B cells.

    ``log_rho`` (B x G): log expression fractions; ``log_theta``: log inverse dispersion, G, or
    B x G, or n_batches x G with ``batch`` (B) saying which row is whose; ``zero_logits`` (B x G,
    or ``None`` without zero inflation).
    """

    log_rho: Tensor
    log_theta: Tensor
    batch: Tensor | None
    zero_logits: Tensor | None

    def log_theta_of_cells(self) -> Tensor:
        """Log inverse dispersion, G or B x G."""
        return self.log_theta if self.batch is None else F.embedding(self.batch, self.log_theta)


class Posterior(NamedTuple):
    """Intermediate features h (B x F) and mean and standard deviation of z (B x L)."""

    features: Tensor
    mean: Tensor
    std: Tensor


class ScviLoss(NamedTuple):
    """The total to minimize and its parts, means over the minibatch; ``elbo`` is negative and unweighted."""

    total: Tensor
    elbo: Tensor
    reconstruction_loss: Tensor
    kl_local: Tensor
    kl_library: Tensor


class InnerEncoder(nn.Module):
    """From intermediate features to the posterior of z; shared between species when frozen."""

    def __init__(self, sizes: ScviSizes, generator: torch.Generator):
        super().__init__()
        self.hidden = NormLayer(sizes.n_features, sizes.n_hidden, 0, sizes.dropout_rate, generator)
        self.mean = linear(sizes.n_hidden, sizes.n_latent, generator)
        self.log_std = linear(sizes.n_hidden, sizes.n_latent, generator)

    def forward(
        self, features: Tensor, train: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """B x F -> mean and standard deviation, B x L each."""
        h = self.hidden(features, None, train, generator)
        return self.mean(h), self.log_std(h).clamp(-LOG_RANGE, LOG_RANGE).exp()


class LibraryEncoder(nn.Module):
    """Posterior of the log library size."""

    def __init__(self, sizes: ScviSizes, generator: torch.Generator):
        super().__init__()
        self.hidden = NormLayer(
            sizes.n_genes, sizes.n_hidden, sizes.n_batches, sizes.dropout_rate, generator
        )
        self.out = linear(sizes.n_hidden, 2, generator)

    def forward(
        self,
        x: Tensor,
        batch: Tensor,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, B each."""
        return self.of_hidden(self.hidden(x, batch, train, generator))

    def of_hidden(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation from the hidden layer, B each."""
        mean, log_std = self.out(hidden).unbind(1)
        return mean, log_std.clamp(-LOG_RANGE, LOG_RANGE).exp()


class Decoder(nn.Module):
    """From z and batch to expression fractions, dispersion and zero inflation."""

    def __init__(self, sizes: ScviSizes, generator: torch.Generator):
        super().__init__()
        self.n_homologous = sizes.n_homologous
        self.fraction = sizes.homologous_fraction
        rate = sizes.dropout_rate
        self.first = NormLayer(sizes.n_latent, sizes.n_hidden, sizes.n_batches, rate, generator)
        self.second = NormLayer(sizes.n_hidden, sizes.n_features, 0, rate, generator)
        self.rho = linear(sizes.n_features, sizes.n_genes, generator)
        self.zero = (
            linear(sizes.n_features, sizes.n_genes, generator)
            if sizes.likelihood == "zinb"
            else None
        )
        self.dispersion = sizes.dispersion
        self.log_theta: Any
        # stand in for the products over all genes while training in bfloat16
        self.wide: Callable[[Tensor], Tensor] | None = None
        self.wide_zero: Callable[[Tensor], Tensor] | None = None
        if sizes.dispersion == "cell":
            self.log_theta = linear(sizes.n_features, sizes.n_genes, generator)
        else:
            rows = sizes.n_batches if sizes.dispersion == "batch" else 1
            self.log_theta = nn.Parameter(torch.zeros(rows, sizes.n_genes))

    def hidden(
        self,
        z: Tensor,
        batch: Tensor,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The last hidden layer, B x F."""
        return self.second(self.first(z, batch, train, generator), None, train, generator)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the expression fractions, B x G."""
        return self.rho(hidden) if self.wide is None else self.wide(hidden)

    def groups(self) -> tuple[tuple[int, float], ...]:
        """Number of genes and fraction of expression of homologous and other genes, if there are any."""
        n, n_genes = self.n_homologous, self.rho.out_features
        return (
            ((n, 1.0),) if n == n_genes else ((n, self.fraction), (n_genes - n, 1 - self.fraction))
        )

    def fractions(self, logits: Tensor) -> Tensor:
        """Log expression fractions: softmax over homologous and other genes apart (paper, equations 25 and 26)."""
        groups = self.groups()
        parts = logits.split([size for size, _ in groups], 1)
        logs = [
            F.log_softmax(part, 1) + math.log(fraction)
            for part, (_, fraction) in zip(parts, groups, strict=True)
        ]
        return logs[0] if len(logs) == 1 else torch.cat(logs, 1)

    def log_dispersion(self, hidden: Tensor | None, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log inverse dispersion and which of its rows is whose, as `Expression` has them."""
        if self.dispersion == "cell":
            return self.log_theta(hidden).clamp(-LOG_RANGE, LOG_RANGE), None
        table = self.log_theta.clamp(-LOG_RANGE, LOG_RANGE)
        return (table[0], None) if len(table) == 1 else (table, batch)

    def forward(
        self,
        z: Tensor,
        batch: Tensor,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> Expression:
        """B x L and batch codes (B) -> `Expression`."""
        h = self.hidden(z, batch, train, generator)
        zero = None
        if self.zero is not None:
            zero = self.zero(h) if self.wide_zero is None else self.wide_zero(h)
        log_rho = self.fractions(self.logits(h))
        return Expression(log_rho, *self.log_dispersion(h, batch), zero)


class ScviNet(nn.Module):
    """One species' network.

    Parameters
    ----------
    sizes
        Shape of the network.
    generator
        Source of the initial weights.
    library_prior
        Mean and standard deviation of the log library size per batch, n_batches x 2.
    inner
        An inner encoder to share; default a new one.
    """

    def __init__(
        self,
        sizes: ScviSizes,
        generator: torch.Generator,
        library_prior: Tensor,
        inner: InnerEncoder | None = None,
    ):
        super().__init__()
        self.sizes = sizes
        self.outer = NormLayer(
            sizes.n_genes, sizes.n_features, sizes.n_batches, sizes.dropout_rate, generator
        )
        self.inner = InnerEncoder(sizes, generator) if inner is None else inner
        self.library = LibraryEncoder(sizes, generator) if sizes.library == "encoder" else None
        self.decoder = Decoder(sizes, generator)
        self.library_prior: Tensor
        self.register_buffer("library_prior", library_prior.float())

    def encoder_input(self, x: Tensor) -> Tensor:
        """Counts as the encoder sees them."""
        return torch.log1p(x) if self.sizes.encoder_input == "log1p" else x

    def encode(self, x: Tensor, batch: Tensor) -> Posterior:
        """Posterior without dropout, of counts B x G and batch codes B."""
        features = self.outer(self.encoder_input(x), batch)
        return Posterior(features, *self.inner(features))

    def log_library(self, x: Tensor, batch: Tensor) -> Tensor:
        """Log library size per cell: observed, or the encoder's mean."""
        if self.library is None:
            return observed_log_library(x)
        return self.library(self.encoder_input(x), batch)[0]

    def log_prob(self, x: Tensor, log_library: Tensor, expression: Expression) -> Tensor:
        """Log-likelihood of counts per cell, B."""
        log_mean = expression.log_rho + log_library[:, None]
        if expression.zero_logits is None:
            return negative_binomial(x, log_mean, expression.log_theta, expression.batch)
        return zero_inflated_negative_binomial(
            x, log_mean, expression.log_theta_of_cells(), expression.zero_logits
        )

    def decoded_log_prob(
        self,
        x: Tensor,
        log_library: Tensor,
        z: Tensor,
        batch: Tensor,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Log-likelihood of counts per cell, decoded from z (B x L), B; without `Expression` where that is faster."""
        decoder = self.decoder
        if decoder.zero is not None:
            return self.log_prob(x, log_library, decoder(z, batch, train, generator))
        hidden = decoder.hidden(z, batch, train, generator)
        logits, theta = decoder.logits(hidden), decoder.log_dispersion(hidden, batch)
        return softmax_negative_binomial(x, logits, log_library, *theta, decoder.groups())

    def sample_library(
        self, x: Tensor, seen: Tensor, batch: Tensor, train: bool, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """A log library size per cell and the KL divergence from its prior, B each."""
        if self.library is None:
            observed = observed_log_library(x)
            return observed, torch.zeros_like(observed)
        return self.draw_library(self.library(seen, batch, train, generator), batch, generator)

    def draw_library(
        self, posterior: tuple[Tensor, Tensor], batch: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """A sample of the log library size's posterior and its KL divergence from the prior, B each."""
        prior = self.library_prior[batch]
        return draw(*posterior, generator), kl_normal(*posterior, prior[:, 0], prior[:, 1])

    def forward(
        self,
        x: Tensor,
        batch: Tensor,
        generator: torch.Generator | None,
        train: bool,
        train_inner: bool,
    ) -> tuple[Posterior, Tensor, Tensor, Tensor, Tensor]:
        """The parts of the negative ELBO of B cells.

        Returns
        -------
        Posterior; sampled z (B x L); negative log-likelihood, KL of z, KL of the library size
        (B each). ``train_inner`` switches the inner encoder's dropout.
        """
        seen = self.encoder_input(x)
        features = self.outer(seen, batch, train, generator)
        mean, std = self.inner(features, train_inner, generator)
        z = draw(mean, std, generator)
        log_library, kl_library = self.sample_library(x, seen, batch, train, generator)
        nll = -self.decoded_log_prob(x, log_library, z, batch, train, generator)
        return (
            Posterior(features, mean, std),
            z,
            nll,
            kl_standard_normal(mean, std.square()),
            kl_library,
        )

    def loss(
        self,
        x: Tensor,
        batch: Tensor,
        kl_weight: float,
        generator: torch.Generator | None,
        train: bool,
    ) -> ScviLoss:
        """Negative ELBO of a minibatch, its KL terms weighted (paper, equation 7)."""
        _, _, nll, kl, kl_library = self(x, batch, generator, train, train)
        return scvi_loss(nll, kl, kl_library, kl_weight)


def scvi_loss(nll: Tensor, kl: Tensor, kl_library: Tensor, kl_weight: float) -> ScviLoss:
    """The loss from its parts, per cell or their means."""
    nll, kl, kl_library = nll.mean(), kl.mean(), kl_library.mean()
    return ScviLoss(nll + kl_weight * (kl + kl_library), nll + kl + kl_library, nll, kl, kl_library)


def draw(mean: Tensor, std: Tensor, generator: torch.Generator | None) -> Tensor:
    """A sample of N(mean, std^2) by normal noise."""
    noise = torch.randn(mean.shape, device=mean.device, dtype=mean.dtype, generator=generator)
    return mean + std * noise


def observed_log_library(x: Tensor) -> Tensor:
    """Log of the total counts of every cell; an empty cell counts as one molecule."""
    return x.sum(1).clamp_min(1.0).log()
