"""What every part of SysVI stands on: its network, its cells, and where it places cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from ... import checks
from ...data.opened import opened
from ...data.resident import CellArrays, iterate
from ...data.schema import Schema, gene_means
from ...data.source import Minibatch
from ...errors import InputError
from ...nn.kernels.sparse import is_sparse_enough, sparse_rows
from ...nn.layers import CovariateSizes
from ...nn.sysvi.imported import ImportedSysVINet
from ...nn.sysvi.net import SysVINet, SysVISizes
from ...words import word
from ..base import BaseModel, resolve_indices
from ..trainings import Trainings
from .arguments import SIZE_ARGUMENTS
from .own_cells import OwnCells
from .scvi_import import ARITHMETIC
from .surgery import QueryTraining

INFERENCE_CHUNK = 4096


class SysVICore(BaseModel):
    """State of `SysVI`, and what its parts have in common.

    Each part (training, files, scores, ...) is a class of its own on top of this one and uses
    nothing else of the model, but for the parts that it names as bases.
    """

    net: SysVINet
    _past: Trainings
    schema: Schema
    _arguments: dict[str, Any]
    _generator: torch.Generator
    _own: OwnCells | None
    _n_cells: int
    _fingerprint: str
    _train_facts: dict[str, Any]
    # what trains when this model maps a query; None for a model of its own
    _query: QueryTraining | None

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """Losses per epoch of all trainings: one data frame per quantity, index ``epoch``."""
        return self._past.frames()

    @property
    def trainer(self) -> SimpleNamespace:
        """``model.trainer.logger.history``, where tutorials of scvi-tools look for the losses."""
        return SimpleNamespace(logger=SimpleNamespace(history=self.history))

    def get_latent_representation(
        self,
        adata: AnnData | str | Path | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        return_dist: bool = False,
        seed: int | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The integrated embedding.

        Parameters
        ----------
        adata
            Cells to embed, or their path, with the model's genes and known systems and
            covariates; default the model's own.
        indices
            Which cells, as indices or a boolean mask; default all.
        give_mean
            Posterior mean; ``False`` draws one sample per cell.
        batch_size
            Cells at a time; default 4,096.
        return_dist
            Return posterior mean and variance instead.
        seed
            Seed of the samples with ``give_mean=False``; default the model's seed.

        Returns
        -------
        n x L array (float32), or two of them with ``return_dist``.
        """
        mean, var = self._embed(adata, indices, batch_size)
        if return_dist:
            return mean, var
        if give_mean:
            return mean
        rng = np.random.default_rng(checks.seed(seed, self._arguments["seed"]))
        return mean + np.sqrt(var) * rng.standard_normal(mean.shape, dtype=np.float32)

    # -- what the parts use ----------------------------------------------------------------

    def _embed(
        self, adata: AnnData | CellArrays | str | Path | None, indices, batch_size: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and variance of the chosen cells, n x L each."""
        self._require_trained()
        chunks = [
            (m.cpu().numpy(), v.cpu().numpy())
            for _, m, v in self._posterior(adata, indices, batch_size)
        ]
        n_latent = self._arguments["n_latent"]
        mean = (
            np.concatenate([m for m, _ in chunks])
            if chunks
            else np.zeros((0, n_latent), np.float32)
        )
        var = (
            np.concatenate([v for _, v in chunks])
            if chunks
            else np.zeros((0, n_latent), np.float32)
        )
        return mean, var

    def _prepare(self, schema: Schema, arguments: dict[str, Any]) -> None:
        """Network and empty state from the schema and the constructor's arguments."""
        self.schema = schema
        self._arguments = dict(arguments)
        a = arguments
        covariates = CovariateSizes(
            n_systems=len(schema.systems),
            n_categories=tuple(map(len, schema.categories)),
            n_continuous=len(schema.center),
            embedding_dim=a["embedding_dim"] if a["embed_categorical_covariates"] else None,
        )
        sizes = SysVISizes(
            n_genes=len(schema.genes),
            covariates=covariates,
            n_labels=len(schema.labels),
            **{k: a[k] for k in SIZE_ARGUMENTS},
        )
        self._generator = torch.Generator().manual_seed(a["seed"])
        net_class = ImportedSysVINet if a.get("arithmetic") == ARITHMETIC else SysVINet
        self.net = net_class(sizes, self._generator, a["adversarial"]).eval()
        self._own = None
        self._n_cells = 0
        self._past = Trainings()
        self._train_facts = {}
        self.notes = {}
        self._query = None

    def _attach(
        self,
        adata: AnnData | str | Path,
        checked: bool = False,
        hashes: np.ndarray | None = None,
    ) -> None:
        """Make ``adata`` the model's own cells, see `OwnCells.of`."""
        adata = opened(adata)
        self._own = OwnCells.of(adata, self.schema, checked, hashes)
        if not self.schema.gene_means:
            self.schema = replace(self.schema, gene_means=gene_means(self._own.cells.x))
        self._fingerprint = self._own.fingerprint
        self._n_cells = adata.n_obs

    @property
    def adata(self) -> AnnData | None:
        """The model's own cells, if it has any."""
        return None if self._own is None else self._own.adata

    def _require_own(self) -> OwnCells:
        if self._own is None:
            raise InputError(f"The model was loaded without data. {word('other cells')}.")
        return self._own

    def _cell_names(self, adata: AnnData | str | Path | None) -> pd.Index:
        if adata is None:
            return self._require_own().names
        return opened(adata).obs_names

    def _noise(self, seed: int) -> torch.Generator:
        """A generator on the model's device."""
        return torch.Generator(self.device).manual_seed(seed)

    def _networks(self) -> Sequence[torch.nn.Module]:
        return [self.net]

    def _trainings(self) -> Sequence[Trainings]:
        return [self._past]

    def _chosen(self, adata: AnnData | CellArrays | str | Path | None, indices) -> CellArrays:
        """The cells at ``indices`` of ``adata``, or of the model's own."""
        own = self._own
        if adata is None or (own is not None and adata is own.cells):
            own = self._require_own()
            return own.unchanged(resolve_indices(indices, own.names))
        if isinstance(adata, CellArrays):
            return adata if indices is None else adata.take(indices)
        others = opened(adata)
        cells = self.schema.arrays(others)
        at = resolve_indices(indices, others.obs_names)
        return cells if at is None else cells.take(at)

    @torch.inference_mode()
    def _posterior(
        self, adata: AnnData | CellArrays | str | Path | None, indices, batch_size: int | None
    ) -> Iterator[tuple[Minibatch, Tensor, Tensor]]:
        """Minibatch (its ``x`` not for use), posterior mean and variance of the chosen cells, chunk by chunk."""
        cells = self._chosen(adata, indices)
        size = INFERENCE_CHUNK if batch_size is None else checks.count("batch_size", batch_size)
        self.net.eval()
        fast = type(self.net) is SysVINet and self.device.type == "cpu"
        wrap = sparse_rows if fast and is_sparse_enough(cells.x) else None
        for batch in iterate(cells, self.device, size, wrap):
            mean, var = self.net(batch.x, batch.system, batch.categorical, batch.continuous)
            yield batch, mean, var
