"""Choose the genes that are highly variable in every system."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import words
from ..errors import InputError
from ..threads import torch_threads_kept
from .checks import check_finite_nonnegative, check_unique, head, looks_like_counts
from .matrix import expression, in_memory, require_anndata

logger = logging.getLogger(__name__)

# variable genes per system, unless a number is given
N_TOP_GENES = 2000
# with fewer features than this users should know, because integration suffers
FEW_FEATURES = 200


def select_features(
    adata: AnnData,
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    layer: str | None = None,
    min_cells: int = 20,
    n_top_genes: int = N_TOP_GENES,
    flavor: str = "cell_ranger",
    min_batch_cells: int = 20,
) -> list[str]:
    """Choose the genes that are highly variable in every system.

    Parameters
    ----------
    adata
        Log-normalized expression of all systems, cells x shared genes.
    system_key, batch_key, min_cells, n_top_genes, flavor, min_batch_cells
        As in :func:`prepare`.
    layer
        Layer with the log-normalized values; ``X`` by default.

    Returns
    -------
    Gene names, in the order of ``adata.var_names``.

    Raises
    ------
    InputError
        The values are counts, a column is missing or incomplete, there is one system, or
        no gene is variable in every system.
    """
    adata = in_memory(adata, layer)
    systems = split_systems(adata, system_key, batch_key, layer)
    values = expression(adata, layer)
    check_finite_nonnegative(values, words.expression(layer))
    if looks_like_counts(values):
        raise InputError(
            f"Genes are chosen by log-normalized values, but {words.expression(layer)} looks like counts. "
            f"Use {words.word('prepare')} first."
        )
    chosen = {}
    for name, cells in systems.items():
        matrix = sparse.csr_matrix(expression(cells, layer))
        often = n_cells_with(matrix) > min_cells
        if not often.any():
            raise InputError(f"No gene is in more than min_cells={min_cells} cells of {name!r}.")
        part = AnnData(
            matrix[:, often],
            obs=cells.obs[[] if batch_key is None else [batch_key]],
            var=pd.DataFrame(index=cells.var_names[often]),
        )
        chosen[name] = variable_genes(part, name, batch_key, n_top_genes, flavor, min_batch_cells)
    return list(chosen_by_all(adata.var_names, chosen))


# --- one system -----------------------------------------------------------------------------


def n_cells_with(matrix) -> np.ndarray:
    """In how many cells each gene is found."""
    if sparse.issparse(matrix):
        return np.asarray((matrix > 0).sum(axis=0)).ravel()
    return np.count_nonzero(np.asarray(matrix), axis=0)


@torch_threads_kept()
def variable_genes(
    part, name, batch_key, n_top_genes, flavor, min_batch_cells, sizes: pd.Series | None = None
) -> pd.Index:
    """Names of one system's highly variable genes, given its log-normalized values.

    ``sizes`` are the samples' numbers of cells, where ``part`` does not have all of them.
    """
    import scanpy as sc

    if flavor not in ("cell_ranger", "seurat"):
        raise InputError(f"flavor={flavor!r} is not known. Expected 'cell_ranger' or 'seurat'.")
    if n_top_genes < 1:
        raise InputError(f"n_top_genes={n_top_genes} must be at least 1.")
    genes = part.var_names
    if n_top_genes >= len(genes):
        return genes
    if batch_key is not None:
        if sizes is None:
            sizes = part.obs[batch_key].value_counts()
        small = sizes.index[sizes < min_batch_cells]
        if 0 < len(small) < len(sizes):
            logger.warning(
                "%s: %d of %d samples have fewer than %d cells; they have no say in the choice "
                "of genes",
                *(name, len(small), len(sizes), min_batch_cells),
            )
            part = part[~part.obs[batch_key].isin(small)].copy()
        elif len(small):
            batch_key = None
        else:
            part = part.copy()
    if batch_key is not None:
        part.obs[batch_key] = part.obs[batch_key].astype("category").cat.remove_unused_categories()
    try:
        table = sc.pp.highly_variable_genes(
            part, n_top_genes=n_top_genes, flavor=flavor, batch_key=batch_key, inplace=False
        )
    except ValueError as error:
        raise InputError(
            f"The {len(genes)} genes of {name!r} ({part.n_obs} cells) could not be ranked by "
            f"flavor={flavor!r} ({error}). Try the other flavor, or give the genes as features."
        ) from error
    return genes[table["highly_variable"].to_numpy(dtype=bool)]


def chosen_by_all(names: pd.Index, chosen: Mapping[str, pd.Index]) -> pd.Index:
    """The genes that every system chose, in the order of ``names``."""
    in_all = np.logical_and.reduce([names.isin(genes) for genes in chosen.values()])
    counts = ", ".join(f"{len(genes)} in {system}" for system, genes in chosen.items())
    if not in_all.any():
        raise InputError(
            f"No gene is highly variable in every system (chosen: {counts}). Raise n_top_genes, "
            "or give the genes as features."
        )
    if in_all.sum() < FEW_FEATURES:
        logger.warning(
            "only %d genes are highly variable in every system (chosen: %s); more n_top_genes help",
            *(in_all.sum(), counts),
        )
    return names[in_all]


# --- input ----------------------------------------------------------------------------------


def split_systems(data, system_key, batch_key, layer) -> dict[str, AnnData]:
    """System to its cells, checked."""
    if isinstance(data, Mapping):
        systems = {}
        for name, adata in data.items():
            require_anndata(adata, f"data[{name!r}]")
            if layer is not None and layer not in adata.layers:
                raise InputError(
                    f"{words.written('layer', layer)} is not a layer of {name!r}: {list(adata.layers)}."
                )
            systems[str(name)] = in_memory(adata, layer)
    else:
        require_anndata(data, "data")
        data = in_memory(data, layer)
        labels = label_column(data, system_key, "prepared system")
        check_unique(data.obs_names, words.word("cell names"), words.word("unique cells"))
        # views: nothing is copied until a system's genes are known
        systems = {name: data[(labels == name).to_numpy()] for name in labels.unique()}
    if len(systems) < 2:
        where = "data" if isinstance(data, Mapping) else words.column(system_key)
        raise InputError(f"{where} has one system ({head(list(systems))}). Expected at least two.")
    for name, adata in systems.items():
        check_unique(adata.var_names, f"Gene names of {name!r}", words.word("unique genes"))
        if batch_key is not None:
            label_column(adata, batch_key, "sample")
    return systems


def label_column(adata: AnnData, key: str, term: str) -> pd.Series:
    """A column of labels, as text, without gaps; ``term`` is the argument among `words.TERMS`."""
    if key not in adata.obs:
        raise InputError(
            f"{words.written(term, key)} is not a column of {words.word('cell data')}. "
            f"It has: {head(adata.obs.columns, 20)}."
        )
    column = adata.obs[key]
    if column.isna().any():
        raise InputError(
            f"{words.column(key)} ({words.word(term)}) is missing for {int(column.isna().sum())} of "
            f"{len(column)} cells. Fill it in or drop these cells."
        )
    return column.astype(str)
