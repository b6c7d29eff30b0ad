"""Which matrix of an AnnData to use: what is named, or else the first that holds what is wanted."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Literal

import numpy as np
from anndata import AnnData
from scipy import sparse

from ..errors import InputError, NonFiniteError
from ..words import word
from .checks import looks_like_counts
from .matrix import expression, plain
from .scale.refuse import check_counts, check_logs

logger = logging.getLogger(__name__)

# raw counts, log-normalized values, or either
Wanted = Literal["counts", "logs", "any"]

# the layer that scanpy and scvi-tools keep counts in
COUNTS_LAYER = "counts"


def choose_expression(
    adata: AnnData, layer: str | None = None, raw: bool = False, wanted: Wanted = "any"
) -> AnnData:
    """The cells with the chosen matrix as ``X``.

    Parameters
    ----------
    adata
        The cells.
    layer
        Take this layer.
    raw
        Take ``adata.raw``.
    wanted
        Without either: what ``X`` should hold. If it holds something else (scaled values, say),
        ``adata.raw`` is looked at and then, if counts are wanted, the layer ``"counts"``. If
        none of them holds it, ``X`` is taken, for the caller to judge.

    Raises
    ------
    InputError
        If there is no such layer, or no ``adata.raw``.
    """
    if raw:
        if adata.raw is None:
            raise InputError(
                f"{word('raw')}: the cells have no .raw. Leave it out, or name a layer with {word('layer')}."
            )
        return _with_raw(adata)
    if layer is not None:
        return _with_matrix(adata, layer)
    if adata.X is not None and _holds(expression(adata), wanted):
        return adata
    if adata.raw is not None and _holds(plain(adata.raw.X, ".raw"), wanted):
        logger.info("X %s: .raw is used, which holds %s", _contents(adata), _NAMES[wanted])
        return _with_raw(adata)
    if (
        wanted == "counts"
        and COUNTS_LAYER in adata.layers
        and _holds(expression(adata, COUNTS_LAYER), wanted)
    ):
        logger.info("X %s: the layer %r is used", _contents(adata), COUNTS_LAYER)
        return _with_matrix(adata, COUNTS_LAYER)
    return adata


_NAMES = {
    "counts": "raw counts",
    "logs": "log-normalized values",
    "any": "counts or log-normalized values",
}


def _with_raw(adata: AnnData) -> AnnData:
    raw = adata.raw
    return AnnData(plain(raw.X, ".raw"), obs=adata.obs, var=raw.var[[]], obsm=dict(adata.obsm))


def _with_matrix(adata: AnnData, layer: str) -> AnnData:
    return AnnData(
        expression(adata, layer), obs=adata.obs, var=adata.var[[]], obsm=dict(adata.obsm)
    )


def _holds(matrix, wanted: Wanted) -> bool:
    """Whether a matrix is fit for what is wanted."""
    fit = {"counts": [check_counts], "logs": [check_logs], "any": [check_counts, check_logs]}
    for check in fit[wanted]:
        with suppress(InputError, NonFiniteError):
            check(matrix, "")
            return True
    return False


def _contents(adata: AnnData) -> str:
    if adata.X is None:
        return "is empty"
    values = expression(adata)
    values = values.data if sparse.issparse(values) else values
    if values.size and np.nanmin(values) < 0:
        return "holds scaled values"
    return "holds raw counts" if looks_like_counts(expression(adata)) else "holds no raw counts"
