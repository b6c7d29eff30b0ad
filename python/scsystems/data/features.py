"""Choose the genes that are highly variable in every system."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..errors import InputError
from ..threads import torch_threads_kept
from .checks import check_finite_nonnegative, check_unique, head, looks_like_counts

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
    systems = split_systems(adata, system_key, batch_key, layer)
    values = matrix_of(adata, layer)
    check_finite_nonnegative(values, place(layer))
    if looks_like_counts(values):
        raise InputError(
            f"select_features needs log-normalized values, but {place(layer)} looks like counts. "
            "Use scs.pp.prepare(), or scanpy's pp.normalize_total() and pp.log1p() first."
        )
    chosen = {}
    for name, cells in systems.items():
        matrix = sparse.csr_matrix(matrix_of(cells, layer))
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
        systems = {str(name): adata for name, adata in data.items()}
    else:
        labels = label_column(data, system_key, "system_key")
        check_unique(
            data.obs_names, "Cell names (adata.obs_names)", "Call adata.obs_names_make_unique()."
        )
        # views: nothing is copied until a system's genes are known
        systems = {name: data[(labels == name).to_numpy()] for name in labels.unique()}
    if len(systems) < 2:
        where = "data" if isinstance(data, Mapping) else f"adata.obs[{system_key!r}]"
        raise InputError(f"{where} has one system ({head(list(systems))}). Expected at least two.")
    for name, adata in systems.items():
        what = f"Gene names of {name!r} (adata.var_names)"
        check_unique(adata.var_names, what, "Call adata.var_names_make_unique().")
        if layer is not None and layer not in adata.layers:
            raise InputError(f"layer={layer!r} is not a layer of {name!r}: {list(adata.layers)}.")
        if batch_key is not None:
            label_column(adata, batch_key, "batch_key")
    return systems


def label_column(adata: AnnData, key: str, argument: str) -> pd.Series:
    """A column of labels, as text, without gaps."""
    if key not in adata.obs:
        raise InputError(
            f"{argument}={key!r} is not a column of adata.obs. "
            f"It has: {head(adata.obs.columns, 20)}."
        )
    column = adata.obs[key]
    if column.isna().any():
        raise InputError(
            f"adata.obs[{key!r}] ({argument}) is missing for {int(column.isna().sum())} of "
            f"{len(column)} cells. Fill it in or drop these cells."
        )
    return column.astype(str)


def place(layer: str | None) -> str:
    """How messages speak of the matrix that is used."""
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def matrix_of(adata: AnnData, layer: str | None):
    """The matrix to use: ``adata.X`` or a layer."""
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise InputError("adata.X is empty. Name the layer to use with the argument `layer`.")
    return matrix
