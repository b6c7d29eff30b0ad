"""The matrix of expression: whatever an AnnData keeps it in, an ordinary array or sparse matrix here."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks, words
from ..errors import InputError
from .disk import DiskMatrix, on_disk

logger = logging.getLogger(__name__)

# what the rest of the package computes with; everything else becomes one of these
PLAIN = (np.ndarray, sparse.csr_matrix, sparse.csc_matrix)


def expression(adata: AnnData, layer: str | None = None) -> np.ndarray | sparse.spmatrix:
    """The matrix to use, ``adata.X`` or a layer, ready to compute with.

    What is kept on disk (a backed AnnData), in pieces (dask) or in another form (views, sparse
    arrays, ``numpy.matrix``, half precision, another byte order) is brought into memory as a
    `PLAIN` matrix of ordinary numbers; what is one already is returned as it is.

    Raises
    ------
    InputError
        If ``adata`` is no AnnData, has no such matrix, or it does not hold numbers.
    """
    return plain(_named(adata, layer), words.expression(layer))


def readable(adata: AnnData, layer: str | None = None) -> np.ndarray | sparse.spmatrix | DiskMatrix:
    """The same, but what is on disk by cells stays there."""
    there = on_disk(_named(adata, layer))
    return expression(adata, layer) if there is None else there


def _named(adata: AnnData, layer: str | None):
    """``adata.X`` or a layer, as it is."""
    checks.anndata("adata", adata)
    if layer is not None and (not isinstance(layer, str) or layer not in adata.layers):
        raise InputError(
            f"{words.written('layer', layer)} is not in {words.word('layers')}. Expected one of "
            f"{sorted(layer_names(adata))} or {words.word('nothing')} for {words.expression()}."
        )
    return adata.X if layer is None else adata.layers[layer]


def layer_names(adata: AnnData) -> list[str]:
    """The names in ``adata.layers``; anndata from 0.13 on lists ``X`` there too, as ``None``."""
    return [name for name in adata.layers if name is not None]


def stays_on_disk(adata: AnnData, layer: str | None = None) -> bool:
    """Whether `readable` gives a matrix on disk."""
    return on_disk(_named(adata, layer)) is not None


def in_memory(adata: AnnData, layer: str | None = None) -> AnnData:
    """Cells whose `expression` lies ready: ``adata`` itself if it does, else a copy with that matrix alone."""
    matrix = expression(adata, layer)
    if not adata.is_view and matrix is (adata.X if layer is None else adata.layers[layer]):
        return adata
    return AnnData(
        matrix if layer is None else None,
        obs=adata.obs,
        var=adata.var,
        uns=dict(adata.uns),
        obsm=dict(adata.obsm),
        layers=None if layer is None else {layer: matrix},
    )


def plain(matrix, where: str) -> np.ndarray | sparse.spmatrix:
    """A matrix of any kind that AnnData holds as a `PLAIN` one; see `expression`.

    Parameters
    ----------
    matrix
        The matrix.
    where
        How messages call it.
    """
    if type(matrix) in PLAIN and _is_ready(matrix):
        return matrix
    if matrix is None:
        raise InputError(
            f"{where} is empty. Name the layer to use with the argument {words.word('layer')}."
        )
    loaded = _loaded(matrix, where)
    if sparse.issparse(loaded):
        return _plain_sparse(loaded, where)
    if np.ma.is_masked(loaded):
        raise InputError(
            f"{where} is a masked array with {int(np.ma.count_masked(loaded))} values left out. Expected a value for "
            "every cell and gene. Fill them in, for example with .filled(0)."
        )
    values = np.asarray(loaded)
    if values.ndim != 2:
        raise InputError(
            f"{where} is of type {type(matrix).__name__}, with {values.ndim} dimensions. Expected a matrix of cells x "
            "genes: a numpy array or a scipy sparse matrix."
        )
    return _numbers(values, where)


def _loaded(matrix, where: str):
    """The matrix in memory: of an HDF5 file or zarr store, or computed (dask)."""
    if isinstance(matrix, (np.ndarray, pd.DataFrame)) or sparse.issparse(matrix):
        return matrix
    logger.info("Reading %s into memory: %d cells x %d genes", where, *matrix.shape)
    for method in ("to_memory", "compute"):
        if hasattr(matrix, method):
            return getattr(matrix, method)()
    try:
        return np.asarray(matrix)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where} is of type {type(matrix).__module__}.{type(matrix).__name__}, which cannot be read as numbers "
            f"({error}). Expected a numpy array or a scipy sparse matrix."
        ) from error


def _plain_sparse(matrix, where: str) -> sparse.csr_matrix | sparse.csc_matrix:
    if matrix.format not in ("csr", "csc"):
        matrix = matrix.tocsr()
    kind = sparse.csr_matrix if matrix.format == "csr" else sparse.csc_matrix
    at = (a.astype(a.dtype.newbyteorder("="), copy=False) for a in (matrix.indices, matrix.indptr))
    return kind((_numbers(matrix.data, where), *at), shape=matrix.shape)


def _is_ready(matrix) -> bool:
    """Whether a `PLAIN` matrix can be used as it is."""
    indices = (matrix.indices, matrix.indptr) if sparse.issparse(matrix) else ()
    return (
        matrix.ndim == 2
        and _is_ordinary(matrix.dtype)
        and all(array.dtype.isnative for array in indices)
    )


def _is_ordinary(dtype: np.dtype) -> bool:
    """Whether everything that follows can compute with such numbers."""
    return dtype.isnative and (
        dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))
    )


def _numbers(values: np.ndarray, where: str) -> np.ndarray:
    """The values in a type for which `_is_ordinary` holds, as a plain array."""
    values = np.asarray(values)
    dtype = values.dtype
    if _is_ordinary(dtype):
        return values
    if dtype.kind in "iuf" and _is_ordinary(dtype.newbyteorder("=")):
        return values.astype(dtype.newbyteorder("="))
    if dtype.kind in "bf":
        # sums in half precision overflow
        return values.astype(np.float32 if dtype.itemsize <= 4 else np.float64)
    if dtype.kind == "O":
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where} holds Python objects that are no numbers ({error}). Expected numbers."
            ) from error
    raise InputError(f"{where} holds values of type {dtype}. Expected real numbers.")
