"""Options that several commands of the command line share."""

from __future__ import annotations

import argparse
from typing import Any

from ..options import Option
from .command import LARGEST_SEED, Command, path, weight, whole

# as in scsystems.data.containers, which takes long to import
SUFFIXES = (".h5ad", ".zarr", ".rds")

CELLS = ".h5ad, .zarr, or an .rds with a Seurat or SingleCellExperiment"


def add_common(command: Command) -> None:
    """What every command has."""
    command.add_argument("--quiet", action="store_true", help="no progress and no messages")
    command.add_argument("--debug", action="store_true", help="show where an error came from")


def add_expression(command: Command, taken: str, in_rds: str) -> None:
    """Where the expression is; ``taken`` and ``in_rds`` say what is used if nothing is given."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--layer",
        metavar="NAME",
        help=f"layer with the expression (default: {taken}; in .rds files {in_rds})",
    )
    where.add_argument(
        "--raw", action="store_true", help="use the expression in .raw of an .h5ad or .zarr"
    )


def add_assay(command: Command) -> None:
    """Which part of an object of R."""
    command.add_argument(
        "--assay",
        metavar="NAME",
        help="assay of a Seurat object, alternative experiment of a SingleCellExperiment",
    )


def add_overwrite(command: Command) -> None:
    """Whether existing files may go."""
    command.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_seed(command: argparse._ActionsContainer) -> None:
    """The seed of everything that is drawn."""
    command.add_argument(
        "--seed",
        type=whole(0, LARGEST_SEED),
        default=0,
        metavar="N",
        help="seed of everything that is drawn at random (default: 0)",
    )


def add_option(group: Any, table: tuple[Option, ...], name: str, help: str) -> None:
    """An option of a method: its name here, its values and its default are those of the table."""
    option = next(o for o in table if o.name == name)
    kind: dict[str, Any] = {"type": weight, "metavar": "W"}
    if option.choices:
        kind = {"choices": option.choices}
    elif option.whole:
        kind = {"type": whole(int(option.at_least or 0)), "metavar": "N"}
    stated = f"default: {_shown(option.default)}"
    if option.by_preset:
        stated += f", with --preset paper {_shown(option.paper)}"
    # what presets or the labels decide is left to the model
    left = option.by_preset or option.where == "plan"
    kind["default"] = None if left else option.default
    group.add_argument(str(option.cli), help=f"{help} ({stated})", **kind)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def add_training(command: Command, epochs: str) -> argparse._ArgumentGroup:
    """What every training command has; returns the group, for options of a method's own."""
    command.add_argument(
        "--model", type=path, metavar="FOLDER", help="save the trained model there"
    )
    add_overwrite(command)
    training = command.add_argument_group("training")
    training.add_argument(
        "--preset",
        choices=("default", "paper"),
        default="default",
        help="set of defaults (default: default)",
    )
    training.add_argument("--epochs", type=whole(1), metavar="N", help=epochs)
    training.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)"
    )
    training.add_argument(
        "--threads",
        type=whole(1),
        metavar="N",
        help="cores of the CPU to train on (default: one for small steps)",
    )
    add_seed(training)
    return training


def is_cells(value: str) -> bool:
    """Whether a value looks like a file of cells."""
    return value.rstrip("/").lower().endswith(SUFFIXES)
