"""Folders of weights and facts: safetensors beside JSON, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import ModelFileError


def write_folder(
    path: str | Path, name: str, tensors: dict[str, Tensor], record: dict[str, Any], overwrite: bool
) -> Path:
    """Write ``name.safetensors`` and ``name.json`` into a folder, atomically.

    The folder is made complete under a temporary name beside its place and then moved there, so
    that a crash or a full disk never leaves half a model.

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
        Replace an existing folder.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ModelFileError(
            f"{path} exists already. Give another path, or overwrite=True to replace it."
        )
    if (
        path.exists()
        and not (path / f"{name}.json").exists()
        and (path.is_file() or any(path.iterdir()))
    ):
        raise ModelFileError(
            f"{path} exists and is not a {name} folder, so it is not replaced. Give another path."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            fresh / f"{name}.safetensors",
        )
        (fresh / f"{name}.json").write_text(json.dumps(record, indent=1, allow_nan=True))
        os.chmod(fresh, 0o777 & ~_umask())
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
            os.replace(path, old / "replaced")
            os.replace(fresh, path)
            shutil.rmtree(old)
        else:
            os.replace(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
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
    path = Path(path)
    if not path.is_dir():
        raise ModelFileError(f"{path} is not a folder. Expected the folder that save() wrote.")
    weights, facts = path / f"{name}.safetensors", path / f"{name}.json"
    missing = [file.name for file in (weights, facts) if not file.exists()]
    if missing:
        raise ModelFileError(
            f"{path} is not a complete {name} folder: {', '.join(missing)} missing. Expected {weights.name} and "
            f"{facts.name}. Copy the whole folder again, or save the model again."
        )
    try:
        record = json.loads(facts.read_text())
    except ValueError as error:
        raise ModelFileError(
            f"{facts} is damaged ({error}). Copy the whole folder again, or save again."
        ) from error
    try:
        tensors = load_file(weights, device=str(device))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{weights} is damaged or cut short ({error}). Copy the whole folder again, or save again."
        ) from error
    return tensors, record


def _umask() -> int:
    """The process's file mask, which temporary folders do not follow."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
