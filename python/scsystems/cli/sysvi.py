"""The command ``scsystems sysvi``: integrate systems into one embedding."""

from __future__ import annotations

import argparse
import logging

from ..errors import ScsystemsError
from .command import path, weight, whole
from .options import (
    CELLS,
    add_assay,
    add_common,
    add_expression,
    add_training,
    is_cells,
)
from .outputs import Results, check_model
from .progress import training_progress

logger = logging.getLogger(__name__)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "sysvi",
        help="integrate systems into one embedding",
        description="Train sysVI on the cells of a file and write them, with the embedding added, into a file of "
        "the same kind. Raw counts are normalized and log-transformed first; genes that vary in every "
        "system are chosen.",
        epilog="example:\n  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor",
        is_file=is_cells,
    )
    command.add_argument("input", type=path, help=CELLS)
    command.add_argument("output", type=path, help="file of the same kind to write")
    command.add_argument(
        "--system",
        required=True,
        metavar="COLUMN",
        help="cell column with the systems to integrate",
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
    add_expression(
        command, "X; .raw if X is scaled", "the counts, or else the log-normalized values"
    )
    add_assay(command)
    genes = command.add_mutually_exclusive_group()
    genes.add_argument(
        "--genes",
        type=whole(1),
        metavar="N",
        help="most variable genes per system; those that all systems share are used (default: 2000, "
        "with --preset paper 3000)",
    )
    command.add_argument(
        "--min-cells",
        type=whole(0),
        default=20,
        metavar="N",
        help="choose among genes found in more cells of every system than this (default: 20)",
    )
    genes.add_argument("--all-genes", action="store_true", help="use every gene of the file")
    command.add_argument(
        "--name",
        type=name_of_embedding,
        help="name of the embedding (default: X_sysvi, sysvi in Seurat, SYSVI in SCE)",
    )
    command.add_argument(
        "--report", type=path, metavar="FILE", help="write a report there, ending in .html or .md"
    )
    command.add_argument(
        "--labels", metavar="COLUMN", help="cell column with cell types, for the report alone"
    )
    training = add_training(
        command,
        "passes over the cells (default: 8,000,000 divided by the number of cells, but at most 250, with "
        "--preset paper at most 400)",
    )
    training.add_argument(
        "--prior",
        choices=("vamp", "standard_normal", "gmm"),
        default="vamp",
        help="prior of the latent space (default: vamp)",
    )
    training.add_argument(
        "--dims", type=whole(1), default=15, metavar="N", help="dimensions (default: 15)"
    )
    training.add_argument(
        "--cycle-weight",
        type=weight,
        metavar="W",
        help="strength of integration: 1 to 50 are sensible (default: 3, with --preset paper 5)",
    )
    training.add_argument(
        "--kl-weight",
        type=weight,
        metavar="W",
        help="weight of the KL divergence (default: 0.8, with --preset paper 1)",
    )
    training.add_argument(
        "--batch-size", type=whole(2), metavar="N", help="cells per step (default: 128)"
    )
    add_common(command)
    command.set_defaults(run=run)


def name_of_embedding(text: str) -> str:
    """What turns the value of an option into a name."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a name.")
    return text


def run(options: argparse.Namespace) -> None:
    """Train, and write the cells with their embedding."""
    import pandas as pd

    from ..data.containers import check_source, check_target, open_cells, write_cells
    from ..models.sysvi.model import SysVI
    from ..train.device import choose_device

    check_source(options.input)
    check_target(
        options.input, options.output, options.overwrite, [options.name] if options.name else []
    )
    check_model(options.model, options.overwrite, (options.input, options.output))
    check_report(options)
    choose_device(options.device)
    cells = open_cells(options.input, options.assay, options.layer, raw=options.raw)
    name = options.name or cells.default_name
    check_columns(cells.adata, options)
    prepared = _prepared(cells.adata, options)
    SysVI.setup_anndata(
        prepared,
        batch_key=options.system,
        categorical_covariate_keys=options.covariates,
        continuous_covariate_keys=options.continuous,
    )
    model = SysVI(
        prepared,
        prior=options.prior,
        n_latent=options.dims,
        preset=options.preset,
        seed=options.seed,
    )
    weights = {"z_distance_cycle_weight": options.cycle_weight, "kl_weight": options.kl_weight}
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
    at = prepared.obs_names.get_indexer(cells.adata.obs_names)
    embedding = model.get_latent_representation()[at]
    cells.add_embedding(name, embedding)
    table = pd.DataFrame(embedding, index=cells.adata.obs_names).add_prefix(f"{name}_")
    results = Results()
    if results.keep(
        "The embedding",
        options.output,
        lambda place: write_cells(cells, place),
        options.output.with_suffix(".csv.gz"),
        table.to_csv,
    ):
        logger.info("The embedding %r of %d cells is in %s", name, len(table), options.output)
    if options.model and results.keep(
        "The model",
        options.model,
        lambda place: model.save(place, overwrite=options.overwrite),
        options.output.with_name(f"{options.output.stem}-model"),
    ):
        logger.info("The model is in %s", options.model)
    if options.report:
        write_report(model, options)
    results.report()
    if model.interrupted:
        raise KeyboardInterrupt


def check_report(options: argparse.Namespace) -> None:
    """Refuse a report that could not be written, before anything is trained."""
    from ..durable.steps import check_writable

    report = options.report
    if report is None:
        if options.labels is not None:
            raise ScsystemsError(
                f"--labels {options.labels} is for the report, and there is no --report. Give --report FILE.html, or "
                "leave --labels out."
            )
        return
    if report.suffix not in (".html", ".md"):
        raise ScsystemsError(f"--report {report}: expected a file ending in .html or .md.")
    if report.exists() and not options.overwrite:
        raise ScsystemsError(
            f"--report {report} exists already. Give another name, or --overwrite to replace it."
        )
    if not report.absolute().parent.is_dir():
        raise ScsystemsError(f"--report {report}: there is no such folder. Make it first.")
    check_writable(report.absolute().parent)


def write_report(model, options: argparse.Namespace) -> None:
    """Write the report; the results of the training are not lost where that fails."""
    from ..reports.integration import report

    try:
        report(model, options.report, label_key=options.labels, seed=options.seed)
    except (ScsystemsError, OSError) as error:
        logger.warning("Warning: the report could not be written: %s", error)
    else:
        logger.info("The report is in %s", options.report)


def check_columns(adata, options: argparse.Namespace) -> None:
    """Refuse columns that the cells do not have, or that are named twice."""
    from ..checks import column

    if options.labels is not None:
        column(adata, options.labels, "labels", complete=False)

    given = {
        "system": [options.system],
        "covariates": options.covariates,
        "continuous": options.continuous,
    }
    taken: dict[str, str] = {}
    for argument, keys in given.items():
        for key in keys:
            column(adata, key, argument)
            if key in taken:
                raise ScsystemsError(
                    f"--{argument} {key}: --{taken[key]} names this column already. Expected every column once."
                )
            taken[key] = argument


def _prepared(adata, options: argparse.Namespace):
    """Log-normalized expression of the genes to train on."""
    from ..data.choice import UNLOGGED
    from ..data.features import select_features
    from ..data.matrix import expression
    from ..data.preprocess import prepare
    from ..data.scale.judge import judge
    from ..data.scale.refuse import describe
    from ..models.sysvi import presets

    sample = options.covariates[0] if options.covariates else None
    choice = {
        "n_top_genes": presets.n_top_genes(options.preset)
        if options.genes is None
        else options.genes,
        "min_cells": options.min_cells,
    }
    found = judge(expression(adata)).cells
    logger.info("The expression %s", describe(found))
    if found.kind in UNLOGGED:
        logger.info("It is normalized and log-transformed for the training")
        if options.all_genes:
            choice = {"features": list(adata.var_names), "min_cells": None}
        fractional = found.kind != "counts"
        return prepare(adata, options.system, sample, fractional=fractional, **choice)
    if options.all_genes:
        return adata.copy()
    genes = select_features(adata, options.system, sample, **choice)
    logger.info("%d genes vary in every system", len(genes))
    return adata[:, genes].copy()
