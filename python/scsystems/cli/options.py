"""Options that several commands of the command line share."""

from __future__ import annotations

import argparse


def add_common(command: argparse.ArgumentParser) -> None:
    """What every command has."""
    command.add_argument("--quiet", action="store_true", help="no progress bars and no messages")
    command.add_argument("--debug", action="store_true", help="show where an error came from")


def add_expression(command: argparse.ArgumentParser, default: str) -> None:
    """Where the expression is; ``default`` says what is taken from .rds files."""
    command.add_argument(
        "--layer", help=f"layer with the expression (default: X; in .rds files {default})"
    )
    command.add_argument(
        "--assay", help="assay of a Seurat object, alternative experiment of a SingleCellExperiment"
    )


def add_training(command: argparse.ArgumentParser, epochs: str) -> argparse._ArgumentGroup:
    """What every training command has; returns the group, for options of a method's own."""
    command.add_argument("--model", metavar="FOLDER", help="save the trained model there")
    command.add_argument("--overwrite", action="store_true", help="replace existing files")
    training = command.add_argument_group("training")
    training.add_argument(
        "--preset", choices=("default", "paper"), default="default", help="set of defaults"
    )
    training.add_argument("--epochs", type=int, metavar="N", help=epochs)
    training.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    training.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="cores of the CPU to train on (default: one for small steps)",
    )
    training.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    return training
