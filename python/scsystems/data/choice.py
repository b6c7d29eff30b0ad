"""Which matrix of an AnnData to use: what is named, or else the first that holds what is wanted."""

from __future__ import annotations

import logging
from typing import Literal

from anndata import AnnData

from ..errors import InputError
from ..words import word
from .matrix import expression, plain
from .scale.judge import judge
from .scale.refuse import describe

logger = logging.getLogger(__name__)

# raw counts, log-normalized values, or either, also what becomes logarithms by normalizing
Wanted = Literal["counts", "logs", "any"]

# kinds of `scsystems.data.scale.judge` that need normalizing and logarithms, and nothing else
UNLOGGED = ("counts", "fractions", "multiples", "large")
FIT = {"counts": ("counts",), "logs": ("logs",), "any": ("logs", *UNLOGGED)}

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
    kind, found = ("none", "is empty") if adata.X is None else _look(expression(adata))
    if kind in FIT[wanted]:
        return adata
    if adata.raw is not None:
        kind, instead = _look(plain(adata.raw.X, ".raw"))
        if kind in FIT[wanted]:
            logger.info("X %s: .raw is used, which %s", found, instead)
            return _with_raw(adata)
    if wanted == "counts" and COUNTS_LAYER in adata.layers:
        kind, _ = _look(expression(adata, COUNTS_LAYER))
        if kind in FIT[wanted]:
            logger.info("X %s: the layer %r is used", found, COUNTS_LAYER)
            return _with_matrix(adata, COUNTS_LAYER)
    return adata


def _with_raw(adata: AnnData) -> AnnData:
    raw = adata.raw
    return AnnData(plain(raw.X, ".raw"), obs=adata.obs, var=raw.var[[]], obsm=dict(adata.obsm))


def _with_matrix(adata: AnnData, layer: str) -> AnnData:
    return AnnData(
        expression(adata, layer), obs=adata.obs, var=adata.var[[]], obsm=dict(adata.obsm)
    )


def _look(matrix) -> tuple[str, str]:
    """What a matrix holds: its kind, and the same as the end of a sentence."""
    judged = judge(matrix)
    if judged.rows.negative:
        return "negative", "holds negative values, as after scaling"
    if judged.rows.not_finite:
        return "not finite", "holds NaN or infinite values"
    return judged.cells.kind, describe(judged.cells)
