"""Prepare expression for integration, as the sysVI paper does ("Data preprocessing").

Per system: keep the genes found in enough cells and, across species, with a one-to-one
orthologue; normalise to a common total and take logs; choose highly variable genes with the
sample as batch. Then keep the genes chosen in every system.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..errors import InputError
from . import orthologues as _orthologues
from .checks import check_counts, check_finite_nonnegative, check_unique, head, looks_like_counts

__all__ = ["Preparation", "looks_like_counts", "prepare", "select_features"]

logger = logging.getLogger(__name__)

# with fewer features than this users should know, because integration suffers
FEW_FEATURES = 200


@dataclass(frozen=True)
class Preparation:
    """What :func:`prepare` kept and lost, as numbers of genes."""

    n_cells: Mapping[str, int]
    n_genes: Mapping[str, int]
    n_expressed: Mapping[str, int]
    n_shared: int
    n_variable: Mapping[str, int]
    n_selected: int
    orthologues: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{system}: {self.n_cells[system]} cells, {self.n_genes[system]} genes, "
            f"{self.n_expressed[system]} of them in more than {self.settings['min_cells']} cells"
            for system in self.n_cells
        ]
        if self.orthologues:
            lines.append(self.orthologues)
        lines.append(f"{self.n_shared} such genes shared by all systems")
        if self.n_variable:
            chosen = ", ".join(f"{n} in {system}" for system, n in self.n_variable.items())
            lines.append(f"highly variable genes chosen: {chosen}")
        lines.append(f"{self.n_selected} genes kept")
        return "\n".join(lines)


def prepare(
    data: AnnData | Mapping[str, AnnData],
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    orthologues: _orthologues.Orthologues | pd.DataFrame | str | Path | None = None,
    names_from: str | None = None,
    layer: str | None = None,
    min_cells: int = 20,
    target_sum: float | None = 1e4,
    features: Sequence[str] | None = None,
    n_top_genes: int = 3000,
    flavor: str = "cell_ranger",
    min_batch_cells: int = 20,
    counts_layer: str = "counts",
) -> AnnData:
    """Prepare raw counts of two or more systems for integration.

    Parameters
    ----------
    data
        Raw counts: one AnnData whose ``obs[system_key]`` names each cell's system, or a
        mapping of system to its own AnnData, in which case ``obs[system_key]`` is made.
    system_key
        Column of ``obs`` with the system: species, organoid or tissue, cells or nuclei.
    batch_key
        Column of ``obs`` with the sample; highly variable genes are chosen across samples.
    orthologues
        For a mapping of species with their own gene names: a table of
        :mod:`scsystems.data.orthologues`, or a file or frame to read one from. Without it,
        genes are shared by having the same name.
    names_from
        The system whose gene names the result carries; the first by default. Everybody's
        names are in ``var["gene_<system>"]``.
    layer
        Layer with the raw counts; ``X`` by default.
    min_cells
        In every system keep genes found in more than this many cells.
    target_sum
        Total per cell after normalisation; None for the system's median total.
    features
        Use these genes (in the names of the result) rather than choose any.
    n_top_genes
        Highly variable genes per system (the paper: 3000, and 4000 for organoid-tissue).
    flavor
        How :func:`scanpy.pp.highly_variable_genes` ranks genes: ``"cell_ranger"`` or
        ``"seurat"``.
    min_batch_cells
        Samples with fewer cells have no say in which genes are variable.
    counts_layer
        Layer of the result that keeps the raw counts.

    Returns
    -------
    A new AnnData, cells x kept genes: log-normalised float32 values in ``X`` (CSR), counts in
    ``layers[counts_layer]``, and what was lost in ``uns["preparation"]``.

    Raises
    ------
    InputError
        The values are not counts, a column is missing or incomplete, there is one system,
        names are duplicated, features are not found, or no gene is left.
    """
    import scanpy as sc

    systems = _split(data, system_key, batch_key, layer)
    if names_from is not None and names_from not in systems:
        raise InputError(f"names_from={names_from!r} is none of the systems {tuple(systems)}.")
    if orthologues is not None and not isinstance(data, Mapping):
        raise InputError(
            "orthologues= needs data as {species: AnnData}, each with its own gene names. One "
            "AnnData for all cells has one set of gene names already."
        )
    for name, adata in systems.items():
        check_counts(_matrix(adata, layer), f"{_where(layer)} of {name!r}")
    expressed = {
        name: adata.var_names[_n_cells(_matrix(adata, layer)) > min_cells]
        for name, adata in systems.items()
    }
    pairs, report = _pair(systems, orthologues)
    normalised, chosen = {}, {}
    for name, adata in systems.items():
        # totals and variable genes rest on all genes the system expresses that have a partner,
        # whether the other systems express it or not
        rows = pairs.index[pairs[name].isin(expressed[name])]
        matrix = _matrix(adata[:, pairs.loc[rows, name]], layer)
        part = AnnData(
            sparse.csr_matrix(matrix, dtype=np.float32),
            obs=adata.obs[[] if batch_key is None else [batch_key]],
            var=pd.DataFrame(index=rows),
        )
        sc.pp.normalize_total(part, target_sum=target_sum)
        sc.pp.log1p(part)
        normalised[name] = part
        if features is None:
            chosen[name] = _variable(part, name, batch_key, n_top_genes, flavor, min_batch_cells)
    in_all = np.logical_and.reduce([pairs.index.isin(p.var_names) for p in normalised.values()])
    if not in_all.any():
        raise InputError(
            f"No gene is in more than min_cells={min_cells} cells of every system (genes that are, "
            f"per system: { ({name: len(genes) for name, genes in expressed.items()}) }). Lower "
            "min_cells, or give orthologues= for species with their own gene names."
        )
    shared = pairs[in_all]
    labels = shared[names_from or next(iter(systems))]
    if features is not None:
        kept = labels.index[pd.Index(labels).get_indexer(_find(features, pd.Index(labels)))]
    else:
        kept = _intersect(shared.index, chosen)
    pairs = pairs.loc[kept].set_axis(pd.Index(labels[kept], name=None), axis=0)
    values = [part[:, kept].X for part in normalised.values()]
    result = _stack(systems, values, pairs, layer, counts_layer)
    if isinstance(data, AnnData):
        result = result[data.obs_names].copy()
        result.obs, result.var = data.obs.copy(), data.var.loc[result.var_names].copy()
    else:
        labels = np.repeat(list(systems), [adata.n_obs for adata in systems.values()])
        result.obs[system_key] = pd.Categorical(labels, categories=list(systems))
    preparation = Preparation(
        n_cells={name: adata.n_obs for name, adata in systems.items()},
        n_genes={name: adata.n_vars for name, adata in systems.items()},
        n_expressed={name: len(genes) for name, genes in expressed.items()},
        n_shared=len(shared),
        n_variable={name: len(genes) for name, genes in chosen.items()},
        n_selected=len(kept),
        orthologues=report,
        settings={
            "min_cells": min_cells,
            "target_sum": "median" if target_sum is None else target_sum,
            "n_top_genes": n_top_genes,
            "flavor": flavor,
            "min_batch_cells": min_batch_cells,
        },
    )
    result.uns["preparation"] = asdict(preparation)
    logger.info("Prepared\n%s", preparation)
    return result


def select_features(
    adata: AnnData,
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    layer: str | None = None,
    min_cells: int = 20,
    n_top_genes: int = 3000,
    flavor: str = "cell_ranger",
    min_batch_cells: int = 20,
) -> list[str]:
    """Choose the genes that are highly variable in every system.

    Parameters
    ----------
    adata
        Log-normalised expression of all systems, cells x shared genes.
    system_key, batch_key, min_cells, n_top_genes, flavor, min_batch_cells
        As in :func:`prepare`.
    layer
        Layer with the log-normalised values; ``X`` by default.

    Returns
    -------
    Gene names, in the order of ``adata.var_names``.

    Raises
    ------
    InputError
        The values are counts, a column is missing or incomplete, there is one system, or
        no gene is variable in every system.
    """
    systems = _split(adata, system_key, batch_key, layer)
    values = _matrix(adata, layer)
    check_finite_nonnegative(values, _where(layer))
    if looks_like_counts(values):
        raise InputError(
            f"select_features needs log-normalised values, but {_where(layer)} looks like counts. "
            "Use scs.pp.prepare(), or scanpy's pp.normalize_total() and pp.log1p() first."
        )
    chosen = {}
    for name, cells in systems.items():
        matrix = sparse.csr_matrix(_matrix(cells, layer))
        often = _n_cells(matrix) > min_cells
        if not often.any():
            raise InputError(f"No gene is in more than min_cells={min_cells} cells of {name!r}.")
        part = AnnData(
            matrix[:, often],
            obs=cells.obs[[] if batch_key is None else [batch_key]],
            var=pd.DataFrame(index=cells.var_names[often]),
        )
        chosen[name] = _variable(part, name, batch_key, n_top_genes, flavor, min_batch_cells)
    return list(_intersect(adata.var_names, chosen))


# --- input ----------------------------------------------------------------------------------


def _split(data, system_key, batch_key, layer) -> dict[str, AnnData]:
    """System to its cells, checked."""
    if isinstance(data, Mapping):
        systems = {str(name): adata for name, adata in data.items()}
    else:
        labels = _column(data, system_key, "system_key")
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
            _column(adata, batch_key, "batch_key")
    return systems


def _column(adata: AnnData, key: str, argument: str) -> pd.Series:
    """A column of labels, as text, without gaps."""
    if key not in adata.obs:
        raise InputError(
            f"{argument}={key!r} is not a column of adata.obs. It has: {head(adata.obs.columns, 20)}."
        )
    column = adata.obs[key]
    if column.isna().any():
        raise InputError(
            f"adata.obs[{key!r}] ({argument}) is missing for {int(column.isna().sum())} of "
            f"{len(column)} cells. Fill it in or drop these cells."
        )
    return column.astype(str)


def _where(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def _matrix(adata: AnnData, layer: str | None):
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise InputError("adata.X is empty. Name the layer to use with the argument `layer`.")
    return matrix


# --- genes ----------------------------------------------------------------------------------


def _n_cells(matrix) -> np.ndarray:
    """In how many cells each gene is found."""
    if sparse.issparse(matrix):
        return np.asarray((matrix > 0).sum(axis=0)).ravel()
    return np.count_nonzero(np.asarray(matrix), axis=0)


def _pair(systems, source) -> tuple[pd.DataFrame, str]:
    """Rows of corresponding genes, a column of names per system (NA: not in its data)."""
    if source is None:
        names = pd.Index(pd.unique(np.concatenate([a.var_names for a in systems.values()])))
        pairs = pd.DataFrame({n: names.where(names.isin(a.var_names)) for n, a in systems.items()})
        report = ""
    else:
        if not isinstance(source, _orthologues.Orthologues):
            source = _orthologues.read(source, species=tuple(systems))
        if source.report.n_one_to_one is None:
            source = _orthologues.one_to_one(source)
        genes = {name: adata.var_names for name, adata in systems.items()}
        table = _orthologues.match(source, genes, complete=False)
        pairs, report = table.pairs[list(systems)], str(table.report)
    return pairs.set_axis(pairs.index.astype(str), axis=0), report


def _find(features: Sequence[str], shared: pd.Index) -> pd.Index:
    wanted = pd.Index(features).astype(str)
    check_unique(wanted, "features", "Name each gene once.")
    missing = wanted.difference(shared, sort=False)
    if len(missing):
        raise InputError(
            f"features: {len(missing)} of {len(wanted)} are not among the {len(shared)} genes that "
            f"all systems express: {head(missing)}. Genes here are named like {head(shared[:3])}."
        )
    return wanted


def _variable(part, name, batch_key, n_top_genes, flavor, min_batch_cells) -> pd.Index:
    """Names of one system's highly variable genes, given its log-normalised values."""
    import scanpy as sc

    if flavor not in ("cell_ranger", "seurat"):
        raise InputError(f"flavor={flavor!r} is not known. Expected 'cell_ranger' or 'seurat'.")
    if n_top_genes < 1:
        raise InputError(f"n_top_genes={n_top_genes} must be at least 1.")
    genes = part.var_names
    if n_top_genes >= len(genes):
        return genes
    if batch_key is not None:
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


def _intersect(names: pd.Index, chosen: Mapping[str, pd.Index]) -> pd.Index:
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


def _stack(systems, values, pairs, layer, counts_layer) -> AnnData:
    """All systems' cells on the kept genes: log-normalised values, and counts in a layer."""
    counts = [
        sparse.csr_matrix(_matrix(adata[:, pairs[name]], layer)) for name, adata in systems.items()
    ]
    obs = pd.concat([adata.obs for adata in systems.values()])
    if obs.index.has_duplicates:
        obs.index = [f"{name}_{cell}" for name, a in systems.items() for cell in a.obs_names]
        check_unique(obs.index, "Cell names of a system", "Call adata.obs_names_make_unique().")
    for column in obs.columns[obs.dtypes == object]:  # categories that differ by system
        obs[column] = obs[column].astype("category")
    result = AnnData(sparse.vstack(values, format="csr"), obs=obs, var=pairs.add_prefix("gene_"))
    result.layers[counts_layer] = sparse.vstack(counts, format="csr")
    return result
