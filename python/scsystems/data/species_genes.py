"""Which genes of a species ScSpecies trains on; the same in Python, in R and on the command line."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks, words
from ..errors import InputError
from ..threads import torch_threads_kept
from .disk import DiskMatrix
from .features import label_column, n_cells_with, variable_genes
from .matrix import readable
from .moments import add_cells, normalized, rank_by_moments
from .species import check_expression

# variable genes of a species, unless a number is given; all of them align worse, see docs/scspecies.md
N_TOP_GENES = 4000
# genes have to be found in so many cells
MIN_CELLS = 3
FLAVOR, MIN_BATCH_CELLS = "cell_ranger", 20
# total of counts per cell before genes are compared
TOTAL = 1e4


@torch_threads_kept()
def species_genes(
    name: str,
    adata: AnnData,
    n_top_genes: int | None = N_TOP_GENES,
    min_cells: int = MIN_CELLS,
    *,
    layer: str | None = None,
    batch_key: str | None = None,
) -> pd.Index:
    """The most variable genes of one species' counts, in the order of ``adata.var_names``.

    They are ranked within its batches, as :func:`scanpy.pp.highly_variable_genes` does with flavor
    ``"cell_ranger"``, log-normalized, among the genes found in at least ``min_cells`` cells.

    Parameters
    ----------
    name
        The species.
    adata
        Its cells, with counts; what is on disk is gone through block by block.
    n_top_genes
        How many genes; None, or as many as there are, takes all.
    min_cells
        Cells in which a gene has to be found.
    layer, batch_key
        Where counts and batches are.
    """
    import scanpy as sc

    min_cells = checks.count("min_cells", min_cells)
    if n_top_genes is None:
        return adata.var_names
    n_top_genes = checks.count("n_top_genes", n_top_genes)
    if n_top_genes >= adata.n_vars:
        return adata.var_names
    check_expression(name, adata, layer, batch_key)
    matrix = readable(adata, layer)
    if isinstance(matrix, DiskMatrix):
        return _from_disk(name, adata, matrix, n_top_genes, min_cells, batch_key)
    often = n_cells_with(matrix) >= min_cells
    _check_often(name, often, min_cells, adata.n_obs)
    obs = pd.DataFrame(index=adata.obs_names)
    if batch_key is not None:
        obs[batch_key] = label_column(adata, batch_key, "species batch").to_numpy()
    part = AnnData(
        sparse.csr_matrix(matrix[:, np.flatnonzero(often)], dtype=np.float32),
        obs=obs,
        var=pd.DataFrame(index=adata.var_names[often]),
    )
    # cells without any count tell nothing, and scanpy would warn of them
    part = part[np.asarray(part.X.sum(axis=1)).ravel() > 0].copy()
    sc.pp.normalize_total(part, target_sum=TOTAL)
    sc.pp.log1p(part)
    return variable_genes(part, name, batch_key, n_top_genes, FLAVOR, MIN_BATCH_CELLS)


def _check_often(name: str, often: np.ndarray, min_cells: int, n_cells: int) -> None:
    if not often.any():
        raise InputError(
            f"{name}: no gene is in at least {words.written('min_cells', min_cells)} of its {n_cells} cells."
        )


def _from_disk(
    name: str,
    adata: AnnData,
    matrix: DiskMatrix,
    n_top_genes: int,
    min_cells: int,
    batch_key: str | None,
) -> pd.Index:
    """The same of cells on disk, in two passes: counts of cells with each gene, and moments."""
    found = np.zeros(matrix.shape[1], np.int64)
    for _, x in matrix.blocks():
        found += np.bincount(x.indices[x.data > 0], minlength=len(found))
    often = found >= min_cells
    _check_often(name, often, min_cells, adata.n_obs)
    samples = np.zeros(adata.n_obs, int)
    if batch_key is not None:
        samples = label_column(adata, batch_key, "species batch").to_numpy()
    moments: dict = {}
    for rows, x in matrix[:, np.flatnonzero(often)].blocks():
        filled = np.flatnonzero(np.asarray(x.sum(axis=1)).ravel() > 0)
        add_cells(moments, normalized(x[filled], TOTAL), samples[rows][filled])
    matrix.check_unchanged()
    genes = adata.var_names[often]
    return rank_by_moments(
        name, moments, genes, slice(None), batch_key, n_top_genes, FLAVOR, MIN_BATCH_CELLS
    ).chosen
