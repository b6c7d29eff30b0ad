"""The command ``scsystems sysvi``: integrate systems into one embedding."""

from __future__ import annotations

import argparse
import logging

from ..errors import ScsystemsError
from ..options import SYSVI
from .command import path
from .on_disk import CopiedCells, add_memory, check_copy, prepared_on_disk, stays_on_disk
from .options import (
    CELLS,
    add_assay,
    add_common,
    add_expression,
    add_option,
    add_training,
    is_cells,
)
from .outputs import TABLES
from .progress import training_progress
from .report_file import add_report, check_report
from .sysvi_files import check_files, check_logged, read_cells, write_results

logger = logging.getLogger(__name__)

# column that is made of species with a file each, unless another is named
SYSTEM = "system"
# as in scsystems.data.orthologs.links, which takes long to import
ORTHOLOGY = ("one2one", "groups")

_EXAMPLES = """\
examples:
  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor
  scsystems sysvi --input human=h.h5ad mouse=m.h5ad integrated.h5ad --covariates donor
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "sysvi",
        help="integrate systems into one embedding",
        description="Train sysVI on the cells of a file and write them, with the embedding added, into a file of "
        "the same kind. Raw counts are normalized and log-transformed first; genes that vary in every "
        "system are chosen.",
        epilog=_EXAMPLES,
        # species come as NAME=FILE
        is_file=_is_file,
        instead={"--input": ("input", "--system")},
    )
    command.add_argument("input", type=path, help=f"{CELLS}; left out with --input")
    command.add_argument(
        "output", type=path, help="file of the same kind to write; with --input .h5ad or .zarr"
    )
    command.add_argument(
        "--input",
        dest="species",
        nargs="+",
        action="extend",
        default=[],
        metavar="SPECIES=FILE",
        help="species, each with its own genes, to put together into one file",
    )
    command.add_argument(
        "--orthologs",
        "--orthologues",
        nargs="+",
        action="extend",
        default=[],
        metavar="[SPECIES=]FILE",
        help="table that pairs the genes of the species, or one for each species with the first (default: that of "
        "human and mouse comes with scsystems; others must have the same gene names)",
    )
    command.add_argument(
        "--orthology",
        choices=ORTHOLOGY,
        default="one2one",
        help="genes of one pair only, or groups of orthologs, whose counts are summed (default: one2one)",
    )
    command.add_argument(
        "--system",
        required=True,
        metavar="COLUMN",
        help="cell column with the systems to integrate; with --input the one that is made (default then: system)",
    )
    command.add_argument(
        "--covariates",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="cell columns with weaker batch effects, such as the sample or donor",
    )
    command.add_argument(
        "--continuous",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="numeric cell columns to correct for",
    )
    command.add_argument(
        "--labels",
        metavar="COLUMN",
        help="cell column with labels, such as cell types, that the model is told and names the other cells by; "
        "cells without one are missing there",
    )
    command.add_argument(
        "--unlabeled",
        metavar="NAME",
        help="what that column holds for cells without a label, such as Unknown",
    )
    add_expression(
        command, "X; .raw if X is scaled", "the counts, or else the log-normalized values"
    )
    add_assay(command)
    genes = command.add_mutually_exclusive_group()
    add_option(
        genes,
        SYSVI,
        "n_top_genes",
        "most variable genes: of every system, or with --hvg-merge joint of all together",
    )
    add_option(
        command,
        SYSVI,
        "hvg_merge",
        "use the genes that are variable in every system, or as many as asked for, of the best rank over "
        "all systems",
    )
    command.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        metavar="GENE",
        help="genes to use in any case, such as markers of rare types (default: none)",
    )
    add_option(
        command,
        SYSVI,
        "min_cells",
        "choose among genes found in more cells of every system than this",
    )
    command.add_argument(
        "--fractional",
        action="store_true",
        help="take counts with fractions, as ambient-RNA correctors leave them",
    )
    genes.add_argument("--all-genes", action="store_true", help="use every gene of the file")
    command.add_argument(
        "--name",
        type=name_of_embedding,
        help="name of the embedding (default: X_sysvi, sysvi in Seurat, SYSVI in SCE)",
    )
    command.add_argument(
        "--embedding-only",
        action="store_true",
        help="write the embedding alone: with the cells' columns (.h5ad), or as a table (.parquet, .csv)",
    )
    add_report(command)
    add_memory(command)
    training = add_training(
        command,
        "passes over the cells (default: 8,000,000 divided by the number of cells, but at most 250, with "
        "--preset paper at most 400)",
    )
    add_option(training, SYSVI, "prior", "prior of the latent space")
    add_option(training, SYSVI, "n_latent", "dimensions")
    cycle = "strength of integration: 1 to 50 are sensible"
    add_option(training, SYSVI, "z_distance_cycle_weight", cycle)
    add_option(training, SYSVI, "kl_weight", "weight of the KL divergence")
    add_option(training, SYSVI, "label_weight", "weight of the labels")
    add_option(training, SYSVI, "batch_size", "cells per step")
    add_common(command)
    command.set_defaults(run=run)


# of what an option is called in `scsystems.words.TERMS`, where that is another word
_TERMS = {"labels": "cell labels"}


def _is_file(value: str) -> bool:
    """Whether a value looks like a file of cells, or like one with their embedding alone."""
    return "=" not in value and (is_cells(value) or value.lower().endswith(TABLES))


def name_of_embedding(text: str) -> str:
    """What turns the value of an option into a name."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a name.")
    return text


def run(options: argparse.Namespace) -> None:
    """Train, and write the cells with their embedding."""
    from contextlib import nullcontext

    from ..train.device import choose_device

    options.system = options.system or SYSTEM
    if options.all_genes and options.keep:
        raise ScsystemsError("--all-genes uses every gene. Leave out --keep.")
    check_files(options)
    check_report(options)
    choose_device(options.device)
    on_disk = stays_on_disk(options)
    if on_disk and not options.embedding_only:
        check_copy(options.input, options.output)
    cells = CopiedCells(options.input) if on_disk else read_cells(options)
    check_columns(cells.adata, options)
    found = (
        prepared_on_disk(cells, options, _choice(options))
        if on_disk
        else nullcontext(_prepared(cells.adata, options))
    )
    with found as prepared:
        model = _trained(prepared, options, options.layer if prepared is cells.adata else None)
        at = prepared.obs_names.get_indexer(cells.adata.obs_names)
        embedding = model.get_latent_representation()[at]
        write_results(cells, embedding, model, at, options)
    if model.interrupted:
        raise KeyboardInterrupt


def _trained(prepared, options: argparse.Namespace, layer: str | None):
    """A model that has learned the cells."""
    from ..models.sysvi.model import SysVI

    SysVI.setup_anndata(
        prepared,
        batch_key=options.system,
        layer=layer,
        categorical_covariate_keys=options.covariates,
        continuous_covariate_keys=options.continuous,
        labels_key=options.labels,
        unlabeled_category=options.unlabeled,
    )
    model = SysVI(
        prepared,
        prior=options.prior,
        n_latent=options.dims,
        preset=options.preset,
        seed=options.seed,
    )
    weights = {
        "z_distance_cycle_weight": options.cycle_weight,
        "kl_weight": options.kl_weight,
        "label_weight": options.label_weight,
    }
    chosen = {
        "max_epochs": options.epochs,
        "batch_size": options.batch_size,
        "n_threads": options.threads,
        "plan_kwargs": {k: v for k, v in weights.items() if v is not None},
    }
    model.train(
        accelerator=options.device,
        **training_progress(options.quiet),
        **{k: v for k, v in chosen.items() if v is not None},
    )
    return model


def check_columns(adata, options: argparse.Namespace) -> None:
    """Refuse columns that the cells do not have, or that are named twice."""
    from ..checks import column

    if options.labels is not None:
        column(adata, options.labels, "labels", complete=False)
    if options.report_labels is not None:
        column(adata, options.report_labels, "report labels", complete=False)

    given = {
        "system": [options.system],
        "covariates": options.covariates,
        "continuous": options.continuous,
        "labels": [options.labels] if options.labels else [],
    }
    taken: dict[str, str] = {}
    for argument, keys in given.items():
        for key in keys:
            # cells may be without a label
            column(adata, key, _TERMS.get(argument, argument), complete=argument != "labels")
            if key in taken:
                raise ScsystemsError(
                    f"--{argument} {key}: --{taken[key]} names this column already. Expected every column once."
                )
            taken[key] = argument


def _choice(options: argparse.Namespace) -> dict:
    """Arguments of `scsystems.pp.prepare` that say which genes."""
    from ..models.sysvi import presets

    n = presets.n_top_genes(options.preset) if options.genes is None else options.genes
    return {
        "n_top_genes": n,
        "min_cells": options.min_cells,
        "hvg_merge": options.hvg_merge,
        "keep": options.keep,
    }


def _prepared(adata, options: argparse.Namespace):
    """Log-normalized expression of the genes to train on."""
    from ..data.choice import UNLOGGED
    from ..data.features import select_features
    from ..data.matrix import expression
    from ..data.preprocess import prepare
    from ..data.scale.judge import judge
    from ..data.scale.refuse import describe

    sample = options.covariates[0] if options.covariates else None
    choice = _choice(options)
    found = judge(expression(adata)).cells
    logger.info("The expression %s", describe(found))
    if found.kind in UNLOGGED:
        if options.all_genes:
            choice = {"features": list(adata.var_names), "min_cells": None}
        prepared = prepare(adata, options.system, sample, fractional=options.fractional, **choice)
        logger.info("It is normalized and log-transformed for the training")
        return prepared
    check_logged(options)
    if options.all_genes:
        return adata.copy()
    genes = select_features(adata, options.system, sample, **choice)
    logger.info("%d genes are chosen", len(genes))
    return adata[:, genes].copy()
