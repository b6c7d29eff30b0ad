"""The command line: ``scsystems sysvi | scspecies | evaluate | info``."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from .._version import __version__
from ..errors import ScsystemsError
from ..words import spoken_by
from . import evaluate, info, scspecies, several, sysvi
from .command import Command
from .progress import Messages

OK, FAILED, USAGE, UNEXPECTED, INTERRUPTED = 0, 1, 2, 3, 130

COMMANDS = (sysvi, scspecies, evaluate, info)

_EXAMPLES = """\
examples:
  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor
  scsystems sysvi seurat.rds integrated.rds --system species --covariates donor
  scsystems scspecies aligned --context mouse=mouse.h5ad --targets human=human.h5ad \\
    --labels cell_type --orthologs human_mouse.tsv
  scsystems evaluate integrated.h5ad --embeddings X_pca X_sysvi --system species --labels cell_type
  scsystems info integrated.h5ad

exit codes: 0 done, 1 something is wrong with the input (the message says what), 2 the command
was not understood, 3 unexpected error, 130 interrupted.
"""


def build_parser() -> Command:
    """All commands and their options."""
    parser = Command(
        prog="scsystems",
        description="Integrate single-cell RNA-seq data whose batch effects are substantial: species, organoids "
        "and tissue, cells and nuclei.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"scsystems {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or OK)
    ours = logging.getLogger("scsystems")
    handler = Messages(sys.stderr)
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.WARNING if options.quiet else logging.INFO)
    try:
        # R, if it is needed, must not lend torch its slow matrix products
        from ..r.boot import load_torch

        load_torch()
        with warnings.catch_warnings(), spoken_by("cli"):
            # users cannot change the code it is for
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.showwarning = lambda message, *_: ours.warning("Warning: %s", message)
            with several.together(options):
                options.run(options)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ScsystemsError, OSError) as error:
        if options.debug:
            traceback.print_exc()
        print(f"{several.prefix()}Error: {error}\n", end="", file=sys.stderr)
        return FAILED
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        print(
            f"{several.prefix()}Unexpected error: {type(error).__name__}: {error}\n"
            "Run again with --debug to see where it came from.",
            file=sys.stderr,
        )
        return UNEXPECTED
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
    return OK
