"""The sysVI network: conditional VAE with mixture prior and latent cycle-consistency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import NotSupportedError
from ..layers import (
    CovariateEncoder,
    CovariateInit,
    Covariates,
    CovariateSizes,
    HiddenStack,
    linear,
    wide_linear,
)
from ..likelihoods import gaussian_nll
from .adversary import SystemClassifier
from .classifier import LabelClassifier
from .cycle import cycle_distance, other_system
from .priors import PRIORS, Prior, StandardNormalPrior

# variances of the decoder: one for all genes and never learned, learned per gene, predicted per
# cell and gene
OutVarMode = Literal["constant", "feature", "sample_feature"]

# exp of a log-variance beyond this range is of no use and would overflow in half precision
LOG_VAR_RANGE = 15.0


@dataclass(frozen=True)
class SysVISizes:
    """Everything that decides the shape of the network's weights and its forward pass.

    Without ``n_layers_decoder`` the decoder has as many hidden layers as the encoder; without
    ``n_labels`` there is no classifier of labels.
    """

    n_genes: int
    covariates: CovariateSizes
    n_latent: int = 15
    n_hidden: int = 256
    n_layers: int = 2
    n_layers_decoder: int | None = None
    dropout_rate: float = 0.1
    out_var_mode: OutVarMode = "feature"
    covariate_init: CovariateInit = "zero"
    encode_covariates: bool = True
    cycle_covariates: Literal["keep", "zero"] = "keep"
    n_labels: int = 0


@dataclass(frozen=True)
class SysVIWeights:
    """Weights of the parts of the loss (paper, Methods: total loss)."""

    reconstruction: float = 1.0
    kl: float = 1.0
    cycle: float = 1.0
    adversary: float = 0.0
    label: float = 0.0


class SysVILoss(NamedTuple):
    """The total to minimize and its parts, each the mean over the cells of the minibatch.

    ``elbo`` is the negative evidence lower bound, reconstruction + KL, unweighted. The names
    become the keys of the training history. ``adversary_loss`` is that of the system classifier,
    which the encoder works against; the total has the encoder's side of it. ``label_loss`` is
    that of the classifier of labels.
    """

    total: Tensor
    elbo: Tensor
    reconstruction_loss: Tensor
    kl_local: Tensor
    cycle_loss: Tensor
    adversary_loss: Tensor
    label_loss: Tensor


class Encoder(nn.Module):
    """q(z | x, covariates): B x G -> mean and variance, B x L each."""

    def __init__(self, sizes: SysVISizes, generator: torch.Generator):
        super().__init__()
        self.hidden = HiddenStack(
            sizes.n_genes,
            sizes.n_hidden,
            sizes.n_layers,
            sizes.covariates,
            sizes.dropout_rate,
            sizes.covariate_init,
            generator,
        )
        self.mean = linear(sizes.n_hidden, sizes.n_latent, generator)
        self.log_var = linear(sizes.n_hidden, sizes.n_latent, generator)

    def forward(
        self,
        x: Tensor,
        covariates: Covariates,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance."""
        h = self.hidden(x, covariates, train, generator)
        log_var = self.log_var(h).clamp(-LOG_VAR_RANGE, LOG_VAR_RANGE)
        return self.mean(h), log_var.exp()

    def posterior_mean(
        self, x: Tensor, covariates: Covariates, train: bool, generator: torch.Generator | None
    ) -> Tensor:
        """The mean alone, for the counterfactual cells of the cycle."""
        return self.mean(self.hidden(x, covariates, train, generator))


class Decoder(nn.Module):
    """p(x | z, covariates): B x L -> mean B x G and log-variance, G or B x G."""

    def __init__(self, sizes: SysVISizes, generator: torch.Generator):
        super().__init__()
        self.hidden = HiddenStack(
            sizes.n_latent,
            sizes.n_hidden,
            sizes.n_layers_decoder or sizes.n_layers,
            sizes.covariates,
            sizes.dropout_rate,
            sizes.covariate_init,
            generator,
        )
        self.mean = linear(sizes.n_hidden, sizes.n_genes, generator)
        self.log_var: Any
        if sizes.out_var_mode == "constant":
            self.register_buffer("log_var", torch.zeros(sizes.n_genes), persistent=False)
        elif sizes.out_var_mode == "feature":
            self.log_var = nn.Parameter(torch.zeros(sizes.n_genes))
        else:
            self.log_var = linear(sizes.n_hidden, sizes.n_genes, generator)
        self.reduced = False

    def expression(self, h: Tensor) -> Tensor:
        """Mean expression, B x G, from the hidden features."""
        return wide_linear(h, self.mean.weight, self.mean.bias, self.reduced)

    def variance(self, h: Tensor) -> Tensor:
        """Log-variance: G (one per gene, zero if constant) or B x G (one per cell and gene)."""
        log_var = self.log_var(h) if isinstance(self.log_var, nn.Linear) else self.log_var
        return log_var.clamp(-LOG_VAR_RANGE, LOG_VAR_RANGE)

    def forward(
        self,
        z: Tensor,
        covariates: Covariates,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the expression."""
        h = self.hidden(z, covariates, train, generator)
        return self.expression(h), self.variance(h)


class SysVINet(nn.Module):
    """Encoder, decoder, prior and loss of sysVI (Hrovatin et al. 2025, Methods).

    Parameters
    ----------
    sizes
        Shape of the network.
    generator
        Source of the initial weights.
    with_adversary
        Add the system classifier of the ADV ablation.
    """

    # what priors are made of, by the name that a user gives
    priors: ClassVar[Mapping[str, type[Prior]]] = PRIORS

    def __init__(self, sizes: SysVISizes, generator: torch.Generator, with_adversary: bool = False):
        super().__init__()
        self.sizes = sizes
        self.covariates = CovariateEncoder(sizes.covariates, generator)
        self.encoder = Encoder(sizes, generator)
        self.decoder = Decoder(sizes, generator)
        self.prior: Prior = StandardNormalPrior()
        self.adversary = (
            SystemClassifier(sizes.n_latent, sizes.covariates.n_systems, generator)
            if with_adversary
            else None
        )
        self.classifier = (
            LabelClassifier(sizes.n_latent, sizes.n_labels) if sizes.n_labels else None
        )

    @contextmanager
    def reduced_precision(self, on: bool) -> Iterator[None]:
        """Within the block the wide products run in bfloat16, if ``on``.

        Those from genes to hidden units, between hidden units, and back to genes; what enters
        or leaves the latent space stays in float32.
        """
        wide = (*self.encoder.hidden.layers, *self.decoder.hidden.layers[1:], self.decoder)
        for part in wide:
            part.reduced = on
        try:
            yield
        finally:
            for part in wide:
                part.reduced = False

    def _encoder_view(self, covariates: Covariates) -> Covariates:
        """The covariates as the encoder sees them: all, or all zero."""
        if self.sizes.encode_covariates:
            return covariates
        source = covariates.design if covariates.design is not None else covariates.codes
        zeros = torch.zeros(len(source), self.sizes.covariates.n_total, device=source.device)
        return Covariates(design=zeros)

    def condition(self, cells, system: Tensor | None = None) -> Covariates:
        """The covariates of a minibatch, as every layer takes them.

        Parameters
        ----------
        cells
            With ``system`` (B), ``categorical`` (B x C or ``None``) and ``continuous`` (B x D or
            ``None``).
        system
            Codes that take the place of the cells' own systems.
        """
        own = cells.system if system is None else system
        return self.covariates(own, cells.categorical, cells.continuous)

    def counterfactual(self, cells, generator: torch.Generator | None) -> Covariates:
        """The covariates of the cells as if they came from another system, drawn at random."""
        system = other_system(cells.system, self.sizes.covariates.n_systems, generator)
        if self.sizes.cycle_covariates == "keep":
            return self.condition(cells, system)
        return self.covariates.system_only(system)

    def encode(self, x: Tensor, covariates: Covariates) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance with running statistics and no dropout, B x L each."""
        return self.encoder(x, self._encoder_view(covariates))

    def forward(
        self, x: Tensor, system: Tensor, categorical: Tensor | None, continuous: Tensor | None
    ):
        """Posterior mean and variance of cells, B x L each (evaluation mode)."""
        return self.encode(x, self.covariates(system, categorical, continuous))

    def sample(self, *args, **kwargs):
        """Refused, as by the network of scvi-tools' SysVI."""
        raise NotSupportedError(
            "The use of decoded expression as samples is not supported by SysVI. Decode means with "
            "the model's get_normalized_expression()."
        )

    def loss(
        self, batch, weights: SysVIWeights, generator: torch.Generator | None, train: bool
    ) -> SysVILoss:
        """Loss of one minibatch.

        Parameters
        ----------
        batch
            Minibatch with ``x`` (B x G), ``system`` (B), ``categorical`` (B x C or ``None``),
            ``continuous`` (B x D or ``None``), ``weight`` and ``label`` (B or ``None``).
        weights
            Weights of the parts.
        generator
            Source of noise, dropout masks and cycle partners.
        train
            Minibatch statistics and dropout on (training) or off (validation).
        """
        x = batch.x
        covariates = self.condition(batch)
        mean, var = self.encoder(x, self._encoder_view(covariates), train, generator)
        noise = torch.randn(mean.shape, device=mean.device, dtype=mean.dtype, generator=generator)
        z = mean + var.sqrt() * noise

        hidden = self.decoder.hidden(z, covariates, train, generator)
        log_var = self.decoder.variance(hidden)
        zero = x.new_zeros(())
        if weights.cycle > 0:
            there = self.counterfactual(batch, generator)
            hidden_cycle = self.decoder.hidden(z, there, train, generator)
            # both halves share the widest product of the decoder
            x_mean, x_cycle = self.decoder.expression(torch.cat([hidden, hidden_cycle])).chunk(2)
            mean_cycle = self.encoder.posterior_mean(
                x_cycle, self._encoder_view(there), train, generator
            )
            distance = cycle_distance(mean, mean_cycle)
            if batch.weight is not None:
                distance = distance * batch.weight
            cycle = distance.mean()
        else:
            x_mean, cycle, mean_cycle = self.decoder.expression(hidden), zero, None

        reconstruction = gaussian_nll(x, x_mean, log_var).mean()
        kl = self.prior.kl(mean, var, z, self.encode).mean()
        adversary = fooling = zero
        if weights.adversary > 0:
            adversary = (self.adversary.learn if train else self.adversary.loss)(z, batch.system)
            fooling = self.adversary.fooling_loss(z, batch.system)
        label = zero
        if weights.label > 0 and batch.label is not None:
            # a label holds for the cell in every system: so the other systems learn of it
            both = z if mean_cycle is None else torch.cat([z, mean_cycle])
            label = self.classifier.loss(both, batch.label.repeat(len(both) // len(z)))
        total = (
            weights.reconstruction * reconstruction
            + weights.kl * kl
            + weights.cycle * cycle
            + weights.adversary * fooling
            + weights.label * label
        )
        return SysVILoss(total, reconstruction + kl, reconstruction, kl, cycle, adversary, label)
