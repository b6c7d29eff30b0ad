"""The user's own words: one message, said in the terms of Python, R or the command line.

Code below the doors raises errors in terms of what is wrong ("the column that names the
system"); how the user wrote that depends on the door the call came through. The R bridge and
the command line say which door it is with `spoken_by`; everything else is Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from .options import SCSPECIES, SYSVI

Door = Literal["python", "r", "cli"]

_door: ContextVar[Door] = ContextVar("door", default="python")

# what is meant -> how it is written in each door
TERMS: dict[str, dict[Door, str]] = {
    # arguments of SysVI.setup_anndata
    "system": {"python": "batch_key", "r": "system", "cli": "--system"},
    "covariates": {
        "python": "categorical_covariate_keys",
        "r": "covariates",
        "cli": "--covariates",
    },
    "continuous": {
        "python": "continuous_covariate_keys",
        "r": "continuous_covariates",
        "cli": "--continuous",
    },
    "cell labels": {"python": "labels_key", "r": "labels", "cli": "--labels"},
    "unlabeled": {"python": "unlabeled_category", "r": "unlabeled", "cli": "--unlabeled"},
    # the same things in scsystems.pp.prepare and select_features
    "prepared system": {"python": "system_key", "r": "system", "cli": "--system"},
    "sample": {"python": "batch_key", "r": "covariates", "cli": "--covariates"},
    # of ScSpecies
    "species batch": {"python": "batch_key", "r": "batch", "cli": "--batch"},
    "labels": {"python": "labels", "r": "labels", "cli": "--labels"},
    "context labels": {"python": "context_labels", "r": "labels", "cli": "--labels"},
    "target labels": {"python": "target_labels", "r": "target.labels", "cli": "--target-labels"},
    "n_top_genes of species": {
        "python": "n_top_genes",
        "r": "scspecies_options(n_top_genes = )",
        "cli": "--n-top-genes",
    },
    "layer": {"python": "layer", "r": "assay", "cli": "--layer"},
    "raw": {"python": "raw", "r": "raw", "cli": "--raw"},
    "fractional": {"python": "fractional", "r": "fractional", "cli": "--fractional"},
    # of metrics.evaluate, batch_strength and tune.grid
    "evaluated labels": {"python": "label_key", "r": "labels", "cli": "--labels"},
    "evaluated sample": {"python": "batch_key", "r": "batch", "cli": "--batch"},
    "strength sample": {"python": "sample_key", "r": "batch", "cli": "--batch"},
    "embeddings": {"python": "embeddings", "r": "reductions", "cli": "--embeddings"},
    "voting neighbors": {"python": "k", "r": "n.neighbors", "cli": "k"},
    "smallest label": {"python": "min_cells", "r": "min.cells", "cli": "min_cells"},
    "smallest moran group": {
        "python": "min_cells (moran_min_cells of evaluate() and grid())",
        "r": "moran.min.cells",
        "cli": "moran_min_cells",
    },
    "seed": {"python": "seed", "r": "seed.use", "cli": "--seed"},
    "n_jobs": {"python": "n_jobs", "r": "n.jobs", "cli": "--jobs"},
    # of training
    "accelerator": {"python": "accelerator", "r": "device", "cli": "--device"},
    "plan_kwargs": {"python": "plan_kwargs", "r": "sysvi_options(plan = )", "cli": "plan_kwargs"},
    "adversary": {
        "python": "adversarial",
        "r": "model = list(adversarial = {})",
        "cli": "adversarial",
    },
    "callbacks": {
        "python": "callbacks",
        "r": "train = list(callbacks = )",
        "cli": "callbacks",
    },
    "resume": {"python": "resume", "r": "train = list(resume = {})", "cli": "resume"},
    "gradient_clip_val": {
        "python": "gradient_clip_val",
        "r": "train = list(gradient_clip_val = {})",
        "cli": "gradient_clip_val",
    },
    "overwrite": {"python": "overwrite", "r": "overwrite", "cli": "--overwrite"},
    # of what is done with a trained model
    "neighbors": {"python": "n_neighbors", "r": "n.neighbors", "cli": "n_neighbors"},
    "confidence": {"python": "min_confidence", "r": "min.confidence", "cli": "min_confidence"},
    "missing genes": {"python": "max_missing", "r": "max.missing", "cli": "max_missing"},
    "transferred labels": {"python": "labels_key", "r": "labels", "cli": "--labels"},
    "abundance sample": {"python": "sample_key", "r": "sample", "cli": "sample_key"},
    "groups": {"python": "groupby", "r": "group.by", "cli": "groupby"},
    "first group": {"python": "group1", "r": "ident.1", "cli": "group1"},
    "second group": {"python": "group2", "r": "ident.2", "cli": "group2"},
    "false discoveries": {"python": "fdr_target", "r": "fdr", "cli": "fdr_target"},
    "decoded systems": {"python": "transform_batch", "r": "system", "cli": "transform_batch"},
    "decoded genes": {"python": "gene_list", "r": "features", "cli": "gene_list"},
    "pseudoinputs_data_indices": {
        "python": "pseudoinputs_data_indices",
        "r": "pseudoinputs",
        "cli": "pseudoinputs_data_indices",
    },
    # of the table of orthologs
    "table species": {
        "python": "species",
        "r": "species",
        "cli": "the names of --context, --targets",
    },
    "table columns": {
        "python": "columns={'human': 'Gene name', 'mouse': 'Mouse gene name'}",
        "r": 'scspecies_options(orthologs = list(columns = list(human = "Gene name", '
        'mouse = "Mouse gene name")))',
        "cli": "a table with a column per species, named like the species",
    },
    "table score": {
        "python": "read(..., min_score=5)",
        "r": "scspecies_options(orthologs = list(min_score = 5))",
        "cli": "a table with fewer, better supported pairs",
    },
    "table identifiers": {
        "python": "gene='id'",
        "r": 'scspecies_options(orthologs = list(gene = "id"))',
        "cli": "--genes id",
    },
    # things
    "nothing": {"python": "None", "r": "NULL", "cli": "leaving it out"},
    "data": {"python": "adata", "r": "The object", "cli": "The file"},
    "prepared data": {"python": "data", "r": "The object", "cli": "The file"},
    "cell data": {"python": "adata.obs", "r": "the cells' metadata", "cli": "the cells"},
    "reference data": {
        "python": "reference.obs",
        "r": "the reference's metadata",
        "cli": "the reference's columns",
    },
    "context data": {
        "python": "the context's obs",
        "r": "the context's metadata",
        "cli": "the context's columns",
    },
    "layers": {"python": "adata.layers", "r": "the object", "cli": "the file"},
    "all embeddings": {"python": "adata.obsm", "r": "the object", "cli": "the file"},
    "gene names": {
        "python": "Gene names (adata.var_names)",
        "r": "Gene names",
        "cli": "Gene names",
    },
    "cell names": {
        "python": "Cell names (adata.obs_names)",
        "r": "Cell names",
        "cli": "Cell names",
    },
    # ways out
    "prepare": {
        "python": "scsystems.pp.prepare(), or scanpy.pp.normalize_total(adata) and "
        "scanpy.pp.log1p(adata)",
        "r": "NormalizeData() (Seurat) or scuttle::logNormCounts() (SingleCellExperiment)",
        "cli": "a common total per cell and log(1 + x) before the file is written",
    },
    "round": {
        "python": "{where} = numpy.rint({where})",
        "r": "round() of the matrix",
        "cli": "before the file is written",
    },
    "normalize": {
        "python": "scanpy.pp.normalize_total(adata) and scanpy.pp.log1p(adata)",
        "r": "NormalizeData() (Seurat) or scuttle::logNormCounts() (SingleCellExperiment)",
        "cli": "to a common total per cell, then log(1 + x), before the file is written",
    },
    "log": {
        "python": "scanpy.pp.log1p(adata)",
        "r": "NormalizeData() (Seurat) or scuttle::logNormCounts() (SingleCellExperiment)",
        "cli": "log(1 + x) before the file is written",
    },
    "share genes": {
        "python": "Species with their own names are put together by scsystems.pp.prepare() with "
        "orthologs=.",
        "r": "Species with their own gene names go in as they are, an object each: "
        "RunSysVI(list(human = h, mouse = m), orthologs = table); or use RunScSpecies().",
        "cli": "Species with their own names go in as they are, a file each, by --input and --orthologs; "
        "or use scsystems scspecies.",
    },
    "pair genes": {
        "python": "give orthologs= for species with their own gene names",
        "r": "give species with their own gene names as a list, with orthologs",
        "cli": "give species with their own gene names by --input and --orthologs, or to scsystems scspecies",
    },
    "orthology": {"python": "orthology", "r": "orthology", "cli": "--orthology"},
    "species by name": {
        "python": "{species: AnnData}, each with its own genes",
        "r": "a list of objects, each with its own genes, named by species",
        "cli": "SPECIES=FILE ..., each with its own genes",
    },
    "give table": {
        "python": "Give a table of orthologs=; that of human and mouse comes with the package.",
        "r": "Give a table as `orthologs`; that of human and mouse comes with the package.",
        "cli": "Give a table as --orthologs; that of human and mouse comes with the package.",
    },
    "fewer cells": {
        "python": "Lower min_cells",
        "r": "Lower min_cells in sysvi_options()",
        "cli": "Lower --min-cells",
    },
    "given genes": {
        "python": "give the genes as features",
        "r": "give the genes as features",
        "cli": "use --all-genes",
    },
    "drop empty cells": {
        "python": "Drop them, for example with sc.pp.filter_cells(adata, min_genes=200).",
        "r": "Drop them, for example with object[, colSums(counts) > 0].",
        "cli": "Drop them before the file is written.",
    },
    "assay": {"python": "assay", "r": "assay", "cli": "--assay"},
    "unique genes": {
        "python": "Call adata.var_names_make_unique().",
        "r": "Give every gene a name of its own.",
        "cli": "Give each a name of its own before the file is written.",
    },
    "unique cells": {
        "python": "Call adata.obs_names_make_unique().",
        "r": "Give every cell a name of its own.",
        "cli": "Give each a name of its own before the file is written.",
    },
    "install data": {
        "python": "pip install --no-deps {0}",
        "r": 'reticulate::py_install("{0}", pip = TRUE, pip_options = "--no-deps")',
        "cli": "pip install --no-deps {0}",
    },
    "simulated": {
        "python": "scs.datasets.simulated()",
        "r": "simulated_cells()",
        "cli": "scs.datasets.simulated()",
    },
    "other cells": {
        "python": "Give the cells to use as adata=",
        "r": "Give the cells to use",
        "cli": "Give the cells to use",
    },
    "train": {"python": "Call train() first.", "r": "Train it first.", "cli": "Train it first."},
    "map genes": {
        "python": "prepare_query_anndata(), which pads missing genes",
        "r": "MapSysVI(), which fills in missing genes",
        "cli": "prepare_query_anndata() in Python, which pads missing genes",
    },
    "map samples": {
        "python": "load_query_data()",
        "r": "MapSysVI()",
        "cli": "load_query_data() in Python",
    },
    "neighbor labels": {
        "python": "transfer_labels()",
        "r": "MapSysVI()",
        "cli": "transfer_labels() in Python",
    },
    "other systems": {
        "python": "map the new system with ScSpecies",
        "r": "align the new system with RunScSpecies()",
        "cli": "align the new system with scsystems scspecies",
    },
    "attach": {
        "python": "ScSpecies.load(path, {{{0!r}: adata}})",
        "r": "LoadScSpecies(path, list({0} = object, ...))",
        "cli": "ScSpecies.load(path, {{{0!r}: adata}}) in Python",
    },
}


@contextmanager
def spoken_by(door: Door) -> Iterator[None]:
    """For the time of the block, messages use the terms of a door."""
    token = _door.set(door)
    try:
        yield
    finally:
        _door.reset(token)


def door() -> Door:
    """The door that the call came through."""
    return _door.get()


# arguments of methods have their names from their own table, by the name in Python
_OPTIONS: dict[str, dict[Door, str]] = {
    o.name: {"python": o.name, "r": o.r or o.name, "cli": o.cli or o.name}
    for o in (*SCSPECIES, *SYSVI)
}


def word(term: str) -> str:
    """What the user calls a term of `TERMS`, or an option of `scsystems.options`."""
    return (TERMS.get(term) or _OPTIONS[term])[_door.get()]


def argument(name: str) -> str:
    """What the user calls an argument of Python; most have one name in all doors."""
    return word(name) if name in TERMS or name in _OPTIONS else name


def written(term: str, value: Any) -> str:
    """An argument with a value, as the user would write it."""
    name = argument(term)
    if _door.get() == "python":
        return f"{name}={value!r}"
    if _door.get() == "r":
        value = _in_r(value)
        return name.format(value) if "{}" in name else f"{name} = {value}"
    return name if value is True else f"{name} {value}"


def _in_r(value: Any) -> str:
    """A plain value as R writes it."""
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple)):
        return f"c({', '.join(map(_in_r, value))})"
    return str(value)


def column(key: str) -> str:
    """A column of cell data."""
    return f"adata.obs[{key!r}]" if _door.get() == "python" else f"column {key!r}"


def expression(layer: str | None = None) -> str:
    """The matrix of expression."""
    if _door.get() == "r":
        return "The expression"
    if layer is None:
        return "adata.X" if _door.get() == "python" else "X"
    return f"adata.layers[{layer!r}]" if _door.get() == "python" else f"layer {layer!r}"


def embedding(key: str) -> str:
    """An embedding beside the cells."""
    names = {
        "python": f"adata.obsm[{key!r}]",
        "r": f"reduction {key!r}",
        "cli": f"embedding {key!r}",
    }
    return names[_door.get()]
