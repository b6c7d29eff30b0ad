"""The command ``scsystems scspecies``: align species with a labeled one."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ScsystemsError
from ..options import SCSPECIES
from .command import named_files, path, whole
from .options import CELLS, add_common, add_expression, add_option, add_training
from .outputs import Results, check_model
from .progress import training_progress

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# the embedding's name by the habits of each kind of object
EMBEDDING = {"AnnData": "X_scspecies", "Seurat": "scspecies", "SingleCellExperiment": "SCSPECIES"}

_EXAMPLE = """\
example:
  scsystems scspecies aligned --context mouse=mouse.h5ad --targets human=human.h5ad pig=pig.rds
    --labels cell_type --orthologs human=human_mouse.tsv pig=pig_mouse.tsv

The folder 'aligned' then holds mouse.h5ad, human.h5ad and pig.rds: the cells as they were, with the
embedding and, for the targets, the columns predicted.cell_type, predicted.cell_type.confidence,
predicted.cell_type.novelty (a score; large for cells of a type that the context does not have) and
predicted.cell_type.novel (whether the score is large enough to say so).
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "scspecies",
        help="align species, each with its own genes, with a labeled one",
        description="Train scSpecies on raw counts of a context species, whose cells have labels, and of target "
        "species; write every species' cells, with the aligned embedding, the labels carried over and how novel each "
        "cell looks, into files of the same kind.",
        epilog=_EXAMPLE,
        # the output folder; species come as NAME=FILE
        is_file=lambda value: "=" not in value,
    )
    command.add_argument(
        "output", type=path, help="folder to write into; files are named after the species"
    )
    command.add_argument(
        "--context", required=True, metavar="NAME=FILE", help=f"labeled species: {CELLS}"
    )
    command.add_argument(
        "--targets",
        required=True,
        nargs="+",
        action="extend",
        metavar="NAME=FILE",
        help="species to align",
    )
    command.add_argument(
        "--labels", required=True, metavar="COLUMN", help="the context's cell column with labels"
    )
    command.add_argument(
        "--orthologs",
        "--orthologues",
        required=True,
        nargs="+",
        action="extend",
        metavar="[NAME=]FILE",
        help="table of orthologs; with several targets one table for all, or one for each",
    )
    command.add_argument(
        "--genes",
        choices=("auto", "symbol", "id"),
        default="auto",
        help="which names of the table are those of the cells' genes: symbols, or identifiers of Ensembl or "
        "Entrez (default: auto, those that more of the genes have, for every species)",
    )
    command.add_argument(
        "--batch", metavar="COLUMN", help="cell column with the samples, in every file"
    )
    add_expression(
        command, "X; if it does not hold raw counts, .raw or the layer 'counts'", "the counts"
    )
    command.add_argument(
        "--n-top-genes",
        type=number_or_all,
        default=4000,
        metavar="N",
        help="most variable genes of each species to train on, or 'all'; orthologs are taken among them "
        "(default: 4000)",
    )
    training = add_training(
        command,
        "passes over each species' cells (default: 60, with more than 10,000 cells 30)",
    )
    add_option(training, SCSPECIES, "n_latent", "dimensions")
    near = "context neighbors of a cell that it may be aligned with"
    add_option(training, SCSPECIES, "n_neighbors", near)
    add_common(command)
    command.set_defaults(run=run)


def number_or_all(text: str) -> int | None:
    """A number of genes; None for all."""
    return None if text == "all" else whole(1)(text)


def run(options: argparse.Namespace) -> None:
    """Train, and write every species' cells."""
    from ..checks import column
    from ..data.containers import open_cells
    from ..models.scspecies.model import ScSpecies
    from ..train.device import choose_device

    context, targets = (
        named_files([options.context], "--context"),
        named_files(options.targets, "--targets"),
    )
    if repeated := sorted(set(context) & set(targets)):
        raise ScsystemsError(f"--targets names {repeated}, which is the context already.")
    paths = context | targets
    written = {name: options.output / f"{name}{f.suffix.lower()}" for name, f in paths.items()}
    _check_outputs(paths, written, options)
    tables = _tables(options.orthologs, targets)
    choose_device(options.device)
    cells = {
        name: open_cells(file, layer=options.layer, raw=options.raw, wanted="counts")
        for name, file in paths.items()
    }
    for name, part in cells.items():
        file = str(paths[name])
        if name in context:
            column(part.adata, options.labels, "context labels", owner=file)
        if options.batch is not None:
            column(part.adata, options.batch, "species batch", owner=file)
    model = ScSpecies(
        context={name: cells[name].adata for name in context},
        targets={name: cells[name].adata for name in targets},
        context_labels=options.labels,
        orthologs=_read_tables(tables, next(iter(context)), targets, options.genes),
        batch_key=options.batch,
        n_top_genes=options.n_top_genes,
        preset=options.preset,
        n_latent=options.dims,
        n_neighbors=options.neighbors,
        seed=options.seed,
    )
    model.train(
        options.epochs,
        accelerator=options.device,
        n_threads=options.threads,
        **training_progress(options.quiet),
    )
    if not model.is_trained:
        logger.warning("Nothing is written: not every species has been trained.")
        raise KeyboardInterrupt
    results = Results()
    for name, part in cells.items():
        table = _add_results(part, model, name, options.labels if name in targets else None)
        if results.keep(
            f"{name}: the cells",
            written[name],
            partial(_write, part),
            options.output.with_name(f"{options.output.name}-{name}.csv.gz"),
            table.to_csv,
        ):
            logger.info("%s: %d cells are in %s", name, len(table), written[name])
    if options.model and results.keep(
        "The model",
        options.model,
        lambda place: model.save(place, overwrite=options.overwrite),
        options.output.with_name(f"{options.output.name}-model"),
    ):
        logger.info("The model is in %s", options.model)
    results.report()
    if model.interrupted:
        raise KeyboardInterrupt


def _check_outputs(
    paths: dict[str, Path], written: dict[str, Path], options: argparse.Namespace
) -> None:
    from ..data.containers import check_source, check_target

    column = f"predicted.{options.labels}"
    if options.output.exists() and not options.output.is_dir():
        raise ScsystemsError(f"{options.output} is a file. Expected a folder to write into.")
    for name, file in paths.items():
        check_source(file)
        check_target(file, written[name], options.overwrite, [column], makes_folder=True)
    others = (options.output, *paths.values(), *written.values())
    check_model(options.model, options.overwrite, others)


def _add_results(part, model, name: str, labels: str | None) -> pd.DataFrame:
    """Add a species' embedding and, to a target, its labels; returns what was added."""
    import pandas as pd

    key = EMBEDDING[part.kind]
    embedding = model.get_latent_representation(name)
    part.add_embedding(key, embedding)
    table = pd.DataFrame(embedding, index=part.adata.obs_names).add_prefix(f"{key}_")
    if labels is None:
        return table
    found, novelty = model.transfer_labels(name), model.novelty(name)
    column = f"predicted.{labels}"
    columns = {
        column: found["label"].to_numpy(object),
        f"{column}.confidence": found["confidence"].to_numpy(float),
        f"{column}.novelty": novelty["score"].to_numpy(float),
        f"{column}.novel": novelty["novel"].to_numpy(bool),
    }
    for added, values in columns.items():
        part.add_column(added, values)
    return table.assign(**columns)


def _write(part, target: Path) -> None:
    """Write a species' cells; a folder made for them goes again if that fails."""
    from ..data.containers import write_cells

    made = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_cells(part, target)
    except BaseException:
        if made:
            target.parent.rmdir()
        raise


def _tables(given: list[str], targets: dict[str, Path]) -> Path | dict[str, Path]:
    """One ortholog table for all targets, or one by target."""
    if len(given) == 1 and "=" not in given[0]:
        tables = {"": path(given[0])}
    else:
        tables = named_files(given, "--orthologs")
        if set(tables) != set(targets):
            raise ScsystemsError(
                f"--orthologs names {sorted(tables)}, but the targets are {sorted(targets)}. Expected one table for "
                "all, or NAME=FILE for every target."
            )
    for file in tables.values():
        if not file.is_file():
            raise ScsystemsError(f"--orthologs: there is no file {file}.")
    return tables.get("", tables)


def _read_tables(tables: Path | dict[str, Path], context: str, targets: Iterable[str], gene: str):
    """The tables with one kind of gene names; of files the model takes the kind that fits."""
    from ..data.orthologs.tables import read

    if gene == "auto":
        return tables
    of = tables if isinstance(tables, dict) else dict.fromkeys(targets, tables)
    return {name: read(file, (context, name), gene=gene) for name, file in of.items()}
