"""Cells in files whose expression stays on disk: opened for reading, and written block by block."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..durable.steps import reason
from ..errors import InputError, StoreError, require_extra
from .disk import DiskMatrix, open_root

try:
    from anndata.io import read_elem, sparse_dataset, write_elem
except ImportError:  # anndata before 0.11
    from anndata.experimental import read_elem, sparse_dataset, write_elem


@dataclass(frozen=True)
class StoreCells:
    """Cells in a file: the matrix on disk, cell data and gene names in memory."""

    path: Path
    matrix: DiskMatrix
    obs: pd.DataFrame
    var_names: pd.Index

    def __len__(self) -> int:
        return len(self.obs)


def open_store(path: str | Path, layer: str | None = None) -> StoreCells:
    """Open an ``.h5ad`` file or ``.zarr`` store.

    Parameters
    ----------
    path
        The file.
    layer
        Layer with the expression; ``X`` by default.

    Raises
    ------
    InputError
        If there is no such file or layer, or the matrix lies by genes.
    StoreError
        If the file cannot be read.
    """
    path = Path(path).expanduser()
    matrix = DiskMatrix.open(path, "X" if layer is None else f"layers/{layer}")
    root = open_root(path)
    obs, var = (read_part(path, root, name) for name in ("obs", "var"))
    if matrix.shape != (len(obs), len(var)):
        raise StoreError(
            f"{path}: {matrix.key} has {matrix.shape[0]} cells x {matrix.shape[1]} genes, but obs has {len(obs)} "
            f"rows and var {len(var)}. Expected a file as AnnData writes it."
        )
    return StoreCells(path, matrix, obs, var.index.astype(str))


def read_part(path: Path, root: Any, name: str) -> Any:
    """A part of an AnnData, such as ``obs``, in memory; an empty one if there is no ``uns``."""
    if name == "uns" and name not in root:
        return {}
    try:
        return read_elem(root[name])
    except Exception as error:
        # damaged files make h5py, zarr and anndata raise errors of many kinds
        raise StoreError(
            f"{path}: {name} could not be read ({reason(error)}). Expected a file as AnnData writes it."
        ) from error


def matrix_element(element: Any) -> Any:
    """A matrix as AnnData holds it without reading it."""
    return sparse_dataset(element) if hasattr(element, "keys") else element


def layer_elements(root: Any) -> dict[str, Any]:
    """The layers of an AnnData, none of them read."""
    layers = root["layers"] if "layers" in root else {}
    return {name: matrix_element(layers[name]) for name in layers}


def add_to_store(
    path: str | Path,
    embeddings: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Add embeddings and columns to a file of cells, or replace them; nothing else in it is touched."""
    path = Path(path)
    if not path.is_dir():
        import h5py

        with h5py.File(path, "r+") as file:
            _add(file, embeddings, columns or {})
        return
    zarr = require_extra("zarr", "atlas")
    # what zarr has written down of all groups together is renewed afterwards
    newer = int(zarr.__version__.split(".")[0]) >= 3
    options = {"use_consolidated": False} if newer else {}
    _add(zarr.open_group(str(path), mode="r+", **options), embeddings, columns or {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(str(path))


def _add(
    root: Any, embeddings: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]
) -> None:
    if "obsm" not in root:
        write_elem(root, "obsm", {})
    for name, values in embeddings.items():
        if name in root["obsm"]:
            del root["obsm"][name]
        write_elem(root["obsm"], name, values)
    obs = root["obs"]
    order = [str(name) for name in obs.attrs["column-order"]]
    for name, values in columns.items():
        if name in obs:
            del obs[name]
        write_elem(obs, name, values)
    order += [name for name in columns if name not in order]
    obs.attrs["column-order"] = order


# values are written so many at a time
_CHUNK = 2**16


class StoreWriter:
    """An ``.h5ad`` file that is being written: matrices grow by blocks of cells."""

    def __init__(self, file: Any, keys: Iterable[str], n_genes: int):
        self.file, self.n_genes = file, n_genes
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            write_elem(file, name, {})
        self.groups = {key: self._empty_csr(key) for key in keys}
        self.ends = {key: [np.zeros(1, np.int64)] for key in self.groups}

    def _empty_csr(self, key: str) -> Any:
        group = self.file.create_group(key)
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        for name, dtype in (("data", np.float32), ("indices", np.int32)):
            group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK,))
        return group

    def append(self, key: str, rows: sparse.csr_matrix) -> None:
        """Add cells to a matrix."""
        group, ends = self.groups[key], self.ends[key]
        last = int(ends[-1][-1])
        for name, values in (("data", rows.data), ("indices", rows.indices)):
            group[name].resize((last + len(values),))
            group[name][last:] = values
        ends.append(last + rows.indptr[1:].astype(np.int64))

    def close(self, obs: pd.DataFrame, var: pd.DataFrame, uns: dict[str, Any]) -> None:
        """Write what belongs to cells and genes."""
        for key, group in self.groups.items():
            ends = np.concatenate(self.ends[key])
            group.create_dataset("indptr", data=ends)
            group.attrs["shape"] = np.array([len(ends) - 1, self.n_genes])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Transforming to str index")
            write_elem(self.file, "obs", obs)
            write_elem(self.file, "var", var)
            for name, value in uns.items():
                write_elem(self.file["uns"], name, value)


@contextmanager
def writing(path: str | Path, keys: Iterable[str], n_genes: int) -> Iterator[StoreWriter]:
    """An ``.h5ad`` file, in its place when the block ends well, and gone when it does not."""
    import h5py

    path = Path(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(fresh, "w") as file:
            yield StoreWriter(file, keys, n_genes)
        os.replace(fresh, path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"{path} could not be written ({error}). Expected a disk with enough room. Give another place."
        ) from error
    finally:
        with suppress(OSError):
            fresh.unlink()


def check_output(path: str | Path, overwrite: bool) -> Path:
    """Refuse a file that cannot be written, before anything is computed."""
    path = Path(path).expanduser().absolute()
    if path.suffix != ".h5ad":
        raise InputError(f"out={str(path)!r}. Expected the name of an .h5ad file.")
    if path.exists() and not overwrite:
        raise InputError(
            f"out: {path} exists already. Give another name, or overwrite=True to replace it."
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"out: the folder {path.parent} does not exist or cannot be written to. Make it first."
        )
    return path
