"""Folders of weights and facts: safetensors beside JSON, replaced whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .durable.leftovers import is_leftover
from .durable.manifest import AGAIN, SUMS, read_record
from .durable.replace import Writer
from .durable.sets import consistent, find, holds_set, write_set
from .durable.steps import UNCHANGED, check_writable, full_path, writing
from .errors import ModelFileError, NonFiniteError
from .words import written

# what systems put into a folder that is otherwise empty
NOBODYS = {".DS_Store", ".gitignore", ".gitkeep", "Thumbs.db", "desktop.ini", "lost+found"}


def check_folder(path: str | Path, name: str = "model", overwrite: bool = False) -> Path:
    """Refuse a folder that `write_folder` would not write into; for callers with work before it.

    Parameters
    ----------
    path
        The folder; ``~`` is the home folder.
    name
        Stem of the files.
    overwrite
        Whether files of ours there may be replaced.

    Returns
    -------
    The path in full.

    Raises
    ------
    ModelFileError
        If there is something already.
    WriteError
        If nothing can be written there.
    """
    path = full_path(path)
    with writing(path):
        if path.exists():
            if not path.is_dir():
                raise ModelFileError(
                    f"{path} is a file, so it is not replaced by a {name} folder. Give another path."
                )
            full = any(
                not is_leftover(entry) and entry not in NOBODYS for entry in os.listdir(path)
            )
            if full and not overwrite:
                raise ModelFileError(
                    f"{path} exists already. Give another path, or {written('overwrite', True)} to replace it."
                )
            if full and not holds_set(path, name):
                raise ModelFileError(
                    f"{path} exists and is not a {name} folder, so nothing is written there. Give another path."
                )
    check_writable(path)
    return path


def write_folder(
    path: str | Path,
    name: str,
    tensors: dict[str, Tensor],
    record: dict[str, Any],
    overwrite: bool,
    beside: Mapping[str, Writer] | None = None,
    kept: str = UNCHANGED,
) -> Path:
    """Write ``name.safetensors`` and ``name.json`` into a folder, atomically.

    At any moment the folder holds the old files or the new ones, whatever happens to the process
    or the power; other files in it stay.

    Parameters
    ----------
    path
        The folder; its parents are made.
    name
        Stem of the two files.
    tensors
        What goes into the safetensors file.
    record
        What goes into the JSON file.
    overwrite
        Replace files that are there.
    beside
        Further files that belong to them: name -> function that writes it to a given path.
    kept
        What to say of old and new in case of an error.

    Raises
    ------
    ModelFileError
        If there is something else in the folder.
    NonFiniteError
        If tensors hold NaN or infinity.
    WriteError
        If the disk is full, for example.
    """
    path = check_folder(path, name, overwrite)
    bad = not_finite(tensors)
    if bad:
        raise NonFiniteError(
            f"NaN or infinity in {', '.join(bad[:3])}: nothing is written to {path}, for it would be of no use. "
            "Training has failed; train again with a lower learning rate, or with gradient_clip_val."
        )
    dense = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    files: dict[str, Writer] = {f"{name}.safetensors": lambda file: save_file(dense, file)}
    write_set(path, name, record, files | dict(beside or {}), kept)
    return path


def read_folder(
    path: str | Path, name: str, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_folder` wrote; no code is executed.

    Raises
    ------
    ModelFileError
        If the folder or one of its files is missing or damaged.
    """
    path = full_path(path)

    def read() -> tuple[dict[str, Tensor], dict[str, Any]]:
        record = read_facts(path, name)
        weights = find(path, f"{name}.safetensors", record, name)
        try:
            tensors = load_file(weights, device=str(device))
        except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError) as error:
            raise ModelFileError(f"{weights} is damaged or cut short ({error}). {AGAIN}") from error
        bad = not_finite(tensors)
        if bad:
            raise ModelFileError(
                f"{weights} holds NaN or infinity in {', '.join(bad[:3])}. Expected numbers. {AGAIN}"
            )
        record.pop(SUMS, None)
        return tensors, record

    return consistent(path, name, read)


def read_facts(path: str | Path, name: str) -> dict[str, Any]:
    """The JSON file of a folder alone, with its checksums."""
    path = full_path(path)
    if not path.is_dir():
        raise ModelFileError(f"{path} is not a folder. Expected the folder of a saved model.")
    facts = path / f"{name}.json"
    if not facts.exists():
        raise ModelFileError(
            f"{path} is not a complete {name} folder: {facts.name} missing. Expected {name}.safetensors and "
            f"{facts.name}. {AGAIN}"
        )
    return read_record(facts)


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not torch.isfinite(tensor).all()
    ]


def misfits(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> list[str]:
    """What keeps saved weights from being those of a network with the state ``own``."""
    wrong = [f"{name} missing" for name in own if name not in saved]
    wrong += [f"{name} unknown" for name in saved if name not in own]
    for name in [name for name in own if name in saved]:
        there, here = saved[name], own[name]
        if there.shape != here.shape:
            wrong.append(f"{name} of shape {tuple(there.shape)} instead of {tuple(here.shape)}")
        elif there.is_floating_point() != here.is_floating_point():
            wrong.append(f"{name} of type {there.dtype} instead of {here.dtype}")
        elif name.endswith("running_var") and (there < 0).any():
            wrong.append(f"{name} below zero")
    return wrong
