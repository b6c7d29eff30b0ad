"""Cells in files of several kinds behind one interface: ``.h5ad``, ``.zarr``, ``.rds``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from ..durable.recovery import clean
from ..durable.steps import check_writable, full_path, reason
from ..errors import InputError, MissingExtraError
from ..words import word, written
from .choice import Wanted, choose_expression
from .writing import check_name, is_store, write_anndata, write_cells

__all__ = ["AnnDataFile", "Cells", "check_target", "open_cells", "read_anndata", "write_cells"]

SUFFIXES = (".h5ad", ".zarr", ".rds")


class Cells(Protocol):
    """What the command line needs of a file of cells.

    ``adata`` holds the chosen expression in ``X``.
    """

    adata: AnnData

    @property
    def kind(self) -> str:
        """The object in the file."""

    @property
    def default_name(self) -> str:
        """What an embedding is called in it."""

    def add_embedding(self, name: str, values: np.ndarray) -> None:
        """Add an embedding, n x L."""

    def add_column(self, name: str, values: np.ndarray) -> None:
        """Add a column of cell data, or replace it: numbers, yes and no, or text, which becomes categories."""

    def write(self, path: str | Path) -> None:
        """Write everything that was read, and what was added."""


class AnnDataFile:
    """An AnnData object in an ``.h5ad`` file or a ``.zarr`` store; see `open_cells`."""

    kind = "AnnData"
    default_name = "X_sysvi"

    def __init__(
        self,
        path: str | Path,
        layer: str | None = None,
        raw: bool = False,
        wanted: Wanted = "any",
    ):
        self._whole = read_anndata(path)
        self.adata = choose_expression(self._whole, layer, raw, wanted)

    @classmethod
    def holding(cls, adata: AnnData) -> AnnDataFile:
        """Cells that come from elsewhere than one file."""
        made = cls.__new__(cls)
        made._whole = made.adata = adata
        return made

    def add_embedding(self, name: str, values: np.ndarray) -> None:
        """Add an embedding to ``obsm``."""
        check_name(name)
        self._whole.obsm[name] = values
        self.adata.obsm[name] = values

    def add_column(self, name: str, values: np.ndarray) -> None:
        """Add a column to ``obs``; text becomes categories."""
        check_name(name, "The column")
        column = pd.Categorical(values) if values.dtype == object else values
        self._whole.obs[name] = column
        self.adata.obs[name] = column

    def write(self, path: str | Path) -> None:
        """Write the object; zarr or HDF5 by the name of the file."""
        write_anndata(self._whole, path, compression="gzip")


def open_cells(
    path: str | Path,
    assay: str | None = None,
    layer: str | None = None,
    *,
    raw: bool = False,
    wanted: Wanted = "any",
) -> Cells:
    """Read a file of cells.

    Parameters
    ----------
    path
        ``.h5ad`` or ``.zarr`` (AnnData), ``.rds`` (Seurat, SingleCellExperiment).
    assay
        Assay of a Seurat object or alternative experiment of a SingleCellExperiment.
    layer
        Layer with the expression; see :class:`scsystems.r.rds.RdsFile` for ``.rds`` files.
    raw
        Take the expression in ``.raw`` of an AnnData.
    wanted
        What the expression should be, if neither is given: see
        :func:`scsystems.data.choice.choose_expression`. Of ``.rds`` files the log-normalized
        values come first for ``"logs"``, else the counts.

    Raises
    ------
    InputError
        If there is no such file or it is not of these kinds.
    """
    path = check_source(path)
    if suffix(path) == ".rds":
        from ..r.rds import RdsFile

        if raw:
            raise InputError(
                f"{word('raw')}: {path} holds an object of R, which has no .raw. Leave it out, or name a layer with "
                f"{word('layer')}."
            )
        return RdsFile(path, assay, layer, wanted != "logs")
    if assay is not None:
        raise InputError(
            f"{written('assay', assay)}: {path} holds an AnnData object, which has no assays. Expected a layer "
            f"({word('layer')}), or a Seurat or SingleCellExperiment object."
        )
    return AnnDataFile(path, layer, raw, wanted)


def _is_unknown_encoding(error: BaseException | None) -> bool:
    """Whether a file has parts that this version of anndata does not know."""
    while error is not None:
        if type(error).__name__ == "IORegistryError":
            return True
        error = error.__cause__ or error.__context__
    return False


def suffix(path: str | Path) -> str:
    """The ending of a file's name, in small letters."""
    return Path(path).suffix.lower()


def read_anndata(path: str | Path) -> AnnData:
    """The AnnData object in an ``.h5ad`` file or a ``.zarr`` store.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    path = full_path(path)
    is_store = suffix(path) == ".zarr"
    while True:
        before = _identity(path)
        try:
            adata = anndata.read_zarr(path) if is_store else anndata.read_h5ad(path)
        except ImportError as error:
            raise MissingExtraError(
                f"{path}: zarr stores need the package zarr. Install it with: pip install 'scsystems[atlas]'"
            ) from error
        except Exception as error:
            # h5py, zarr and anndata raise errors of many kinds for damaged files
            failure: Exception | None = error
        else:
            failure = None
        # a store is many files, read one after the other: it may have been replaced meanwhile
        if is_store and _identity(path) != before:
            continue
        if failure is None:
            return adata
        remedy = f"Expected {'a .zarr store' if suffix(path) == '.zarr' else 'an .h5ad file'}, as AnnData writes it."
        if _is_unknown_encoding(failure):
            remedy = (
                f"It may have been written by a newer anndata than the {anndata.__version__} here: "
                "pip install --upgrade anndata."
            )
        raise InputError(f"{path} could not be read ({reason(failure)}). {remedy}") from failure


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def check_suffix(path: str | Path) -> None:
    """Refuse files whose names do not say their kind."""
    if suffix(path) not in SUFFIXES:
        raise InputError(
            f"{path}: the ending {Path(path).suffix!r} is not known. Expected {', '.join(SUFFIXES)}."
        )


def check_source(path: str | Path) -> Path:
    """Refuse a file that does not exist or whose name does not say its kind; returns it in full."""
    path = full_path(path)
    check_suffix(path)
    if not path.exists():
        # a store may have been moved out of the way by a process that died
        clean(path.resolve().parent)
    if not path.exists():
        raise InputError(f"{path} does not exist. Expected a file of cells.")
    return path


def check_target(
    source: str | Path,
    target: str | Path,
    overwrite: bool,
    names: Iterable[str] = (),
    *,
    makes_folder: bool = False,
) -> None:
    """Refuse a file that `write_cells` could not write, before there is anything to lose.

    Parameters
    ----------
    source
        The file that cells come from; what is written is of the same kind.
    target
        The file to write.
    overwrite
        Whether it may be there already.
    names
        Of embeddings and columns that will be added.
    makes_folder
        Whether the folder will be made if there is none.
    """
    source, target = Path(source), full_path(target)
    r_object = ".rds" in (suffix(source), suffix(target))
    check_suffix(target)
    if r_object and suffix(source) != suffix(target):
        raise InputError(
            f"{target}: {source} is written back as the same kind of object. Expected a name that ends in "
            f"{source.suffix}."
        )
    if not r_object:
        for name in names:
            check_name(name, "An embedding or column")
    if target.exists():
        if not overwrite:
            raise InputError(
                f"{target} exists already. Give another name, or --overwrite to replace it."
            )
        is_folder = suffix(target) == ".zarr"
        if target.is_dir() != is_folder or (
            is_folder and any(target.iterdir()) and not is_store(target)
        ):
            raise InputError(
                f"{target} is not {'the store of an AnnData object' if is_folder else 'a file'}, so it is not "
                "replaced. Give another name."
            )
    folder = target.resolve().parent
    if not (makes_folder or folder.is_dir()):
        raise InputError(f"The folder {folder} does not exist. Make it first.")
    check_writable(folder)
