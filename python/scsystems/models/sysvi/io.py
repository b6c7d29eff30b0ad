"""Saving and loading of SysVI, and attaching cells to a loaded model."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anndata import AnnData, read_h5ad

from ...data.resident import CellArrays
from ...data.schema import Schema, expression, gene_means
from ...errors import InputError
from ...nn.sysvi.net import SysVINet
from ...train.device import choose_device
from ..base import TrainedState, data_fingerprint, load_weights, read_model, save_model
from .prior import empty_prior
from .scvi_import import FILE, convert, holds_scvi_model, read_scvi_file
from .surgery import QueryTraining

if TYPE_CHECKING:
    from typing_extensions import Self

# cells beside a model, under the name that scvi-tools gives them
CELLS_FILE = "adata.h5ad"


class FilesMixin(TrainedState):
    """``save()`` and ``load()`` of `SysVI`."""

    net: SysVINet
    schema: Schema
    adata: AnnData | None
    _cells: CellArrays | None
    _n_cells: int
    _arguments: dict[str, Any]
    _fingerprint: str
    _query: QueryTraining | None
    _train_facts: dict[str, Any]

    def save(
        self, dir_path: str | Path, overwrite: bool = False, save_anndata: bool = False
    ) -> None:
        """Write the model into a folder: safetensors and JSON, whole or not at all.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace an existing model there.
        save_anndata
            Keep the model's cells beside it, where `load` finds them.
        """
        if save_anndata and self.adata is None:
            raise InputError("save_anndata=True, but the model was loaded without data.")
        facts = {
            "schema": self.schema.to_json(),
            "data_fingerprint": self._fingerprint,
            "n_cells": self._n_cells,
            "training": self._train_facts,
            "query": None if self._query is None else asdict(self._query),
        }
        save_model(self, dir_path, self._arguments, facts, overwrite)
        if save_anndata:
            self.adata.write_h5ad(Path(dir_path) / CELLS_FILE)

    @classmethod
    def load(
        cls, dir_path: str | Path, adata: AnnData | None = None, accelerator: str = "cpu"
    ) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            Cells to attach, with the model's genes, systems and covariates; ``None`` takes those
            saved with the model (``save_anndata``) or reads the model alone, which then needs
            ``adata`` in every call.
        accelerator
            Device of the weights.

        Raises
        ------
        ModelFileError
            If the folder is incomplete or damaged.
        InputError
            If ``adata`` does not fit the model.

        Notes
        -----
        A folder that scvi-tools' SysVI saved is read as well, see
        :mod:`scsystems.models.sysvi.scvi_import`: the latent representation is the same to float
        precision, and further training goes on with that package's arithmetic.
        """
        model = cls.__new__(cls)
        if holds_scvi_model(dir_path):
            model._read_scvi(dir_path)
        else:
            model._read_own(dir_path)
        model.net.to(choose_device(accelerator))
        saved = Path(dir_path) / CELLS_FILE
        if adata is None and saved.exists():
            adata = read_h5ad(saved)
        if adata is not None:
            model._attach(adata)
        return model

    def _read_own(self, dir_path: str | Path) -> None:
        """Everything that `save` wrote."""
        tensors, record = read_model(dir_path, type(self).__name__)
        # models saved before there was this argument have decoders as deep as their encoders
        arguments = {"n_layers_decoder": None} | record["arguments"]
        self._prepare(Schema.from_json(record["schema"]), arguments)
        empty_prior(self.net, self._arguments)
        load_weights(self.net, tensors, dir_path)
        self._history = {k: [tuple(p) for p in v] for k, v in record["history"].items()}
        self._stopped = record["stopped"]
        self._fingerprint = record["data_fingerprint"]
        self._n_cells = record["n_cells"]
        self._train_facts = record["training"]
        if record.get("query"):
            self._query = QueryTraining.from_json(record["query"])

    def _read_scvi(self, dir_path: str | Path) -> None:
        """What scvi-tools' SysVI saved; its training history is not kept."""
        schema, arguments, weights, facts = convert(read_scvi_file(Path(dir_path) / FILE))
        self._prepare(schema, arguments)
        empty_prior(self.net, self._arguments)
        load_weights(self.net, weights, dir_path)
        self._stopped = "max_epochs" if facts["trained"] else None
        self._fingerprint = ""
        self._n_cells = facts["n_cells"]
        self._train_facts = {"scvi_version": facts["scvi_version"]}

    def _attach(self, adata: AnnData) -> None:
        """Make ``adata`` the model's own cells."""
        self._cells = self.schema.arrays(adata)
        self.adata = adata
        if not self.schema.gene_means:
            self.schema = replace(self.schema, gene_means=gene_means(self._cells.x))
        self._fingerprint = data_fingerprint(
            expression(adata, self.schema.setup.layer), adata.obs_names
        )
        self._n_cells = adata.n_obs
