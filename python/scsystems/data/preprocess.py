"""Prepare expression for integration, as the sysVI paper does ("Data preprocessing").

Per system: keep the genes found in enough cells and, across species, with a one-to-one
ortholog; normalize to a common total and take logs; choose highly variable genes with the
sample as batch. Then keep the genes chosen in every system.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks, words
from ..checks import head
from ..errors import InputError
from ..threads import torch_threads_kept
from .checks import looks_like_counts
from .features import (
    n_cells_with,
    select_features,
    split_systems,
    variability,
)
from .gene_choice import N_TOP_GENES, check_choice, choose_rows
from .joint import fold, join_species, joint_obs
from .kept_genes import find_kept, in_all_systems, with_wanted
from .levels import coded, level_name
from .matrix import expression
from .orthologs.links import ORTHOLOGY, SAME_NAMES, Links, Source, link, readable
from .scale.judge import groups_of
from .scale.record import PREPARATION
from .scale.refuse import check_counts

__all__ = ["Preparation", "join_species", "looks_like_counts", "prepare", "select_features"]

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
    orthologs: str = ""
    kept: str = ""
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
        if self.orthologs:
            lines.append(self.orthologs)
        lines.append(f"{self.n_shared} such genes shared by all systems")
        if self.n_variable:
            chosen = ", ".join(f"{n} in {system}" for system, n in self.n_variable.items())
            lines.append(f"highly variable genes chosen: {chosen}")
            if self.settings["hvg_merge"] == "joint":
                lines[-1] += "; those of the best rank over all systems are taken"
        if self.kept:
            lines += ["genes asked for:", self.kept]
        lines.append(f"{self.n_selected} genes kept")
        return "\n".join(lines)


@torch_threads_kept()
def prepare(
    data: AnnData | str | Path | Mapping[str, AnnData] | Mapping[str, str | Path],
    system_key: str = "system",
    batch_key: str | None = None,
    *,
    orthologs: Source | Mapping[str, Source] | None = None,
    orthology: str = "one2one",
    names_from: str | None = None,
    layer: str | None = None,
    min_cells: int | None = 20,
    target_sum: float | None = 1e4,
    features: Sequence[str] | None = None,
    n_top_genes: int = N_TOP_GENES,
    hvg_merge: Literal["intersection", "joint"] = "intersection",
    keep: Sequence[str] | None = None,
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
    orthologs
        For a mapping of species with their own gene names: a table of
        :mod:`scsystems.data.orthologs.tables`, or a file or frame to read one from; or a mapping of
        every other species to its table with the first. Without it, genes are shared by having the
        same name; of human and mouse with their own names, by Ensembl's pairs, which come with the
        package.
    orthology
        ``"one2one"``: genes whose pair is the only one of both. ``"groups"``: all genes that pairs
        connect are one, whose counts are summed in every species before anything else: human
        *INS* is the mouse's *Ins1* and *Ins2*.
    names_from
        The system whose gene names the result carries; the first by default. Everybody's
        names are in ``var["gene_<system>"]``, with ``;`` between the genes of a group.
    layer
        Layer with the raw counts; ``X`` by default.
    min_cells
        In every system keep genes found in more than this many cells; None keeps all genes.
    target_sum
        Total per cell after normalization; None for the system's median total.
    features
        Use these genes (in the names of the result) rather than choose any.
    n_top_genes
        Highly variable genes: per system (the paper: 3000, and 4000 for organoid-tissue), or with
        ``hvg_merge="joint"`` of the result.
    hvg_merge
        ``"intersection"`` (the paper): genes that are among the ``n_top_genes`` of every system, so
        that fewer remain the more systems there are or the more they differ. ``"joint"``: the
        ``n_top_genes`` whose worst rank over the systems is best, so that the number is the one asked for, or
        that of all genes that every system expresses.
    keep
        Genes (in the names of the result), such as a rare type's markers, that are used besides, whether
        they vary or not and in however few cells they are. What became of each is in
        ``uns["preparation"]["kept"]``; those that a system lacks are warned of.
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
    checks.choice("orthology", orthology, ORTHOLOGY)
    if (orthologs is not None or orthology != "one2one") and not isinstance(data, Mapping):
        given = "orthology" if orthologs is None else "orthologs"
        raise InputError(
            f"{given}= needs data as {{species: AnnData}}, each with its own gene names. One "
            "AnnData for all cells has one set of gene names already."
        )
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
    if any(paths) and out is not None:
        from .prepare_store import prepare_store

        return prepare_store(
            data,
            out,
            system_key,
            batch_key,
            orthologs=orthologs,
            orthology=orthology,
            names_from=names_from,
            layer=layer,
            min_cells=min_cells,
            target_sum=target_sum,
            features=features,
            n_top_genes=n_top_genes,
            hvg_merge=hvg_merge,
            keep=keep,
            flavor=flavor,
            min_batch_cells=min_batch_cells,
            counts_layer=counts_layer,
            fractional=fractional,
            overwrite=overwrite,
        )
    if out is not None:
        raise InputError("out is for cells on disk: give data as a path, or write the result.")
    check_choice(features, hvg_merge, keep)
    systems = split_systems(data, system_key, batch_key, layer)
    if names_from is not None and level_name(names_from) not in systems:
        raise InputError(f"names_from={names_from!r} is none of the systems {tuple(systems)}.")
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
    genes = {name: adata.var_names for name, adata in systems.items()}
    n_genes = {name: len(own) for name, own in genes.items()}
    links = link_systems(genes, data, orthologs, orthology)
    pairs, n_expressed = links.pairs, {name: len(own) for name, own in expressed.items()}
    for name in links.folds:
        systems[name] = fold(systems[name], name, links, layer)
        if min_cells is None:
            expressed[name] = systems[name].var_names
        else:
            often = n_cells_with(systems[name].X) > min_cells
            expressed[name] = systems[name].var_names[often]
    if links.folds:
        layer = None  # the sums are in X
    namer = next(iter(systems)) if names_from is None else level_name(names_from)
    wanted = find_kept(keep, links, genes, namer)
    genes = {name: adata.var_names for name, adata in systems.items()}
    used = with_wanted(expressed, pairs.loc[wanted.rows], genes)
    # genes that every system expresses
    shared = in_all_systems(pairs, used)
    if shared.empty:
        raise InputError(
            f"No gene is in more than {words.written('min_cells', min_cells)} cells of every system (genes that are, "
            f"per system: {n_expressed}). "
            f"{words.word('fewer cells')}, or {words.word('pair genes')}."
        )
    normalized, found = {}, {}
    for name, adata in systems.items():
        # totals and variable genes rest on all genes the system expresses that have a partner,
        # whether the other systems express it or not
        rows = pairs.index[pairs[name].isin(used[name])]
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
            often = pairs.loc[rows, name].isin(expressed[name]).to_numpy()
            part = part if often.all() else part[:, often].copy()
            found[name] = variability(part, name, batch_key, n_top_genes, flavor, min_batch_cells)
    labels, among = shared[namer], in_all_systems(pairs, expressed).index
    if links.folds:
        labels = labels.map(readable)
    kept, asked = choose_rows(labels, among, features, found, n_top_genes, hvg_merge, wanted)
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
        n_genes=n_genes,
        n_expressed=n_expressed,
        n_shared=len(shared),
        n_variable={name: len(variable.chosen) for name, variable in found.items()},
        n_selected=len(kept),
        orthologs=links.report,
        kept=asked,
        settings={
            "min_cells": "none" if min_cells is None else min_cells,
            "target_sum": "median" if target_sum is None else target_sum,
            "n_top_genes": n_top_genes,
            "hvg_merge": hvg_merge,
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


def link_systems(genes: Mapping[str, pd.Index], data, source, orthology: str) -> Links:
    """Which genes of the systems belong together; those of one object have the same names."""
    if not isinstance(data, Mapping):
        return link(genes, SAME_NAMES)
    return link(genes, source, orthology)


def _check_not_empty(part: AnnData, name: str) -> None:
    empty = np.asarray(part.X.sum(axis=1)).ravel() == 0
    if part.n_vars and empty.any():
        raise InputError(
            f"{int(empty.sum())} of {part.n_obs} cells of {name!r} have no counts in its "
            f"{part.n_vars} usable genes: {head(part.obs_names[empty])}. {words.word('drop empty cells')}"
        )


def _stack(systems, values, pairs, layer, counts_layer, columns: bool) -> AnnData:
    """All systems' cells on the kept genes: log-normalized values, counts in a layer, columns."""
    counts = [
        sparse.csr_matrix(expression(adata[:, pairs[name]], layer))
        for name, adata in systems.items()
    ]
    if columns:
        obs = joint_obs(systems)
    else:
        obs = pd.concat([adata.obs[[]] for adata in systems.values()])
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
