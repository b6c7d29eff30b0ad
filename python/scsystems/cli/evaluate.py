"""The command ``scsystems evaluate``: metrics of the embeddings in a file."""

from __future__ import annotations

import argparse
import logging

import numpy as np

from ..errors import ScsystemsError, WriteError
from .command import path
from .options import (
    CELLS,
    add_assay,
    add_common,
    add_expression,
    add_overwrite,
    add_seed,
    is_cells,
)
from .progress import is_watched

logger = logging.getLogger(__name__)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "evaluate",
        help="measure how well embeddings mix systems and keep cell types apart",
        description="Compute the metrics of the sysVI paper for the embeddings in a file and print them as a table.",
        epilog="example:\n  scsystems evaluate integrated.h5ad --embeddings X_pca X_sysvi --system species "
        "--labels cell_type --output metrics.csv",
        is_file=is_cells,
    )
    command.add_argument("input", type=path, help=CELLS)
    command.add_argument(
        "--embeddings",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="embeddings to compare (default: all)",
    )
    command.add_argument(
        "--system", required=True, metavar="COLUMN", help="cell column with the systems"
    )
    command.add_argument("--labels", metavar="COLUMN", help="cell column with the cell types")
    command.add_argument(
        "--batch",
        metavar="COLUMN",
        help="cell column with the samples (default: the systems)",
    )
    command.add_argument(
        "--metrics",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="metrics (default: all that the cells allow)",
    )
    add_expression(
        command,
        "X; .raw if X does not hold log-normalized values",
        "the log-normalized values, or else the counts",
    )
    add_assay(command)
    command.add_argument(
        "--output", type=path, metavar="FILE", help="write every value into this .csv file"
    )
    add_seed(command)
    add_overwrite(command)
    add_common(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compute the metrics, print and write them."""
    from .. import metrics
    from ..checks import column
    from ..data.containers import check_source, open_cells

    check_source(options.input)
    if options.output:
        _check_output(options)
    check_metrics(options.metrics, options.labels)
    adata = open_cells(
        options.input, options.assay, options.layer, raw=options.raw, wanted="logs"
    ).adata
    terms = {"system": "system", "labels": "evaluated labels", "batch": "evaluated sample"}
    for argument, term in terms.items():
        if (key := getattr(options, argument)) is not None:
            column(adata, key, term, complete=argument != "labels")
    table = metrics.evaluate(
        adata,
        _embeddings(adata, options),
        options.system,
        options.labels,
        options.batch,
        options.metrics,
        seed=options.seed,
        verbose=is_watched() and not options.quiet,
    )
    overall = table[table["level"] == "overall"]
    wide = overall.pivot_table(index=["category", "metric"], columns="embedding", values="value")
    print(wide.to_string(float_format=lambda v: f"{v:.3f}"))
    if options.output:
        table.to_csv(options.output, index=False)
        logger.info("All values are in %s", options.output)


def _check_output(options: argparse.Namespace) -> None:
    from ..durable.steps import check_writable

    output = options.output
    if is_cells(output.name) or output.absolute() == options.input.absolute():
        raise ScsystemsError(f"--output {output} is a file of cells. Expected a .csv file.")
    if output.is_dir():
        raise ScsystemsError(f"--output {output} is a folder. Expected a .csv file.")
    if output.exists() and not options.overwrite:
        raise ScsystemsError(
            f"--output {output} exists already. Give another name, or --overwrite to replace it."
        )
    if not output.absolute().parent.is_dir():
        raise ScsystemsError(f"--output {output}: there is no such folder. Make it first.")
    try:
        check_writable(output.absolute().parent)
    except WriteError as error:
        raise ScsystemsError(f"--output: {error}") from error


def check_metrics(names: list[str] | None, labels: str | None, option: str = "--metrics") -> None:
    """Refuse metrics that there are not, or that need labels; ``option`` names them."""
    from ..metrics import METRICS

    names = names or []
    if unknown := [name for name in names if name not in METRICS]:
        raise ScsystemsError(
            f"{option} {' '.join(unknown)}: expected some of {', '.join(METRICS)}."
        )
    needed = [name for name in names if METRICS[name].labels == "needed"]
    if needed and labels is None:
        raise ScsystemsError(
            f"{option} {' '.join(needed)}: cell types are needed. Name their column with --labels."
        )


def _embeddings(adata, options: argparse.Namespace) -> list[str]:
    """The embeddings that were asked for, or all that can be evaluated."""
    if unknown := [name for name in options.embeddings or [] if name not in adata.obsm]:
        found = ", ".join(adata.obsm) or "none"
        raise ScsystemsError(
            f"--embeddings {' '.join(unknown)}: the file has no such embedding. Found: {found}."
        )
    if options.embeddings:
        return options.embeddings
    usable = [name for name, values in adata.obsm.items() if _is_embedding(values)]
    for name in adata.obsm:
        if name not in usable:
            logger.info("%s is left out: it is no embedding of numbers", name)
    if not usable:
        raise ScsystemsError(
            f"{options.input} has no embeddings. Make one first, for example with: scsystems sysvi"
        )
    return usable


def _is_embedding(values) -> bool:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        return False
    return array.ndim == 2 and array.size > 0 and bool(np.isfinite(array).all())
