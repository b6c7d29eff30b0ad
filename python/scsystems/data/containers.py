"""Cells in files of several kinds behind one interface: ``.h5ad``, ``.zarr``, ``.rds``."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Protocol

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from ..errors import InputError, MissingExtraError
from .schema import expression

SUFFIXES = (".h5ad", ".zarr", ".rds")


class Cells(Protocol):
    """What the command line needs of a file of cells.

    ``adata`` holds the chosen expression in ``X``; ``kind`` names the object in the file;
    ``default_name`` is what an embedding is called in that kind of object.
    """

    adata: AnnData
    kind: str
    default_name: str

    def add_embedding(self, name: str, values: np.ndarray) -> None:
        """Add an embedding, n x L."""

    def add_column(self, name: str, values: np.ndarray) -> None:
        """Add a column of cell data, or replace it: numbers, yes and no, or text, which becomes categories."""

    def write(self, path: str | Path) -> None:
        """Write everything that was read, and what was added."""


class AnnDataFile:
    """An AnnData object in an ``.h5ad`` file or a ``.zarr`` store."""

    kind = "AnnData"
    default_name = "X_sysvi"

    def __init__(self, path: str | Path, layer: str | None = None):
        path = Path(path)
        try:
            self._whole = (
                anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)
            )
        except ImportError as error:
            raise MissingExtraError(
                f"{path}: zarr stores need the package zarr. Install it with: pip install 'scsystems[atlas]'"
            ) from error
        except Exception as error:
            # h5py, zarr and anndata raise errors of many kinds for damaged files
            raise InputError(
                f"{path} could not be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}). "
                f"Expected an AnnData object, as anndata.AnnData.write_{path.suffix[1:]}() writes it."
            ) from error
        self.adata = self._whole
        if layer is not None:
            self.adata = AnnData(
                expression(self._whole, layer),
                obs=self._whole.obs,
                var=self._whole.var[[]],
                obsm=dict(self._whole.obsm),
            )

    def add_embedding(self, name: str, values: np.ndarray) -> None:
        """Add an embedding to ``obsm``."""
        self._whole.obsm[name] = values
        self.adata.obsm[name] = values

    def add_column(self, name: str, values: np.ndarray) -> None:
        """Add a column to ``obs``; text becomes categories."""
        column = pd.Categorical(values) if values.dtype == object else values
        self._whole.obs[name] = column
        self.adata.obs[name] = column

    def write(self, path: str | Path) -> None:
        """Write the object; zarr or HDF5 by the name of the file."""
        if Path(path).suffix == ".zarr":
            with warnings.catch_warnings():
                # the version of zarr's format is anndata's choice
                warnings.filterwarnings("ignore", message="Writing zarr v2")
                self._whole.write_zarr(path)
        else:
            self._whole.write_h5ad(path, compression="gzip")


def open_cells(
    path: str | Path,
    assay: str | None = None,
    layer: str | None = None,
    counts_first: bool = True,
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
    counts_first
        Whether the default layer of ``.rds`` files is the counts or the log-normalized values.

    Raises
    ------
    InputError
        If there is no such file or it is not of these kinds.
    """
    path = Path(path)
    check_suffix(path)
    if not path.exists():
        raise InputError(f"{path} does not exist. Expected a file of cells.")
    if path.suffix == ".rds":
        from ..r.rds import RdsFile

        return RdsFile(path, assay, layer, counts_first)
    if assay is not None:
        raise InputError(
            f"An assay ({assay!r}) is given, but {path} holds an AnnData object, which has none. Expected a layer, "
            "or a Seurat or SingleCellExperiment object."
        )
    return AnnDataFile(path, layer)


def check_suffix(path: str | Path) -> None:
    """Refuse files whose names do not say their kind."""
    if Path(path).suffix not in SUFFIXES:
        raise InputError(
            f"{path}: the ending {Path(path).suffix!r} is not known. Expected {', '.join(SUFFIXES)}."
        )


def check_target(source: str | Path, target: str | Path, overwrite: bool) -> None:
    """Refuse to write into another kind of file, or over an existing one."""
    source, target = Path(source), Path(target)
    r_object = ".rds" in (source.suffix, target.suffix)
    check_suffix(target)
    if r_object and source.suffix != target.suffix:
        raise InputError(
            f"{target}: {source} is written back as the same kind of object. Expected a name that ends in "
            f"{source.suffix}."
        )
    if target.exists() and not overwrite:
        raise InputError(
            f"{target} exists already. Give another name, or --overwrite to replace it."
        )
    if not target.absolute().parent.is_dir():
        raise InputError(f"The folder {target.absolute().parent} does not exist. Make it first.")


def write_cells(cells: Cells, target: str | Path) -> None:
    """Write a file whole or not at all: under a temporary name first."""
    target = Path(target).absolute()
    folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    try:
        fresh = folder / target.name
        cells.write(fresh)
        if target.is_dir():
            os.replace(target, folder / "replaced")
        os.replace(fresh, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
