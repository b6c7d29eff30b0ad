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

from .. import checks, words
from ..checks import head
from ..errors import InputError
from ..threads import torch_threads_kept
from .checks import check_unique, looks_like_counts
from .features import (
    N_TOP_GENES,
    chosen_by_all,
    n_cells_with,
    select_features,
    split_systems,
    variable_genes,
)
from .levels import coded, level_name, texts, writable
from .matrix import expression
from .orthologs import tables as _orthologues
from .scale.judge import groups_of
from .scale.record import PREPARATION
from .scale.refuse import check_counts

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
        least = self.settings["min_cells"]
        lines = [
            f"{system}: {self.n_cells[system]} cells, {self.n_genes[system]} genes"
            + (
                ""
                if least == "none"
                else f", {self.n_expressed[system]} of them in more than {least} cells"
            )
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


@torch_threads_kept()
def prepare(
    data: AnnData | str | Path | Mapping[str, AnnData] | Mapping[str, str | Path],
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    orthologues: _orthologues.Orthologues | pd.DataFrame | str | Path | None = None,
    names_from: str | None = None,
    layer: str | None = None,
    min_cells: int | None = 20,
    target_sum: float | None = 1e4,
    features: Sequence[str] | None = None,
    n_top_genes: int = N_TOP_GENES,
    flavor: str = "cell_ranger",
    min_batch_cells: int = 20,
    counts_layer: str = "counts",
    fractional: bool = False,
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
        In every system keep genes found in more than this many cells; None keeps all genes.
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
    fractional
        Whether counts may have fractions, as ambient-RNA correctors (SoupX, DecontX, CellBender)
        and EM estimates (STARsolo, alevin) leave them; they are normalized as they are. By default
        they are refused, because values with fractions may be something else.
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
    ``out``, opened as by :func:`scsystems.open_anndata`.

    Raises
    ------
    InputError
        The values of a system or sample are not counts, a column is missing or incomplete, there
        is one system, names are duplicated, features are not found, or no gene is left.
    """
    import scanpy as sc

    system_key = checks.name("prepared system", system_key)
    batch_key = checks.optional_name("sample", batch_key)
    layer = checks.optional_name("layer", layer)
    counts_layer = checks.name("counts_layer", counts_layer)
    if min_cells is not None:
        min_cells = checks.count("min_cells", min_cells, at_least=0)
    fractional = checks.flag("fractional", fractional)
    if target_sum is not None:
        target_sum = checks.number("target_sum", target_sum, above=0)
    paths = [_is_path(v) for v in data.values()] if isinstance(data, Mapping) else [_is_path(data)]
    if any(paths) and (out is None or not all(paths)):
        at = paths.index(True)
        name, path = list(data.items())[at] if isinstance(data, Mapping) else (None, data)
        checks.anndata(
            "prepared data" if name is None else f"data[{name!r}]",
            path,
            remedy="Read the cells with anndata.read_h5ad(path); or give all as paths and `out`, the .h5ad file to "
            "write the result into, and they stay on disk.",
        )
    if any(paths):
        from .prepare_store import prepare_store

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
            fractional=fractional,
            overwrite=overwrite,
        )
    if out is not None:
        raise InputError("out is for cells on disk: give data as a path, or write the result.")
    systems = split_systems(data, system_key, batch_key, layer)
    if names_from is not None and level_name(names_from) not in systems:
        raise InputError(f"names_from={names_from!r} is none of the systems {tuple(systems)}.")
    if orthologues is not None and not isinstance(data, Mapping):
        raise InputError(
            "orthologues= needs data as {species: AnnData}, each with its own gene names. One "
            "AnnData for all cells has one set of gene names already."
        )
    for name, adata in systems.items():
        samples = groups_of(adata.obs, [] if batch_key is None else [batch_key])
        where = f"{words.expression(layer)} of {name!r}"
        check_counts(expression(adata, layer), where, samples, adata.obs_names, fractional)
    expressed = {
        name: adata.var_names
        if min_cells is None
        else adata.var_names[n_cells_with(expression(adata, layer)) > min_cells]
        for name, adata in systems.items()
    }
    pairs, report = pair_genes({n: a.var_names for n, a in systems.items()}, orthologues)
    # genes that every system expresses
    shared = pairs[np.logical_and.reduce([pairs[n].isin(expressed[n]) for n in systems])]
    if shared.empty:
        raise InputError(
            f"No gene is in more than {words.written('min_cells', min_cells)} cells of every system (genes that are, "
            f"per system: { ({name: len(genes) for name, genes in expressed.items()}) }). "
            f"{words.word('fewer cells')}, or {words.word('pair genes')}."
        )
    normalized, chosen = {}, {}
    for name, adata in systems.items():
        # totals and variable genes rest on all genes the system expresses that have a partner,
        # whether the other systems express it or not
        rows = pairs.index[pairs[name].isin(expressed[name])]
        matrix = expression(adata[:, pairs.loc[rows, name]], layer)
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
    labels = shared[next(iter(systems)) if names_from is None else level_name(names_from)]
    if features is not None:
        kept = labels.index[pd.Index(labels).get_indexer(find_features(features, pd.Index(labels)))]
    else:
        kept = chosen_by_all(shared.index, chosen)
    pairs = pairs.loc[kept].set_axis(pd.Index(labels[kept], name=None), axis=0)
    values = [part[:, kept].X for part in normalized.values()]
    if isinstance(data, AnnData):
        result = _stack(systems, values, pairs, layer, counts_layer, columns=False)
        result = result[data.obs_names].copy()  # the cells as they came
        result.obs, result.var = data.obs.copy(), data.var.loc[result.var_names].copy()
    else:
        result = _stack(systems, values, pairs, layer, counts_layer, columns=True)
        labels = np.repeat(list(systems), [adata.n_obs for adata in systems.values()])
        result.obs[system_key] = pd.Categorical(labels, categories=list(systems))
        if batch_key is not None:
            _warn_of_one_name(systems, batch_key)
    preparation = Preparation(
        n_cells={name: adata.n_obs for name, adata in systems.items()},
        n_genes={name: adata.n_vars for name, adata in systems.items()},
        n_expressed={name: len(genes) for name, genes in expressed.items()},
        n_shared=len(shared),
        n_variable={name: len(genes) for name, genes in chosen.items()},
        n_selected=len(kept),
        orthologues=report,
        settings={
            "min_cells": "none" if min_cells is None else min_cells,
            "target_sum": "median" if target_sum is None else target_sum,
            "n_top_genes": n_top_genes,
            "flavor": flavor,
            "min_batch_cells": min_batch_cells,
        },
    )
    result.uns[PREPARATION] = asdict(preparation)
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
            source = _orthologues.read_for(source, genes)
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
            f"{part.n_vars} usable genes: {head(part.obs_names[empty])}. {words.word('drop empty cells')}"
        )


def find_features(features: Sequence[str], shared: pd.Index) -> pd.Index:
    """Names of genes, checked to be among those that all systems share."""
    wanted = pd.Index(texts("features", features), dtype=object)
    check_unique(wanted, "features", "Name each gene once.")
    missing = wanted.difference(shared, sort=False)
    if len(missing):
        raise InputError(
            f"features: {len(missing)} of {len(wanted)} are not among the {len(shared)} genes that "
            f"all systems express: {head(missing)}. Genes here are named like {head(shared[:3])}."
        )
    return wanted


def _stack(systems, values, pairs, layer, counts_layer, columns: bool) -> AnnData:
    """All systems' cells on the kept genes: log-normalized values, counts in a layer, columns."""
    counts = [
        sparse.csr_matrix(expression(adata[:, pairs[name]], layer))
        for name, adata in systems.items()
    ]
    obs = pd.concat([a.obs if columns else a.obs[[]] for a in systems.values()])
    if obs.index.has_duplicates:
        obs.index = [f"{name}_{cell}" for name, a in systems.items() for cell in a.obs_names]
        check_unique(obs.index, "Cell names of a system", words.word("unique cells"))
    for key in obs:  # categories, or kinds of values, that differ by system
        obs[key] = writable(obs[key], words.column(key))
    result = AnnData(sparse.vstack(values, format="csr"), obs=obs, var=pairs.add_prefix("gene_"))
    result.layers[counts_layer] = sparse.vstack(counts, format="csr")
    for matrix in (result.X, result.layers[counts_layer]):
        matrix.sort_indices()  # choosing genes by name left them in another order
    return result


def _warn_of_one_name(systems: Mapping[str, AnnData], key: str) -> None:
    """Warn of samples that are numbers in one system and text in another, by the same name."""
    where = words.column(key)
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for adata in systems.values():
        values = adata.obs[key]
        levels = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
        found[pd.api.types.is_numeric_dtype(levels)] |= set(coded(values, where)[1])
    if both := sorted(found[True] & found[False]):
        logger.warning(
            "%s: %s are numbers in one system and text in another; they are taken for the same samples. "
            "Give them different names if they are not.",
            *(where, head(both)),
        )
