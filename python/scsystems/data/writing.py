"""Cells into files: names that a file can hold, and files that are replaced whole or not at all."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Protocol

import anndata
import pandas as pd
from anndata import AnnData

from ..durable.replace import replace_file, replace_tree
from ..errors import InputError
from .matrix import layer_names

# parts of an AnnData object in a .zarr store, and what zarr itself keeps there
STORE = {
    *("X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns", "raw"),
    *(".zgroup", ".zattrs", ".zmetadata", "zarr.json"),
}
# the file systems' limit for a name is 255
LONGEST_NAME = 200


class Writable(Protocol):
    """Cells that can write themselves."""

    def write(self, path: str | Path) -> None:
        """Write everything into a new file."""


def check_name(name: str, what: str = "The embedding") -> None:
    """Refuse the name of an embedding or a column that makes an ``.h5ad`` or ``.zarr`` unreadable.

    Parameters
    ----------
    name
        The name.
    what
        What it is the name of, at the beginning of a sentence.
    """
    reserved = {"": "is empty", ".": "is reserved", "..": "is reserved", "_index": "is reserved"}
    wrong = reserved.get(name)
    if "/" in name or "\0" in name:
        wrong = f"holds {'/' if '/' in name else 'a zero byte'}, which separates groups in the file"
    elif len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        wrong = f"is longer than {LONGEST_NAME} bytes"
    elif name.startswith("__"):
        wrong = "begins with __, which is reserved"
    if wrong:
        raise InputError(
            f"{what} cannot be called {name[:LONGEST_NAME]!r} in a file: the name {wrong}. Choose a name of letters, "
            "digits, '_', '-' and '.'."
        )


def write_anndata(adata: AnnData, path: str | Path, compression: str | None = None) -> None:
    """Write an AnnData object that can be read again; zarr or HDF5 by the name of the file.

    Parameters
    ----------
    adata
        The object.
    path
        A new file.
    compression
        Of ``.h5ad`` files.
    """
    for part in ("obsm", "varm", "obsp", "varp", "layers"):
        for key in layer_names(adata) if part == "layers" else getattr(adata, part):
            check_name(key, f"An entry of {part}")
    for part in ("obs", "var"):
        for key, values in getattr(adata, part).items():
            if key == "":
                check_name(key, f"A column of {part}")
            _check_values(f"adata.{part}[{key!r}]", values)
    with warnings.catch_warnings(), _nullable_strings():
        # the version of zarr's format is anndata's choice
        warnings.filterwarnings("ignore", message="Writing zarr v2")
        try:
            write_h5ad, write_zarr = _writers()
            if Path(path).suffix.lower() == ".zarr":
                write_zarr(adata, path, convert_strings_to_categoricals=False)
            else:
                write_h5ad(
                    adata, path, convert_strings_to_categoricals=False, compression=compression
                )
        except (OSError, RuntimeError, MemoryError):
            raise  # of the disk
        except Exception as error:
            # whatever else anndata raises is about the values
            raise _unwritable(_entry(error), str(error).strip().splitlines()[0]) from error


def _check_values(where: str, values: pd.Series) -> None:
    """Refuse what newer releases of zarr turn into text, where others refuse it."""
    levels = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    if isinstance(levels.dtype, pd.IntervalDtype):
        raise _unwritable(where, "it holds intervals")
    if levels.dtype == object and pd.api.types.infer_dtype(levels).startswith("mixed"):
        raise _unwritable(where, "it holds values of several kinds")


def _unwritable(where: str, why: str) -> InputError:
    return InputError(
        f"{where} cannot be written into a file ({why}). Expected entries of text, numbers, true and false, or "
        "categories of these, under names of text. Convert it, for example with .astype(str), or leave it out."
    )


def write_cells(cells: Writable, target: str | Path) -> None:
    """Write a file or store, in place of an old one if there is one; links are followed.

    At any moment the old or the new one is there, whole. What others keep in a store's folder
    stays.

    Raises
    ------
    WriteError
        If it cannot be written; the old one is as it was.
    """
    if Path(target).suffix.lower() == ".zarr":
        replace_tree(target, cells.write, _foreign)
    else:
        replace_file(target, cells.write)


def is_store(path: Path) -> bool:
    """Whether a folder is the store of an AnnData object."""
    names = {entry.name for entry in path.iterdir()}
    return {"obs", "var"} <= names and bool({".zgroup", "zarr.json"} & names)


def _foreign(store: Path) -> list[Path]:
    return [entry for entry in store.iterdir() if entry.name not in STORE]


def _entry(error: Exception) -> str:
    """Which part of the object an error of anndata is about; the innermost is noted first."""
    for note in getattr(error, "__notes__", ()):
        if found := re.search(r"key '?(.+?)'? of <.*> to /(.*)$", note):
            key, group = found.groups()
            part, *keys = [*filter(None, group.split("/")), key]
            return f"adata.{part}" + "".join(f"[{k!r}]" for k in keys)
    return "adata"


def _writers() -> tuple[Callable, Callable]:
    """Writers of .h5ad and .zarr that can leave text as it is, in the file and in memory."""
    if "convert_strings_to_categoricals" in signature(AnnData.write_h5ad).parameters:
        return AnnData.write_h5ad, AnnData.write_zarr
    # before 0.12, which is all that Python 3.10 has, only the functions behind the methods can
    from anndata._io.h5ad import write_h5ad
    from anndata._io.zarr import write_zarr

    def into(write: Callable) -> Callable:
        return lambda adata, path, **options: write(Path(path), adata, **options)

    return into(write_h5ad), into(write_zarr)


def _nullable_strings() -> AbstractContextManager:
    """Text that may be missing, as pandas 3 has it, is written as it was read."""
    settings = getattr(anndata, "settings", None)
    if settings is not None and hasattr(settings, "allow_write_nullable_strings"):
        return settings.override(allow_write_nullable_strings=True)
    return nullcontext()
