"""The network of scvi-tools' SysVI (1.2 to 1.5), for models that were trained with it.

Differs from `SysVINet` in how variances come about, slips included, so that an imported model
gives what it gave before. New models never use this.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers import Covariates
from .net import Decoder, Encoder, SysVINet, SysVISizes
from .priors import PRIORS, Encode, VampPrior

# the smallest variance that the Gaussian loss of torch accepts
SMALLEST_VARIANCE = 1e-6


class SoftplusEncoder(Encoder):
    """Posterior variance = softplus of the head instead of its exponential."""

    def forward(
        self,
        x: Tensor,
        covariates: Covariates,
        train: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance."""
        h = self.hidden(x, covariates, train, generator)
        return self.mean(h), F.softplus(self.log_var(h))


class StandardDeviationDecoder(Decoder):
    """The loss gets the standard deviation where it expects the variance."""

    def variance(self, h: Tensor) -> Tensor:
        """Log of what the loss takes for the variance: the square root of softplus of the head."""
        raw = super().variance(h)
        return F.softplus(raw).sqrt().clamp_min(SMALLEST_VARIANCE).log()


class SquareRootVampPrior(VampPrior):
    """The components' variances are the standard deviations of the pseudoinputs' posteriors."""

    def components(self, encode: Encode) -> tuple[Tensor, Tensor]:
        """Means and the slip's variances of the components, K x L each."""
        mean, var = super().components(encode)
        return mean, var.sqrt()


class ImportedSysVINet(SysVINet):
    """`SysVINet` with the arithmetic of scvi-tools."""

    priors = PRIORS | {"vamp": SquareRootVampPrior}

    def __init__(self, sizes: SysVISizes, generator: torch.Generator, with_adversary: bool = False):
        super().__init__(sizes, generator, with_adversary)
        self.encoder = SoftplusEncoder(sizes, generator)
        self.decoder = StandardDeviationDecoder(sizes, generator)
