"""A third model in one file: a plain VAE of raw counts that corrects for batches, as scVI is.

It shows what a model of its own needs, and what it gets: cells from `data`, the training loop with
checkpoints, early stopping and GPUs from `train`, state and files from `BaseModel`. There is no
hand-written gradient: they are for speed and can come later.

>>> model = PlainVAE(adata, batch_key="sample")
>>> model.train(max_epochs=50)
>>> adata.obsm["X_plain"] = model.get_latent_representation()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from anndata import AnnData
from torch import Tensor, nn

from scsystems import checks
from scsystems.data.levels import coded
from scsystems.data.matrix import expression
from scsystems.data.resident import CellArrays, ResidentCells, iterate
from scsystems.data.scale.refuse import check_counts
from scsystems.data.source import Minibatch
from scsystems.models.base import BaseModel
from scsystems.models.trainings import Trainings
from scsystems.nn.layers import linear
from scsystems.nn.likelihoods import kl_standard_normal
from scsystems.train.device import choose_device
from scsystems.train.loop import FitSettings, fit
from scsystems.words import column, word


class PlainLoss(NamedTuple):
    """The total to minimize and its parts, means over the minibatch."""

    total: Tensor
    elbo: Tensor
    kl_local: Tensor


class PlainNet(nn.Module):
    """One hidden layer each way; the decoder sees the batch."""

    def __init__(self, n_genes: int, n_batches: int, n_latent: int, n_hidden: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.hidden = linear(n_genes, n_hidden, generator)
        self.heads = linear(n_hidden, 2 * n_latent, generator)
        self.decoder = linear(n_latent + n_batches, n_hidden, generator)
        self.rho = linear(n_hidden, n_genes, generator)
        self.log_theta = nn.Parameter(torch.zeros(n_genes))
        self.n_batches = n_batches

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance, B x L each."""
        mean, log_var = self.heads(F.relu(self.hidden(x.log1p()))).chunk(2, 1)
        return mean, log_var.clamp(-10, 10).exp()

    def loss(self, batch: Minibatch, generator: torch.Generator) -> PlainLoss:
        """Negative ELBO of a minibatch with a negative binomial likelihood."""
        mean, var = self.encode(batch.x)
        noise = torch.randn(mean.shape, device=mean.device, generator=generator)
        z = torch.cat([mean + var.sqrt() * noise, F.one_hot(batch.system, self.n_batches)], 1)
        mu = F.softmax(self.rho(F.relu(self.decoder(z))), 1) * batch.x.sum(1, keepdim=True)
        theta = self.log_theta.clamp(-10, 10).exp()
        log_p = torch.distributions.NegativeBinomial(
            theta, logits=(mu + 1e-8).log() - theta.log(), validate_args=False
        ).log_prob(batch.x)
        kl = kl_standard_normal(mean, var).mean()
        total = kl - log_p.sum(1).mean()
        return PlainLoss(total, total, kl)


class PlainVAE(BaseModel):
    """A VAE of counts.

    Parameters
    ----------
    adata
        Raw counts in ``X`` or a layer.
    batch_key
        Column of ``adata.obs`` to correct for.
    layer
        Layer with the counts; ``None`` for ``X``.
    n_latent, n_hidden
        Dimensions of the embedding, units of the hidden layers.
    seed
        Decides everything that is drawn.
    """

    def __init__(
        self,
        adata: AnnData,
        batch_key: str,
        layer: str | None = None,
        n_latent: int = 10,
        n_hidden: int = 128,
        seed: int = 0,
    ):
        checks.anndata("adata", adata)
        x = expression(adata, layer)
        check_counts(x, word("data"), names=adata.obs_names)
        codes, levels = coded(checks.column(adata, batch_key, "system"), column(batch_key))
        self.seed = checks.seed(seed)
        self.cells = CellArrays(x=x, system=codes)
        n_latent, n_hidden = checks.count("n_latent", n_latent), checks.count("n_hidden", n_hidden)
        self.net = PlainNet(adata.n_vars, len(levels), n_latent, n_hidden, self.seed)
        self.notes = {}
        self._past = Trainings()

    def _networks(self) -> Sequence[nn.Module]:
        return [self.net]

    def _trainings(self) -> Sequence[Trainings]:
        return [self._past]

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """Losses per epoch of all trainings."""
        return self._past.frames()

    def train(
        self,
        max_epochs: int = 100,
        accelerator: str = "auto",
        batch_size: int = 128,
        checkpoint_dir: str | None = None,
        resume: bool = False,
        verbose: bool = True,
    ) -> None:
        """Train; every option of the loop could be passed on like these."""
        device = choose_device(accelerator)
        self.net.to(device)
        result = fit(
            self.net,
            lambda batch, epoch, generator, train: self.net.loss(batch, generator),
            ResidentCells(self.cells, device),
            FitSettings(
                max_epochs=max_epochs,
                batch_size=batch_size,
                eps=1e-8,
                checkpoint_dir=checkpoint_dir,
                resume=resume,
                verbose=verbose,
                description="PlainVAE",
            ),
            torch.Generator(device).manual_seed(self.seed),
            earlier=self._past.history,
        )
        self._past.add(result)

    @torch.inference_mode()
    def get_latent_representation(self, batch_size: int = 4096) -> np.ndarray:
        """Posterior means of the cells, n x L."""
        self._require_trained()
        parts = iterate(self.cells, self.device, batch_size)
        return np.concatenate([self.net.encode(b.x)[0].cpu().numpy() for b in parts])
