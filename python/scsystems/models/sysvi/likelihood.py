"""How well a sysVI model explains cells: reconstruction, ELBO, marginal likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from ... import checks
from ...errors import InputError
from ...nn.layers import Covariates
from ...nn.likelihoods import gaussian_nll, normal_log_density
from ...nn.sysvi.net import SysVINet
from ...nn.sysvi.priors import StandardNormalPrior
from .core import SysVICore

# values that one pass of the decoder may produce, to bound memory
DECODED_VALUES = 2**25


def at_most(batch_size: int | None, limit: int) -> int:
    """Cells at a time: as many as asked for, but no more than a limit."""
    return limit if batch_size is None else min(checks.count("batch_size", batch_size), limit)


def log_prior_ratio(net: SysVINet, mean: Tensor, var: Tensor, z: Tensor) -> Tensor:
    """``log p(z) - log q(z | x)`` of B latent points, B."""
    if isinstance(net.prior, StandardNormalPrior):
        log_p = normal_log_density(z, torch.zeros_like(z), torch.ones_like(z)).sum(-1)
        return log_p - normal_log_density(z, mean, var).sum(-1)
    return -net.prior.kl(mean, var, z, net.encode)


def repeat_covariates(covariates: Covariates, n: int) -> Covariates:
    """The covariates of B cells, ``n`` times below one another."""
    return Covariates(*(None if t is None else t.repeat(n, 1) for t in covariates))


class ScoresMixin(SysVICore):
    """``get_elbo``, ``get_reconstruction_error`` and ``get_marginal_ll`` of `SysVI`.

    All leave out the constant ``G/2 log(2 pi)`` of the G genes, as the training loss does, so
    that they can be compared with one another and with the history.
    """

    def get_elbo(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int | None = None,
    ) -> float | np.ndarray:
        """Evidence lower bound: higher is better.

        Minus the reconstruction loss and the KL divergence of the training loss, unweighted,
        with one latent sample per cell.

        Parameters
        ----------
        adata
            Cells; default the model's own.
        indices
            Which cells, as indices or a boolean mask; default all.
        batch_size
            Cells at a time.
        return_mean
            The mean over cells instead of a value per cell.
        seed
            Seed of the latent samples; default the model's seed.

        Returns
        -------
        A number, or n values.
        """
        elbo = np.concatenate(
            [
                -(reconstruction + kl).double().cpu().numpy()
                for reconstruction, kl in self._loss_parts(adata, indices, batch_size, seed)
            ]
            or [np.zeros(0)]
        )
        return _mean(elbo, "get_elbo") if return_mean else elbo

    def get_reconstruction_error(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int | None = None,
    ) -> dict[str, float | np.ndarray]:
        """Negative log-likelihood of the expression given one latent sample: lower is better.

        Parameters
        ----------
        adata, indices, batch_size, return_mean, seed
            As in `get_elbo`.

        Returns
        -------
        ``{"reconstruction_loss": value}``, a number or n values.
        """
        loss = np.concatenate(
            [
                reconstruction.double().cpu().numpy()
                for reconstruction, _ in self._loss_parts(adata, indices, batch_size, seed)
            ]
            or [np.zeros(0)]
        )
        value = _mean(loss, "get_reconstruction_error") if return_mean else loss
        return {"reconstruction_loss": value}

    def get_marginal_ll(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        n_mc_samples: int = 1_000,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int | None = None,
    ) -> float | np.ndarray:
        """Marginal log-likelihood of the expression, by importance sampling: higher is better.

        ``log p(x) ~ log mean_s [p(x | z_s) p(z_s) / q(z_s | x)]`` with ``z_s`` drawn from the
        posterior: a lower bound that tightens as samples are added, never below the ELBO in
        expectation.

        Parameters
        ----------
        n_mc_samples
            Latent samples per cell.
        adata, indices, batch_size, return_mean, seed
            As in `get_elbo`.

        Returns
        -------
        A number, or n values.
        """
        self._require_trained()
        n_mc_samples = checks.count("n_mc_samples", n_mc_samples)
        generator = self._noise(checks.seed(seed, self._arguments["seed"]))
        chunk = max(1, DECODED_VALUES // (n_mc_samples * len(self.schema.genes)))
        values = []
        for batch, mean, var in self._posterior(adata, indices, at_most(batch_size, chunk)):
            values.append(self._log_evidence(batch, mean, var, n_mc_samples, generator))
        evidence = np.concatenate(values or [np.zeros(0)])
        return _mean(evidence, "get_marginal_ll") if return_mean else evidence

    @torch.inference_mode()
    def _loss_parts(self, adata, indices, batch_size: int | None, seed: int | None):
        """Reconstruction loss and KL per cell, chunk by chunk."""
        self._require_trained()
        generator = self._noise(checks.seed(seed, self._arguments["seed"]))
        for batch, mean, var in self._posterior(adata, indices, batch_size):
            covariates = self.net.condition(batch)
            noise = torch.randn(mean.shape, device=mean.device, generator=generator)
            z = mean + var.sqrt() * noise
            x_mean, log_var = self.net.decoder(z, covariates)
            kl = self.net.prior.kl(mean, var, z, self.net.encode)
            yield gaussian_nll(batch.x, x_mean, log_var), kl

    @torch.inference_mode()
    def _log_evidence(self, batch, mean, var, n_samples: int, generator) -> np.ndarray:
        """Importance-sampled log evidence of B cells."""
        total = None
        net = self.net
        covariates = net.condition(batch)
        # passes of several samples per cell, all cells of the chunk together
        per_pass = max(1, DECODED_VALUES // (len(mean) * len(self.schema.genes)))
        for start in range(0, n_samples, per_pass):
            n = min(per_pass, n_samples - start)
            m, v, x = (t.repeat(n, 1) for t in (mean, var, batch.x))
            noise = torch.randn(m.shape, device=m.device, generator=generator)
            z = m + v.sqrt() * noise
            x_mean, log_var = net.decoder(z, repeat_covariates(covariates, n))
            log_weight = log_prior_ratio(net, m, v, z) - gaussian_nll(x, x_mean, log_var)
            part = torch.logsumexp(log_weight.double().view(n, -1), 0)
            total = part if total is None else torch.logaddexp(total, part)
        return (total - np.log(n_samples)).cpu().numpy()


def _mean(values: np.ndarray, what: str) -> float:
    if values.size == 0:
        raise InputError(f"{what}: indices select no cells. Expected at least one.")
    return float(values.mean())
