"""The genes of a query: those of a model, in its order, with something in place of those that are missing."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ... import words
from ...checks import head
from ...data.disk import DiskMatrix
from ...data.matrix import layer_names, plain
from ...data.opened import open_anndata
from ...data.scale.cells import PADDED
from ...data.schema import Schema
from ...data.stores import check_output, writing
from ...errors import InputError, StoreError, warn

logger = logging.getLogger(__name__)

# missing more of the model's genes than this is warned of
MANY_MISSING = 0.2
# cells of a query on disk that are written together
ROWS = 4096


def find_missing(genes: pd.Index, names: pd.Index, max_missing: float, fill: str) -> pd.Index:
    """The model's genes that a query with genes ``names`` lacks; refuses too many, tells of some."""
    missing = genes.difference(names, sort=False)
    share = len(missing) / len(genes)
    facts = (
        f"The query lacks {len(missing)} of the model's {len(genes)} genes ({share:.1%}): "
        f"{head(missing)}."
    )
    if share > max_missing or share == 1:
        raise InputError(
            f"{facts} Expected at most {max_missing:.0%}. Check that both use the same gene names (symbols or "
            f"identifiers, orthologs of one species): the query has {head(names, 3)}. Pass all genes "
            f"of the query rather than a selection of its own, or set {words.word('missing genes')} higher."
        )
    if share > MANY_MISSING:
        warn(f"{facts} The mapping may be poor.")
    elif len(missing):
        logger.info(
            "%s They are filled with %s.", facts, "their means" if fill == "mean" else "zeros"
        )
    else:
        logger.info("The query has all %d genes of the model.", len(genes))
    return missing


def fill_values(schema: Schema, missing: pd.Index, fill: str) -> np.ndarray:
    """What stands for each of the model's genes if a query lacks it."""
    means = schema.gene_means if fill == "mean" else ()
    if len(missing) and fill == "mean" and not means:
        logger.warning(
            "The model does not know the genes' means (it was read from scvi-tools without cells): zeros are "
            "filled in. Load it with its cells to have means."
        )
    return np.asarray(means or np.zeros(len(schema.genes)), dtype=np.float32)


def copied(adata: AnnData) -> AnnData:
    """A copy in memory."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def with_genes(adata: AnnData, genes: pd.Index, layer: str | None, values: np.ndarray) -> AnnData:
    """A copy of the cells with exactly ``genes``; missing ones get ``values`` in the model's matrix."""
    at = adata.var_names.get_indexer(genes)

    def arrange(matrix, fill):
        return (
            None if matrix is None else arranged(plain(matrix, "a matrix of the query"), at, fill)
        )

    zeros = np.zeros(len(genes), np.float32)
    prepared = AnnData(
        X=arrange(adata.X, values if layer is None else zeros),
        obs=adata.obs.copy(),
        var=_var(adata, genes, at),
        uns=dict(adata.uns),
        obsm=dict(adata.obsm),
        layers={
            name: arrange(adata.layers[name], values if name == layer else zeros)
            for name in layer_names(adata)
        },
        obsp=dict(adata.obsp),
        shape=None if adata.X is not None else (adata.n_obs, len(genes)),
    )
    if adata.raw is not None:
        prepared.raw = adata.raw.to_adata()
    return prepared


def _var(adata: AnnData, genes: pd.Index, at: np.ndarray) -> pd.DataFrame:
    var = adata.var.reindex(genes)
    var[PADDED] = at < 0
    return var


def arranged(matrix, at: np.ndarray, fill: np.ndarray):
    """Columns ``at`` of a matrix, -1 standing for one that is filled with its value of ``fill``."""
    if not sparse.issparse(matrix):
        found = np.asarray(matrix)[:, at]
        if not np.issubdtype(found.dtype, np.floating) and fill.any():
            found = found.astype(np.float32)
        found[:, at < 0] = fill[at < 0]
        return found
    n = matrix.shape[0]
    added = sparse.csr_matrix(np.tile(fill[at < 0], (n, 1)))
    joined = sparse.hstack(
        [matrix, added], format="csr", dtype=added.dtype if fill.any() else matrix.dtype
    )
    order = at.copy()
    order[at < 0] = matrix.shape[1] + np.arange((at < 0).sum())
    return joined[:, order]


def write_with_genes(
    adata: AnnData,
    matrix: DiskMatrix,
    schema: Schema,
    values: np.ndarray,
    out: str | Path,
    overwrite: bool = False,
) -> AnnData:
    """The model's genes of cells on disk in a file, block by block; returns it opened.

    Parameters
    ----------
    adata
        The cells.
    matrix
        Their expression, log-normalized, in the genes of ``adata``.
    schema
        The model's: its genes, and where it looks for expression.
    values
        What stands for each gene of the model that the cells lack.
    out
        The ``.h5ad`` file.
    overwrite
        Whether it may be replaced.
    """
    out = check_output(out, overwrite)
    if out == matrix.path.absolute():
        raise InputError(f"out: {out} holds the cells that are prepared. Give another name.")
    genes = pd.Index(schema.genes)
    at = adata.var_names.get_indexer(genes)
    there = at >= 0
    _check_room(out, matrix, at, values)
    own = matrix.take_columns(at[there])
    # columns of a block are those of the genes that are there
    place = np.full(len(at), -1)
    place[there] = np.arange(there.sum())
    layer = schema.setup.layer
    with writing(out, ["X" if layer is None else f"layers/{layer}"], len(genes)) as writer:
        for _, rows in own.blocks(ROWS):
            block = arranged(rows, place, values)
            block.sort_indices()
            writer.append(next(iter(writer.groups)), block)
        own.check_unchanged()
        writer.close(adata.obs, _var(adata, genes, at)[[PADDED]], dict(adata.uns))
    return open_anndata(out)


def _check_room(out: Path, matrix: DiskMatrix, at: np.ndarray, values: np.ndarray) -> None:
    """Refuse a disk that is too small, before it is written to."""
    own = matrix.take_columns(at[at >= 0])
    n, n_own = own.shape
    stored = n * n_own if own.nnz is None else own.nnz
    filled = n * int(np.count_nonzero(values[at < 0]))
    needed, free = 8 * (stored + filled), shutil.disk_usage(out.parent).free
    if needed > free:
        raise StoreError(
            f"{out} needs some {needed / 2**30:.1f} GiB, but its disk has {free / 2**30:.1f} GiB left. "
            "Give another place."
        )
