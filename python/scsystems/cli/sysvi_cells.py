"""The cells that SysVI is trained on: options that name them, and how they are read and prepared."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import ScsystemsError
from ..options import SYSVI
from .command import Command
from .on_disk import CopiedCells, prepared_on_disk
from .options import add_assay, add_expression, add_option
from .sysvi_files import check_logged, read_cells

if TYPE_CHECKING:
    from ..train.parallel.distributed import Group

logger = logging.getLogger(__name__)

# of what an option is called in `scsystems.words.TERMS`, where that is another word
_TERMS = {"labels": "cell labels"}


def add_columns(command: Command, system: str) -> None:
    """Columns of cells; ``system`` is what is said of the system's."""
    command.add_argument(
        "--system",
        required=True,
        metavar="COLUMN",
        help=system,
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


def add_genes(command: Command) -> None:
    """Which expression, and which genes."""
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


def check_genes(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other."""
    if options.all_genes and options.keep:
        raise ScsystemsError("--all-genes uses every gene. Leave out --keep.")


@contextmanager
def prepared_cells(
    options: argparse.Namespace, on_disk: bool, group: Group | None = None
) -> Iterator[tuple[Any, Any]]:
    """The cells of the files, and the same log-normalized in the genes to train on.

    Nothing of what stays on disk is in memory.
    """
    if on_disk:
        there = CopiedCells(options.input)
        check_columns(there.adata, options)
        with prepared_on_disk(there, options, _choice(options), group) as prepared:
            yield there, prepared
        return
    cells = read_cells(options)
    check_columns(cells.adata, options)
    yield cells, _prepared(cells.adata, options)


def check_columns(adata, options: argparse.Namespace) -> None:
    """Refuse columns that the cells do not have, or that are named twice."""
    from ..checks import column

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
    # a report may measure by a column that is used otherwise, too
    if (labels := getattr(options, "report_labels", None)) is not None:
        column(adata, labels, "report labels", complete=False)


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
