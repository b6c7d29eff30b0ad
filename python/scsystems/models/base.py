"""What all models share: training state, history, files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import nn

from .. import checks
from .._version import __version__
from ..checks import called
from ..data.by_name import per_cell
from ..durable.replace import Writer
from ..errors import InputError, ModelFileError, NotTrainedError
from ..files import misfits, read_facts, read_folder, write_folder
from ..train.checkpoint import History
from ..train.loop import FitResult
from ..words import word

logger = logging.getLogger(__name__)

NAME = "model"
KEPT = "The model is still in memory, and what was there before is unchanged: make room, or save to another folder."

Stopped = Literal["max_epochs", "early_stopping", "interrupted", "callback"]

# class name in model.json -> module that holds it; nothing else is ever imported on loading
KNOWN_MODELS = {
    "SysVI": "scsystems.models.sysvi.model",
    "ScSpecies": "scsystems.models.scspecies.model",
}


def load(dir_path: str | Path, adata: AnnData | None = None, **kwargs: Any):
    """Load a model of whichever class the folder holds.

    Parameters
    ----------
    dir_path
        Folder that ``save()`` wrote.
    adata
        Data to attach; optional for uses that bring their own.
    **kwargs
        Passed to the class's ``load``.
    """
    name = read_facts(dir_path, NAME).get("class")
    if not isinstance(name, str) or name not in KNOWN_MODELS:
        raise ModelFileError(
            f"{dir_path} holds a model of class {name!r}. Expected {list(KNOWN_MODELS)}."
        )
    cls = getattr(import_module(KNOWN_MODELS[name]), name)
    return cls.load(dir_path, adata, **kwargs)


def history_frames(history: History) -> dict[str, pd.DataFrame]:
    """One frame per quantity, index ``epoch`` (from 0), as scvi-tools gives it."""
    frames = {}
    for name, points in history.items():
        index = pd.Index([int(e) for e, _ in points], name="epoch")
        frames[name] = pd.DataFrame({name: [float(v) for _, v in points]}, index=index)
    return frames


def joined_history(earlier: History, latest: History) -> History:
    """The history of two trainings, whose epochs are counted on."""
    n_epochs = 1 + max((epoch for points in earlier.values() for epoch, _ in points), default=-1)
    joined = {name: list(points) for name, points in earlier.items()}
    for name, points in latest.items():
        joined.setdefault(name, []).extend((n_epochs + epoch, value) for epoch, value in points)
    return joined


class TrainedState:
    """Training state that both models keep: history, device, whether and how training ended."""

    net: nn.Module
    _history: History
    _stopped: Stopped | None
    # what the door that the cells came through keeps with the model, such as the assay in R; JSON
    notes: dict[str, Any]

    @property
    def history(self) -> dict[str, pd.DataFrame]:
        """Losses per epoch of all trainings: one data frame per quantity, index ``epoch``."""
        return history_frames(self._history)

    @property
    def trainer(self) -> SimpleNamespace:
        """``model.trainer.logger.history``, where tutorials of scvi-tools look for the losses."""
        return SimpleNamespace(logger=SimpleNamespace(history=self.history))

    @property
    def is_trained(self) -> bool:
        """Whether training has run, to its end or until an interrupt."""
        return self._stopped is not None

    @property
    def interrupted(self) -> bool:
        """Whether the last training was interrupted by the user."""
        return self._stopped == "interrupted"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device

    def to_device(self, device: str | torch.device) -> None:
        """Move the weights."""
        self.net.to(device)

    def report(self, path: str | Path, adata: AnnData | None = None, **options: Any) -> Path:
        """Write a report of this model, see :func:`scsystems.report`.

        Parameters
        ----------
        path
            File ending in ``.html`` (one file) or ``.md`` (figures in a folder beside it).
        adata
            Cells; default the model's own.
        **options
            Of :func:`scsystems.report`, such as ``label_key``.
        """
        from ..reports.integration import report

        return report(self, path, adata, **options)

    def _keep(self, result: FitResult) -> None:
        self._history = joined_history(result.earlier, result.history)
        self._stopped = result.stopped

    def _require_trained(self) -> None:
        if not self.is_trained:
            raise NotTrainedError(f"This model has not been trained. {word('train')}")


def save_model(
    model: Any,
    dir_path: str | Path,
    tensors: dict[str, torch.Tensor],
    facts: dict[str, Any],
    overwrite: bool,
    beside: Mapping[str, Writer] | None = None,
) -> None:
    """Write tensors and facts into a folder: ``model.safetensors`` and ``model.json``."""
    record = {
        "class": type(model).__name__,
        "version": __version__,
        "torch": torch.__version__,
        **facts,
    }
    write_folder(dir_path, NAME, tensors, record, overwrite, beside, KEPT)


def read_model(
    dir_path: str | Path, expected_class: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and facts that `save_model` wrote of a model of ``expected_class``."""
    tensors, record = read_folder(dir_path, NAME)
    name = record.pop("class", None)
    if name != expected_class:
        raise ModelFileError(
            f"{dir_path} holds {'no known' if name is None else f'a {name!r}'} model. Expected a {expected_class!r} "
            "model."
        )
    for key in ("version", "torch"):
        record.pop(key, None)
    return tensors, record


@contextmanager
def shapes_only(dir_path: Path) -> Iterator[None]:
    """Within the block networks are made without memory for their weights, to look at the shapes.

    What a folder says of a network's size is not believed before its weights have been seen to
    be of that size.
    """
    try:
        with torch.device("meta"):
            yield
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ModelFileError(
            f"{dir_path / NAME}.json tells of a network that cannot be ({str(error).splitlines()[0]}). Expected an "
            "unchanged folder as it was saved."
        ) from error


def check_weights(net: nn.Module, tensors: dict[str, torch.Tensor], dir_path: str | Path) -> None:
    """Refuse weights that are not those of a network, naming what does not match."""
    wrong = misfits(net.state_dict(), tensors)
    if wrong:
        raise ModelFileError(
            f"The weights in {dir_path} do not fit the model that its model.json describes: "
            f"{'; '.join(wrong[:5])}. Expected an unchanged folder as it was saved."
        )


def load_weights(net: nn.Module, tensors: dict[str, torch.Tensor], dir_path: str | Path) -> None:
    """Put saved weights into a network, naming what does not match."""
    check_weights(net, tensors, dir_path)
    net.load_state_dict(tensors)


def split_cells(
    n_cells: int, train_size: float | None, validation_size: float | None, shuffle: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and validation cells.

    Parameters
    ----------
    n_cells
        Number of cells.
    train_size, validation_size
        Fractions of the cells, in (0, 1]; together at most 1. A missing one is the rest.
    shuffle
        Draw the cells at random instead of from the front.
    seed
        Decides the draw.
    """
    if validation_size is not None:
        validation_size = checks.fraction("validation_size", validation_size)
    if train_size is None:
        train_size = 1.0 if validation_size is None else 1.0 - validation_size
    train_size = checks.fraction("train_size", train_size, zero=False)
    if validation_size is None:
        validation_size = 1.0 - train_size
    if train_size + validation_size > 1 + 1e-9:
        raise InputError(
            f"train_size={train_size} and validation_size={validation_size}. Expected fractions that add up to at "
            "most 1."
        )
    n_train, n_validation = round(n_cells * train_size), round(n_cells * validation_size)
    n_validation = min(n_validation, n_cells - n_train)
    if n_train < 2:
        raise InputError(
            f"train_size={train_size} leaves {n_train} of {n_cells} cells to train on. Expected at least 2."
        )
    order = np.random.default_rng(seed).permutation(n_cells) if shuffle else np.arange(n_cells)
    return order[:n_train], order[n_train : n_train + n_validation]


def resolve_indices(indices: Any, cells: pd.Index, argument: str = "indices") -> np.ndarray | None:
    """Positions of cells as an integer array; ``None`` stays ``None`` (all cells).

    Parameters
    ----------
    indices
        Positions, or a mask of all cells; a mask with names of cells may be in any order.
    cells
        Names of the cells.
    argument
        What messages call it.
    """
    if indices is None:
        return None
    n = len(cells)
    values = indices if isinstance(indices, pd.Series) else np.asarray(indices)
    if pd.api.types.infer_dtype(values) == "boolean":
        mask = per_cell(called(argument), values, cells)
        if mask.isna().any():
            raise InputError(f"{called(argument)} is a mask with missing values.")
        return np.flatnonzero(mask.to_numpy(dtype=bool))
    array = np.asarray(values)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise InputError(
            f"{called(argument)} must be a one-dimensional array of whole numbers or a boolean mask."
        )
    if array.size and (array.min() < -n or array.max() >= n):
        raise InputError(
            f"{called(argument)} reach from {array.min()} to {array.max()}. Expected values below {n}, the number "
            "of cells."
        )
    return array.astype(np.int64)


def callback_list(
    callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] | None,
) -> list[Callable[..., Any]]:
    """``callbacks`` as a list, each checked to be callable."""
    if callbacks is None:
        return []
    listed = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in listed:
        if not callable(callback):
            raise InputError(
                f"{word('callbacks')} holds {type(callback).__name__}. Expected functions of the epoch, the number of "
                "epochs and the losses."
            )
    return listed
