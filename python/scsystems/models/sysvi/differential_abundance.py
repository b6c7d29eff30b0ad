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

from ...data.checks import head
from ...data.matrix import require_anndata
from ...errors import InputError
from .likelihood import check_count

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


class DifferentialAbundanceMixin:
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
        _check_dof(dof)
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
        adata = self.adata if adata is None else adata
        if adata is None:
            raise InputError("The model was loaded without data. Give adata.")
        require_anndata(adata)
        if sample_key is None or sample_key not in adata.obs:
            raise InputError(
                f"sample_key={sample_key!r} is not a column of adata.obs. Found: {head(adata.obs.columns, 20)}."
            )
        _check_dof(dof)
        check_count("batch_size", batch_size)
        values = adata.obs[sample_key]
        if values.isna().any():
            raise InputError(
                f"adata.obs[{sample_key!r}] (sample_key) has {int(values.isna().sum())} missing values. Expected "
                "a sample for every cell."
            )
        rng = np.random.default_rng(self._arguments["seed"] if seed is None else seed)
        mean, std = self._posterior_scale(adata, None, None)
        columns = {}
        for sample in values.unique():
            cells = np.flatnonzero(values == sample)
            if num_cells_posterior is not None:
                most = check_count("num_cells_posterior", num_cells_posterior)
                cells = rng.choice(cells, min(most, len(cells)), replace=False)
            at = torch.as_tensor(cells, device=mean.device)
            density = mixture_log_density(mean, mean[at], std[at], dof, batch_size)
            columns[sample] = density.cpu().numpy()
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


def _check_dof(dof: float | None) -> None:
    if dof is not None and not dof > 0:
        raise InputError(f"dof={dof!r}. Expected a positive number, or None for Gaussians.")
