"""Prepare expression for integration, as the sysVI paper does ("Data preprocessing").

Per system: keep the genes found in enough cells and, across species, with a one-to-one
orthologue; normalize to a common total and take logs; choose highly variable genes with the
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
from .checks import check_counts, check_unique, head, looks_like_counts
from .features import (
    N_TOP_GENES,
    chosen_by_all,
    matrix_of,
    n_cells_with,
    place,
    select_features,
    split_systems,
    variable_genes,
)
from .orthologs import tables as _orthologues

__all__ = ["Preparation", "looks_like_counts", "prepare", "select_features"]

logger = logging.getLogger(__name__)


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
    data: AnnData | str | Path | Mapping[str, AnnData] | Mapping[str, str | Path],
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    orthologues: _orthologues.Orthologues | pd.DataFrame | str | Path | None = None,
    names_from: str | None = None,
    layer: str | None = None,
    min_cells: int = 20,
    target_sum: float | None = 1e4,
    features: Sequence[str] | None = None,
    n_top_genes: int = N_TOP_GENES,
    flavor: str = "cell_ranger",
    min_batch_cells: int = 20,
    counts_layer: str = "counts",
    out: str | Path | None = None,
    overwrite: bool = False,
) -> AnnData:
    """Prepare raw counts of two or more systems for integration.

    Parameters
    ----------
    data
        Raw counts: one AnnData whose ``obs[system_key]`` names each cell's system, or a
        mapping of system to its own AnnData, in which case ``obs[system_key]`` is made. Paths of
        ``.h5ad`` files or ``.zarr`` stores instead of AnnData leave the cells on disk; see ``out``.
    system_key
        Column of ``obs`` with the system: species, organoid or tissue, cells or nuclei.
    batch_key
        Column of ``obs`` with the sample; highly variable genes are chosen across samples.
    orthologues
        For a mapping of species with their own gene names: a table of
        :mod:`scsystems.data.orthologs.tables`, or a file or frame to read one from. Without it,
        genes are shared by having the same name.
    names_from
        The system whose gene names the result carries; the first by default. Everybody's
        names are in ``var["gene_<system>"]``.
    layer
        Layer with the raw counts; ``X`` by default.
    min_cells
        In every system keep genes found in more than this many cells.
    target_sum
        Total per cell after normalization; None for the system's median total.
    features
        Use these genes (in the names of the result) rather than choose any. To be sure of a rare
        type's marker, add it to the ``var_names`` of a first result and prepare again.
    n_top_genes
        Highly variable genes per system (the paper: 3000, and 4000 for organoid-tissue). With
        2000 the pancreas mixed more than with 3000, see ``docs/defaults.md``.
    flavor
        How :func:`scanpy.pp.highly_variable_genes` ranks genes: ``"cell_ranger"`` or
        ``"seurat"``.
    min_batch_cells
        Samples with fewer cells have no say in which genes are variable.
    counts_layer
        Layer of the result that keeps the raw counts.
    out
        For paths: the ``.h5ad`` file to write the result into, in constant memory. The genes are
        those that cells in memory would give; ``target_sum=None`` and ``flavor="seurat"`` need
        them there.
    overwrite
        Whether ``out`` may be replaced.

    Returns
    -------
    A new AnnData, cells x kept genes: log-normalized float32 values in ``X`` (CSR), counts in
    ``layers[counts_layer]``, and what was lost in ``uns["preparation"]``. Of paths it is the file
    ``out``, opened (``backed="r"``).

    Raises
    ------
    InputError
        The values are not counts, a column is missing or incomplete, there is one system,
        names are duplicated, features are not found, or no gene is left.
    """
    import scanpy as sc

    if _is_path(data) or (isinstance(data, Mapping) and any(map(_is_path, data.values()))):
        from .prepare_store import prepare_store

        if out is None:
            raise InputError(
                "data is a path, whose cells stay on disk. Expected `out`, the .h5ad file to write the result into; "
                "or read the cells with anndata.read_h5ad()."
            )
        return prepare_store(
            data,
            out,
            system_key,
            batch_key,
            orthologues=orthologues,
            names_from=names_from,
            layer=layer,
            min_cells=min_cells,
            target_sum=target_sum,
            features=features,
            n_top_genes=n_top_genes,
            flavor=flavor,
            min_batch_cells=min_batch_cells,
            counts_layer=counts_layer,
            overwrite=overwrite,
        )
    if out is not None:
        raise InputError("out is for cells on disk: give data as a path, or write the result.")
    systems = split_systems(data, system_key, batch_key, layer)
    if names_from is not None and names_from not in systems:
        raise InputError(f"names_from={names_from!r} is none of the systems {tuple(systems)}.")
    if orthologues is not None and not isinstance(data, Mapping):
        raise InputError(
            "orthologues= needs data as {species: AnnData}, each with its own gene names. One "
            "AnnData for all cells has one set of gene names already."
        )
    for name, adata in systems.items():
        check_counts(matrix_of(adata, layer), f"{place(layer)} of {name!r}")
    expressed = {
        name: adata.var_names[n_cells_with(matrix_of(adata, layer)) > min_cells]
        for name, adata in systems.items()
    }
    pairs, report = pair_genes({n: a.var_names for n, a in systems.items()}, orthologues)
    # genes that every system expresses
    shared = pairs[np.logical_and.reduce([pairs[n].isin(expressed[n]) for n in systems])]
    if shared.empty:
        raise InputError(
            f"No gene is in more than min_cells={min_cells} cells of every system (genes that are, "
            f"per system: { ({name: len(genes) for name, genes in expressed.items()}) }). Lower "
            "min_cells, or give orthologues= for species with their own gene names."
        )
    normalized, chosen = {}, {}
    for name, adata in systems.items():
        # totals and variable genes rest on all genes the system expresses that have a partner,
        # whether the other systems express it or not
        rows = pairs.index[pairs[name].isin(expressed[name])]
        matrix = matrix_of(adata[:, pairs.loc[rows, name]], layer)
        part = AnnData(
            sparse.csr_matrix(matrix, dtype=np.float32),
            obs=adata.obs[[] if batch_key is None else [batch_key]],
            var=pd.DataFrame(index=rows),
        )
        _check_not_empty(part, name)
        sc.pp.normalize_total(part, target_sum=target_sum)
        sc.pp.log1p(part)
        normalized[name] = part
        if features is None:
            chosen[name] = variable_genes(
                part, name, batch_key, n_top_genes, flavor, min_batch_cells
            )
    labels = shared[names_from or next(iter(systems))]
    if features is not None:
        kept = labels.index[pd.Index(labels).get_indexer(find_features(features, pd.Index(labels)))]
    else:
        kept = chosen_by_all(shared.index, chosen)
    pairs = pairs.loc[kept].set_axis(pd.Index(labels[kept], name=None), axis=0)
    values = [part[:, kept].X for part in normalized.values()]
    result = _stack(systems, values, pairs, layer, counts_layer)
    if isinstance(data, AnnData):
        result = result[data.obs_names].copy()  # the cells as they came
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


# --- genes ----------------------------------------------------------------------------------


def _is_path(value) -> bool:
    return isinstance(value, (str, Path))


def pair_genes(genes: Mapping[str, pd.Index], source) -> tuple[pd.DataFrame, str]:
    """Rows of corresponding genes, a column of names per system (NA: not in its data).

    ``genes`` are each system's gene names.
    """
    if source is None:
        names = pd.Index(pd.unique(np.concatenate(list(genes.values()))))
        pairs = pd.DataFrame({n: names.where(names.isin(own)) for n, own in genes.items()})
        report = ""
    else:
        if not isinstance(source, _orthologues.Orthologues):
            source = _orthologues.read(source, species=tuple(genes))
        if source.report.n_one_to_one is None:
            source = _orthologues.one_to_one(source)
        table = _orthologues.match(source, genes, complete=False)
        pairs, report = table.pairs[list(genes)], str(table.report)
    return pairs.set_axis(pairs.index.astype(str), axis=0), report


def _check_not_empty(part: AnnData, name: str) -> None:
    empty = np.asarray(part.X.sum(axis=1)).ravel() == 0
    if part.n_vars and empty.any():
        raise InputError(
            f"{int(empty.sum())} of {part.n_obs} cells of {name!r} have no counts in its "
            f"{part.n_vars} usable genes: {head(part.obs_names[empty])}. Drop them, for example "
            "with sc.pp.filter_cells(adata, min_genes=200)."
        )


def find_features(features: Sequence[str], shared: pd.Index) -> pd.Index:
    """Names of genes, checked to be among those that all systems share."""
    wanted = pd.Index(features).astype(str)
    check_unique(wanted, "features", "Name each gene once.")
    missing = wanted.difference(shared, sort=False)
    if len(missing):
        raise InputError(
            f"features: {len(missing)} of {len(wanted)} are not among the {len(shared)} genes that "
            f"all systems express: {head(missing)}. Genes here are named like {head(shared[:3])}."
        )
    return wanted


def _stack(systems, values, pairs, layer, counts_layer) -> AnnData:
    """All systems' cells on the kept genes: log-normalized values, and counts in a layer."""
    counts = [
        sparse.csr_matrix(matrix_of(adata[:, pairs[name]], layer))
        for name, adata in systems.items()
    ]
    obs = pd.concat([adata.obs for adata in systems.values()])
    if obs.index.has_duplicates:
        obs.index = [f"{name}_{cell}" for name, a in systems.items() for cell in a.obs_names]
        check_unique(obs.index, "Cell names of a system", "Call adata.obs_names_make_unique().")
    for column in obs.select_dtypes(object):  # categories that differ by system
        obs[column] = obs[column].astype("category")
    result = AnnData(sparse.vstack(values, format="csr"), obs=obs, var=pairs.add_prefix("gene_"))
    result.layers[counts_layer] = sparse.vstack(counts, format="csr")
    for matrix in (result.X, result.layers[counts_layer]):
        matrix.sort_indices()  # choosing genes by name left them in another order
    return result
