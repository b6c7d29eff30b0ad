"""Differential abundance: which samples have many cells at a place in the latent space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, StudentT

from ... import checks, words
from ...data.levels import coded
from ...errors import InputError
from .core import SysVICore

# point-by-component-by-dimension products held at a time
MIXTURE_VALUES = 2**24


def mixture_log_density(
    points: Tensor, mean: Tensor, std: Tensor, dof: float | None, chunk_size: int
) -> Tensor:
    """Log density of points under an even mixture of one component per cell, P.

    Parameters
    ----------
    points
        P x L.
    mean, std
        Location and scale of the components, C x L each.
    dof
        Degrees of freedom of Student-t components; ``None`` for Gaussians.
    chunk_size
        Points at a time.
    """
    component = Normal(mean, std) if dof is None else StudentT(dof, mean, std)
    chunk_size = max(1, min(chunk_size, MIXTURE_VALUES // mean.numel()))
    parts = [
        torch.logsumexp(component.log_prob(part[:, None]).sum(-1), 1)
        for part in points.split(chunk_size)
    ]
    return torch.cat(parts) - math.log(len(mean))


class DifferentialAbundanceMixin(SysVICore):
    """``differential_abundance`` and ``get_aggregated_posterior`` of `SysVI`."""

    def get_aggregated_posterior(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
        dof: float | None = 3.0,
    ) -> MixtureSameFamily:
        """The even mixture of the posteriors of some cells, as a torch distribution over L dimensions.

        Parameters
        ----------
        adata, indices
            The cells; default all of the model's own.
        batch_size
            Cells at a time.
        dof
            Degrees of freedom of Student-t components, whose tails are heavier; ``None`` for
            Gaussians.
        """
        mean, std = self._posterior_scale(adata, indices, batch_size)
        dof = _check_dof(dof)
        component = Normal(mean, std) if dof is None else StudentT(dof, mean, std)
        weights = Categorical(logits=torch.zeros(len(mean), device=mean.device))
        return MixtureSameFamily(weights, Independent(component, 1))

    def differential_abundance(
        self,
        adata: AnnData | None = None,
        sample_key: str | None = None,
        batch_size: int = 128,
        num_cells_posterior: int | None = None,
        dof: float | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Log density of every sample's cells at the place of every cell.

        The density of a sample is the even mixture of its cells' posteriors. Differences between
        columns say in which samples cells like this one are more abundant; a cell counts in the
        density of its own sample.

        Parameters
        ----------
        adata
            Cells; default the model's own.
        sample_key
            Column of ``adata.obs`` with the samples.
        batch_size
            Cells at a time.
        num_cells_posterior
            At most so many cells of each sample, drawn at random, make its density.
        dof
            Degrees of freedom of Student-t components; ``None`` for Gaussians.
        seed
            Seed of that draw; default the model's seed.

        Returns
        -------
        n x samples data frame, which ``adata.obsm["da_log_probs"]`` holds as well.
        """
        self._require_trained()
        own = adata is None
        adata = self._require_own().adata if adata is None else checks.anndata("adata", adata)
        values = checks.column(adata, sample_key, "abundance sample")
        dof = _check_dof(dof)
        batch_size = checks.count("batch_size", batch_size)
        most = None
        if num_cells_posterior is not None:
            most = checks.count("num_cells_posterior", num_cells_posterior)
        rng = np.random.default_rng(checks.seed(seed, self._arguments["seed"]))
        mean, std = self._posterior_scale(None if own else adata, None, None)
        codes, names = coded(values, words.column(str(sample_key)))
        columns = {}
        for code in pd.unique(codes):
            cells = np.flatnonzero(codes == code)
            if most is not None:
                cells = rng.choice(cells, min(most, len(cells)), replace=False)
            at = torch.as_tensor(cells, device=mean.device)
            density = mixture_log_density(mean, mean[at], std[at], dof, batch_size)
            columns[names[code]] = density.cpu().numpy()
        table = pd.DataFrame(columns, index=adata.obs_names)
        adata.obsm["da_log_probs"] = table
        return table

    def _posterior_scale(self, adata, indices, batch_size) -> tuple[Tensor, Tensor]:
        """Posterior mean and standard deviation of cells, n x L each."""
        mean, var = self.get_latent_representation(
            adata, indices, batch_size=batch_size, return_dist=True
        )
        if len(mean) == 0:
            raise InputError("indices select no cells. Expected at least one.")
        mean, var = (torch.as_tensor(v, device=self.device) for v in (mean, var))
        return mean, var.sqrt()


def _check_dof(dof: float | None) -> float | None:
    return None if dof is None else checks.number("dof", dof, above=0)
