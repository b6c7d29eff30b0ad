"""What all models share: state, files, and arguments that they take alike."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

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
from ..words import word
from .trainings import Trainings

logger = logging.getLogger(__name__)

NAME = "model"
KEPT = "The model is still in memory, and what was there before is unchanged: make room, or save to another folder."

# class name in model.json -> module that holds it; nothing else is ever imported on loading
KNOWN_MODELS = {
    "SysVI": "scsystems.models.sysvi.model",
    "ScSpecies": "scsystems.models.scspecies.model",
}


def load(dir_path: str | Path, adata: AnnData | str | Path | None = None, **kwargs: Any):
    """Load a model of whichever class the folder holds.

    Parameters
    ----------
    dir_path
        Folder that ``save()`` wrote.
    adata
        Data to attach, or its path (of ScSpecies by species); optional for uses that bring their own.
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


class BaseModel(ABC):
    """What all models offer: whether they are trained, where their weights are, files.

    A model has one network or several, each with its own `Trainings`; a subclass says which.
    """

    notes: dict[str, Any]

    @abstractmethod
    def _networks(self) -> Sequence[nn.Module]:
        """The networks that are trained."""

    @abstractmethod
    def _trainings(self) -> Sequence[Trainings]:
        """What has been done to each network."""

    @property
    def is_trained(self) -> bool:
        """Whether training has run, to its end or until an interrupt."""
        return all(part.stopped is not None for part in self._trainings())

    @property
    def interrupted(self) -> bool:
        """Whether the user interrupted the last training."""
        return any(part.stopped == "interrupted" for part in self._trainings())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._networks()[0].parameters()).device

    def to_device(self, device: str | torch.device) -> None:
        """Move the weights."""
        for net in self._networks():
            net.to(device)

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
    return None if indices is None else positions(indices, cells, argument)


def positions(indices: Any, cells: pd.Index, argument: str = "indices") -> np.ndarray:
    """`resolve_indices` of what is given."""
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
