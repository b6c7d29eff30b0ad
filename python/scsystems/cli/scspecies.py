"""The command ``scsystems scspecies``: align species with a labeled one."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import ScsystemsError
from .options import add_common, add_training

logger = logging.getLogger(__name__)

# the embedding's name by the habits of each kind of object
EMBEDDING = {"AnnData": "X_scspecies", "Seurat": "scspecies", "SingleCellExperiment": "SCSPECIES"}

_EXAMPLE = """\
example:
  scsystems scspecies aligned --context mouse=mouse.h5ad --targets human=human.h5ad pig=pig.rds
    --labels cell_type --orthologues human=human_mouse.tsv pig=pig_mouse.tsv

The folder 'aligned' then holds mouse.h5ad, human.h5ad and pig.rds: the cells as they were, with the
embedding and, for the targets, the columns predicted.cell_type, predicted.cell_type.confidence,
predicted.cell_type.novelty (a score; large for cells of a type that the context does not have) and
predicted.cell_type.novel (whether the score is large enough to say so).
"""


def add_scspecies(commands) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "scspecies",
        help="align species, each with its own genes, with a labeled one",
        description="Train scSpecies on raw counts of a context species, whose cells have labels, and of target "
        "species; write every species' cells, with the aligned embedding, the labels handed over and how novel each "
        "cell looks, into files of the same kind.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("output", help="folder to write into; files are named after the species")
    command.add_argument(
        "--context",
        required=True,
        metavar="NAME=FILE",
        help="labeled species: .h5ad, .zarr, or an .rds with a Seurat or SingleCellExperiment",
    )
    command.add_argument(
        "--targets", required=True, nargs="+", metavar="NAME=FILE", help="species to align"
    )
    command.add_argument(
        "--labels", required=True, metavar="COLUMN", help="the context's cell column with labels"
    )
    command.add_argument(
        "--orthologues",
        required=True,
        nargs="+",
        metavar="[NAME=]FILE",
        help="table of orthologues; with several targets one table for all, or one for each",
    )
    command.add_argument(
        "--batch", metavar="COLUMN", help="cell column with the samples, in every file"
    )
    command.add_argument("--layer", help="layer with the raw counts (default: X; in .rds counts)")
    add_training(command, "passes over each species' cells")
    add_common(command)
    command.set_defaults(run=run_scspecies)


def run_scspecies(options: argparse.Namespace) -> None:
    """``scsystems scspecies``."""
    from ..data.containers import check_target, open_cells, write_cells
    from ..models.scspecies.model import ScSpecies

    context, targets = _named([options.context], "--context"), _named(options.targets, "--targets")
    if repeated := set(context) & set(targets):
        raise ScsystemsError(f"--targets names {sorted(repeated)}, which is the context already.")
    folder = Path(options.output)
    paths = context | targets
    written = {name: folder / f"{name}{Path(path).suffix}" for name, path in paths.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        check_target(path, written[name], options.overwrite)
    if options.model and Path(options.model).exists() and not options.overwrite:
        raise ScsystemsError(
            f"{options.model} exists already. Give another folder, or --overwrite to replace it."
        )
    cells = {name: open_cells(path, layer=options.layer) for name, path in paths.items()}
    model = ScSpecies(
        context={name: cells[name].adata for name in context},
        targets={name: cells[name].adata for name in targets},
        context_labels=options.labels,
        orthologues=_tables(options.orthologues, targets),
        batch_key=options.batch,
        preset=options.preset,
        seed=options.seed,
    )
    model.train(
        options.epochs,
        accelerator=options.device,
        n_threads=options.threads,
        verbose=not options.quiet,
    )
    if model.interrupted:
        raise KeyboardInterrupt
    for name, part in cells.items():
        part.add_embedding(EMBEDDING[part.kind], model.get_latent_representation(name))
        if name in targets:
            found = model.transfer_labels(name)
            column = f"predicted.{options.labels}"
            part.add_column(column, found["label"].astype(str).to_numpy(object))
            part.add_column(f"{column}.confidence", found["confidence"].to_numpy(float))
            novelty = model.novelty(name)
            part.add_column(f"{column}.novelty", novelty["score"].to_numpy(float))
            part.add_column(f"{column}.novel", novelty["novel"].to_numpy(bool))
        write_cells(part, written[name])
        logger.info("%s: %d cells are in %s", name, part.adata.n_obs, written[name])
    if options.model:
        model.save(options.model, overwrite=options.overwrite)
        logger.info("The model is in %s", options.model)


def _named(given: list[str], argument: str) -> dict[str, str]:
    """``NAME=FILE`` entries as a dictionary."""
    found: dict[str, str] = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not (name and equals and path) or "/" in name:
            raise ScsystemsError(
                f"{argument} has {entry!r}. Expected NAME=FILE, such as mouse=mouse.h5ad."
            )
        if name in found:
            raise ScsystemsError(f"{argument} names {name!r} twice. Expected every species once.")
        found[name] = path
    return found


def _tables(given: list[str], targets: dict[str, str]) -> str | dict[str, str]:
    """One orthologue table for all targets, or one by target."""
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    tables = _named(given, "--orthologues")
    if set(tables) != set(targets):
        raise ScsystemsError(
            f"--orthologues names {sorted(tables)}, but the targets are {sorted(targets)}. Expected one table for "
            "all, or NAME=FILE for every target."
        )
    return tables
