"""Cells given as a path: an AnnData whose matrices stay on disk, and what was set up for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from anndata import AnnData

from .. import checks
from ..durable.steps import full_path
from ..errors import StoreError
from .schema import Schema
from .stores import layer_elements, matrix_element, open_root, read_part

# what `setup_anndata` found in files, by path and state: a path has no uns to keep it in
_SCHEMAS: dict[tuple[str, int, int], Schema] = {}


def is_path(cells: Any) -> bool:
    """Whether cells are given as a path."""
    return isinstance(cells, (str, os.PathLike))


def opened(cells: AnnData | str | Path, name: str = "adata") -> AnnData:
    """An AnnData as it is, or that of a path: see `open_anndata`; ``name`` is the argument."""
    return open_anndata(cells) if is_path(cells) else checks.anndata(name, cells)


def open_anndata(path: str | Path) -> AnnData:
    """The cells in an ``.h5ad`` file or ``.zarr`` store; their matrices stay on disk.

    ``obs``, ``var`` and ``uns`` are in memory; ``X`` and the layers are read where they are used.
    Embeddings and graphs are left out.

    Parameters
    ----------
    path
        The file, as AnnData writes it.

    Raises
    ------
    InputError
        If there is no such file.
    StoreError
        If it cannot be read.

    Examples
    --------
    >>> adata = scs.open_anndata("atlas.h5ad")  # doctest: +SKIP
    >>> scs.SysVI.setup_anndata(adata, batch_key="system")  # doctest: +SKIP
    """
    path = full_path(path)
    root = open_root(path)
    obs, var, uns = (read_part(path, root, name) for name in ("obs", "var", "uns"))
    try:
        return AnnData(
            matrix_element(root["X"]) if "X" in root else None,
            obs=obs,
            var=var,
            uns=uns,
            layers=layer_elements(root),
            shape=None if "X" in root else (len(obs), len(var)),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} could not be read ({error}). Expected an .h5ad file or a .zarr store, as AnnData writes it."
        ) from error


def remember(path: str | Path, schema: Schema) -> None:
    """Keep what is to be used of a file, and was found in it, for this process."""
    _SCHEMAS[_state(path)] = schema


def remembered(path: str | Path) -> Schema | None:
    """What was kept of a file, if it is still the same."""
    return _SCHEMAS.get(_state(path))


def _state(path: str | Path) -> tuple[str, int, int]:
    place = full_path(path).resolve()
    facts = place.stat()
    return str(place), facts.st_mtime_ns, facts.st_size
