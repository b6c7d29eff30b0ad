"""Saving and loading of SysVI, and attaching cells to a loaded model."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from anndata import AnnData

from ...data.containers import read_anndata, write_anndata
from ...data.schema import Schema
from ...durable.manifest import listed
from ...durable.sets import consistent, find
from ...durable.steps import full_path
from ...durable.typed import arguments, typed
from ...errors import InputError, ModelFileError
from ...files import read_facts
from ...train.checkpoint import History
from ...train.device import choose_device
from ..base import NAME, check_weights, load_weights, read_model, save_model, shapes_only
from ..trainings import Stopped, Trainings
from .arguments import check_arguments
from .core import SysVICore
from .prior import empty_prior
from .scvi_import import ARITHMETIC, FILE, convert, holds_scvi_model, read_scvi_file
from .surgery import QueryTraining

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

# cells beside a model, under the name that scvi-tools gives them
CELLS_FILE = "adata.h5ad"


@dataclass(frozen=True)
class Saved:
    """What ``model.json`` says of a model besides its class and the versions that wrote it."""

    schema: Schema
    arguments: dict[str, Any]
    stopped: Stopped | None
    history: History
    data_fingerprint: str
    n_cells: int
    training: dict[str, Any] = field(default_factory=dict)
    query: QueryTraining | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class FilesMixin(SysVICore):
    """``save()`` and ``load()`` of `SysVI`."""

    def save(
        self, dir_path: str | Path, overwrite: bool = False, save_anndata: bool = False
    ) -> None:
        """Write the model into a folder: safetensors and JSON, whole or not at all.

        At any moment the folder holds the old model or the new one, whatever happens to the
        process or the power. If it cannot be written, the model is still in memory.

        Parameters
        ----------
        dir_path
            The folder.
        overwrite
            Replace an existing model there. Other files in the folder stay.
        save_anndata
            Keep the model's cells beside it, where `load` finds them.

        Raises
        ------
        ModelFileError
            If there is a model already, or something else.
        WriteError
            If the disk is full, for example, or the cells hold what cannot be written.
        """
        if save_anndata and self._own is None:
            raise InputError("save_anndata=True, but the model was loaded without data.")
        facts = Saved(
            self.schema,
            self._arguments,
            self._past.stopped,
            self._past.history,
            self._fingerprint,
            self._n_cells,
            self._train_facts,
            self._query,
            self.notes,
        )
        cells = {CELLS_FILE: lambda path: write_anndata(self.adata, path)} if save_anndata else {}
        record = {**vars(facts), "schema": facts.schema.to_json()}
        record["query"] = None if facts.query is None else asdict(facts.query)
        save_model(self, dir_path, self.net.state_dict(), record, overwrite, cells)

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | str | Path | None = None,
        accelerator: str = "cpu",
    ) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            Cells to attach, or their path, with the model's genes, systems and covariates;
            ``None`` takes those saved with the model (``save_anndata``) or reads the model alone, which then needs
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
        path = full_path(dir_path)

        def read() -> tuple[Self, AnnData | str | Path | None]:
            model = cls.__new__(cls)
            if holds_scvi_model(path) and not (path / f"{NAME}.json").exists():
                model._read_scvi(path)
            else:
                model._read_own(path)
            return model, _cells_beside(path) if adata is None else adata

        found: tuple[Self, AnnData | str | Path | None] = consistent(path, NAME, read)
        model, cells = found
        model.net.to(choose_device(accelerator))
        if cells is not None:
            model._attach(cells)
        return model

    def _read_own(self, dir_path: Path) -> None:
        """Everything that `save` wrote."""
        tensors, record = read_model(dir_path, type(self).__name__)
        where = f"{dir_path / NAME}.json"
        saved = typed(Saved, record, where)
        _check_schema(saved.schema, where)
        self._make(saved.schema, self._checked(saved.arguments, where), tensors, dir_path)
        self._past = Trainings(saved.history, saved.stopped)
        self._fingerprint = saved.data_fingerprint
        self._n_cells = saved.n_cells
        self._train_facts = saved.training
        self._query = saved.query
        self.notes = saved.notes

    def _read_scvi(self, dir_path: Path) -> None:
        """What scvi-tools' SysVI saved; its training history is not kept."""
        schema, arguments, weights, facts = convert(read_scvi_file(dir_path / FILE))
        _check_schema(schema, str(dir_path / FILE))
        self._make(schema, arguments, weights, dir_path)
        self._past.stopped = "max_epochs" if facts["trained"] else None
        self._fingerprint = ""
        self._n_cells = facts["n_cells"]
        self._train_facts = {"scvi_version": facts["scvi_version"]}

    def _checked(self, given: dict[str, Any], where: str) -> dict[str, Any]:
        """The constructor's arguments, as it would have them."""
        given = dict(given)
        # an entry of no meaning that models once had
        given.pop("skip", None)
        arithmetic = given.pop("arithmetic", None)
        if arithmetic not in (None, ARITHMETIC):
            raise ModelFileError(
                f"{where}.arguments.arithmetic is {arithmetic!r}. Expected {ARITHMETIC!r}."
            )
        found = arguments(type(self).__init__, given, f"{where}.arguments")
        # models saved before there was this argument have decoders as deep as their encoders
        found = {"n_layers_decoder": None} | found
        try:
            check_arguments(found)
        except (InputError, KeyError) as error:
            raise ModelFileError(
                f"{where} has arguments that no model is made of: {error}. Expected an unchanged folder as it "
                "was saved."
            ) from error
        return found if arithmetic is None else found | {"arithmetic": arithmetic}

    def _make(
        self,
        schema: Schema,
        arguments: dict[str, Any],
        tensors: dict[str, torch.Tensor],
        dir_path: Path,
    ) -> None:
        """The network, whose size is not believed before the weights have been seen to be of it."""
        deepest = max(arguments["n_layers"], arguments["n_layers_decoder"] or 1)
        if deepest > len(tensors):
            raise ModelFileError(
                f"{dir_path} tells of {deepest} layers, but there are {len(tensors)} weights. Expected an unchanged "
                "folder as it was saved."
            )
        with shapes_only(dir_path):
            self._prepare(schema, arguments)
            empty_prior(self.net, arguments)
            check_weights(self.net, tensors, dir_path)
        self._prepare(schema, arguments)
        empty_prior(self.net, arguments)
        load_weights(self.net, tensors, dir_path)


def _cells_beside(path: Path) -> AnnData | None:
    """The cells that were saved with a model, if they were and are still there."""
    file = path / CELLS_FILE
    if (path / f"{NAME}.json").exists():
        record = read_facts(path, NAME)
        names = listed(record)
        # a file that lies there by chance is not the model's; without a list, nobody can say
        if names and CELLS_FILE not in names:
            return None
        if CELLS_FILE in names:
            try:
                file = find(path, CELLS_FILE, record, NAME)
            except ModelFileError:
                if file.exists():
                    raise
                # whoever wants the room may delete them
                logger.warning("%s: the cells that were saved with the model are gone.", path)
    if not file.exists():
        return None
    try:
        return read_anndata(file)
    except InputError as error:
        raise ModelFileError(str(error)) from error


def _check_schema(schema: Schema, where: str) -> None:
    """Refuse a description of data that contradicts itself."""
    setup = schema.setup
    n_numbers = len(setup.continuous_covariate_keys)
    groups = (schema.systems, *schema.categories)
    wrong = {
        "labels are not those of labels_key": len(set(schema.labels)) != len(schema.labels)
        or (setup.labels_key is None) != (not schema.labels),
        "genes is empty or holds a name twice": len(set(schema.genes)) != len(schema.genes)
        or not schema.genes,
        "systems or categories are empty or hold a name twice": any(
            len(set(levels)) != len(levels) or not levels for levels in groups
        ),
        "categories are not those of categorical_covariate_keys": len(schema.categories)
        != len(setup.categorical_covariate_keys),
        "center and scale are not those of continuous_covariate_keys": not (
            len(schema.center) == len(schema.scale) == n_numbers
        ),
        "scale is not positive": any(scale <= 0 for scale in schema.scale),
        "gene_means is not one per gene": len(schema.gene_means) not in (0, len(schema.genes)),
        "expression_scale is not one per system, or not positive": not (
            schema.expression_scale is None
            or schema.expression_scale.is_consistent(len(schema.systems))
        ),
    }
    for what, is_so in wrong.items():
        if is_so:
            raise ModelFileError(
                f"{where} contradicts itself: {what}. Expected an unchanged folder as it was saved."
            )
