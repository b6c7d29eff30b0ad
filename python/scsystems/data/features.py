"""Choose genes that are highly variable in all systems."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks, words
from ..checks import head
from ..errors import InputError
from ..threads import torch_threads_kept
from .gene_choice import N_TOP_GENES, Variable, check_merge, ranking, together, with_kept
from .kept_genes import find_kept
from .levels import check_text, level_name, level_names, writable
from .matrix import expression, in_memory, layer_names
from .orthologs.links import Links
from .scale.judge import groups_of
from .scale.refuse import check_logs

logger = logging.getLogger(__name__)


def select_features(
    adata: AnnData,
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    layer: str | None = None,
    min_cells: int = 20,
    n_top_genes: int = N_TOP_GENES,
    hvg_merge: Literal["intersection", "joint"] = "intersection",
    keep: Sequence[str] | None = None,
    flavor: str = "cell_ranger",
    min_batch_cells: int = 20,
) -> list[str]:
    """Choose genes that are highly variable in all systems.

    Parameters
    ----------
    adata
        Log-normalized expression of all systems, cells x shared genes.
    system_key, batch_key, min_cells, n_top_genes, hvg_merge, keep, flavor, min_batch_cells
        As in :func:`prepare`.
    layer
        Layer with the log-normalized values; ``X`` by default.

    Returns
    -------
    Gene names, in the order of ``adata.var_names``.

    Raises
    ------
    InputError
        The values of a system or sample are not log-normalized, a column is missing or
        incomplete, there is one system, or no gene is variable in every system.
    """
    min_cells = checks.count("min_cells", min_cells, at_least=0)
    hvg_merge = check_merge(hvg_merge)
    system_key = checks.name("prepared system", system_key)
    batch_key = checks.optional_name("sample", batch_key)
    layer = checks.optional_name("layer", layer)
    adata = in_memory(checks.anndata("adata", adata), layer)
    systems = split_systems(adata, system_key, batch_key, layer)
    keys = [key for key in (system_key, batch_key) if key is not None]
    groups = groups_of(adata.obs, keys)
    check_logs(expression(adata, layer), words.expression(layer), groups, adata.obs_names)
    expressed = {
        name: n_cells_with(expression(cells, layer)) > min_cells for name, cells in systems.items()
    }
    _check_shared(adata.var_names, expressed, min_cells)
    names = adata.var_names
    pairs = pd.DataFrame({name: names for name in systems}, index=names)
    kept = find_kept(keep, Links(pairs), {name: names for name in systems}, next(iter(systems)))
    found = {}
    for name, cells in systems.items():
        matrix, often = sparse.csr_matrix(expression(cells, layer)), expressed[name]
        part = AnnData(
            matrix[:, often],
            obs=cells.obs[[] if batch_key is None else [batch_key]],
            var=pd.DataFrame(index=cells.var_names[often]),
        )
        found[name] = variability(part, name, batch_key, n_top_genes, flavor, min_batch_cells)
    in_all = names[np.logical_and.reduce(list(expressed.values()))]
    chosen = together(in_all, found, n_top_genes, hvg_merge, kept.rows)
    if report := kept.report(chosen, pd.Series(names, names)):
        logger.info("%s", report)
    return list(with_kept(names, chosen, kept.rows))


# --- one system -----------------------------------------------------------------------------


def n_cells_with(matrix) -> np.ndarray:
    """In how many cells each gene is found."""
    if sparse.issparse(matrix):
        return np.asarray((matrix > 0).sum(axis=0)).ravel()
    return np.count_nonzero(np.asarray(matrix), axis=0)


def _check_shared(names: pd.Index, expressed: Mapping[str, np.ndarray], min_cells: int) -> None:
    """Refuse systems without a gene in common, as species with their own gene names are."""
    for system, often in expressed.items():
        if not often.any():
            raise InputError(
                f"No gene is in more than {words.written('min_cells', min_cells)} cells of {system!r}."
            )
    if np.logical_and.reduce(list(expressed.values())).any():
        return
    examples = "; ".join(f"{system!r} has {head(names[o], 3)}" for system, o in expressed.items())
    raise InputError(
        f"No gene is in more than {words.written('min_cells', min_cells)} cells of every system: {examples}. "
        f"Expected the same gene names in all systems. {words.word('share genes')}"
    )


def variable_genes(
    part: AnnData,
    name: str,
    batch_key: str | None,
    n_top_genes: int,
    flavor: str,
    min_batch_cells: int,
) -> pd.Index:
    """Names of one system's highly variable genes, in the order of the data; see `variability`."""
    return variability(part, name, batch_key, n_top_genes, flavor, min_batch_cells).chosen


@torch_threads_kept()
def variability(
    part, name, batch_key, n_top_genes, flavor, min_batch_cells, sizes: pd.Series | None = None
) -> Variable:
    """One system's genes by how much they vary, given its log-normalized values.

    ``sizes`` are the samples' numbers of cells, where ``part`` does not have all of them.
    """
    import scanpy as sc

    flavor = checks.choice("flavor", flavor, ("cell_ranger", "seurat"))
    n_top_genes = checks.count("n_top_genes", n_top_genes)
    min_batch_cells = checks.count("min_batch_cells", min_batch_cells, at_least=0)
    genes = part.var_names
    if n_top_genes >= len(genes):
        return Variable(genes, genes)
    if batch_key is not None:
        samples = writable(part.obs[batch_key], words.column(batch_key))
        if sizes is None:
            sizes = samples.value_counts()
        small = sizes.index[sizes < min_batch_cells]
        if 0 < len(small) < len(sizes):
            logger.warning(
                "%s: %d of %d samples have fewer than %d cells; they have no say in the choice "
                "of genes",
                *(name, len(small), len(sizes), min_batch_cells),
            )
        if len(small) == len(sizes):
            batch_key = None
        else:
            counted = ~samples.isin(small).to_numpy()
            part = part[counted].copy()
            part.obs[batch_key] = samples[counted].astype("category").cat.remove_unused_categories()
    try:
        table = sc.pp.highly_variable_genes(
            part, n_top_genes=n_top_genes, flavor=flavor, batch_key=batch_key, inplace=False
        )
    except ValueError as error:
        raise InputError(
            f"The {len(genes)} genes of {name!r} ({part.n_obs} cells) could not be ranked by "
            f"flavor={flavor!r} ({error}). Try the other flavor, or give the genes as features."
        ) from error
    # by name: with samples, scanpy before 1.10.3 gives the table in an order of its own
    if table.index.isin(genes).all():
        table = table.reindex(genes)
    chosen = genes[table["highly_variable"].to_numpy(dtype=bool)]
    return Variable(chosen, genes[ranking(table)])


# --- input ----------------------------------------------------------------------------------


def split_systems(data, system_key: str, batch_key, layer) -> dict[str, AnnData]:
    """System to its cells, checked."""
    if isinstance(data, Mapping):
        systems = {level_name(name): adata for name, adata in data.items()}
        if len(systems) < len(data):
            raise InputError(f"data has systems of the same name: {head(list(data))}.")
        for name, adata in systems.items():
            _check_layer(checks.anndata(f"data[{name!r}]", adata), name, layer)
            systems[name] = in_memory(adata, layer)
    else:
        several = isinstance(data, (list, tuple)) and any(isinstance(d, AnnData) for d in data)
        remedy = "Name them: {'human': adata, 'mouse': adata}." if several else None
        data = in_memory(checks.anndata("prepared data", data, remedy=remedy), layer)
        labels = label_column(data, system_key, "prepared system")
        check_text(data.obs_names, words.word("cell names"), words.word("unique cells"))
        # views: nothing is copied until a system's genes are known
        systems = {name: data[(labels == name).to_numpy()] for name in labels.unique()}
    if len(systems) < 2:
        where = (
            "data" if isinstance(data, Mapping) else words.written("prepared system", system_key)
        )
        raise InputError(f"{where} has one system ({head(list(systems))}). Expected at least two.")
    for name, adata in systems.items():
        check_text(adata.var_names, f"Gene names of {name!r}", words.word("unique genes"))
        if batch_key is not None:
            label_column(adata, batch_key, "sample")
    return systems


def _check_layer(adata: AnnData, name: str, layer: str | None) -> None:
    if layer is not None and (not isinstance(layer, str) or layer not in adata.layers):
        raise InputError(
            f"{words.written('layer', layer)} is not a layer of {name!r}: {layer_names(adata)}."
        )


def label_column(adata: AnnData, key: str, term: str) -> pd.Series:
    """A column of labels, as text, without gaps; ``term`` is the argument among `words.TERMS`."""
    values = checks.column(adata, key, term)
    return pd.Series(level_names(values, words.column(key)), index=values.index, dtype=object)
