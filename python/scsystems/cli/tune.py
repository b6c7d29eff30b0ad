"""The command ``scsystems tune``: compare settings of SysVI."""

from __future__ import annotations

import argparse
import json
import logging
import math
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ScsystemsError, WriteError
from .command import LARGEST_SEED, path, whole
from .evaluate import check_metrics
from .on_disk import add_memory, stays_on_disk
from .options import CELLS, add_common, add_machine, add_preset
from .progress import is_watched
from .settings import combined, names, varied, written_here
from .sysvi_cells import add_columns, add_genes, check_genes, prepared_cells

logger = logging.getLogger(__name__)

# as in scsystems.tune.grid
SEEDS = [0, 1, 2]

_EXAMPLES = """\
examples:
  scsystems tune cells.h5ad search --system species --covariates donor --labels cell_type
  scsystems tune cells.h5ad search --system species --grid cycle-weight=1,3,10 prior=vamp,gmm --seeds 0 1
  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor --settings search/best.json

The folder 'search' then holds every run (in runs/), ranking.csv with a row per setting, the best first, runs.csv
with a row per run, metrics.csv with all metrics, and best.json. The same command goes on where it was cut off, and
trains only what is new. On a cluster --part 1/8 to --part 8/8 train an eighth of the runs each, into one folder; the
command without --part then compares them.
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "tune",
        help="compare settings of sysVI, and find the best",
        description="Train sysVI with every setting and seed, measure every run, and rank the settings as the sysVI "
        "paper does.",
        epilog=_EXAMPLES,
        # the folder may have any name
        is_file=lambda value: "=" not in value and not value.isdigit(),
    )
    command.add_argument("input", type=path, help=CELLS)
    command.add_argument(
        "output", type=path, help="folder for the results; that of an earlier search goes on"
    )
    add_columns(command, "cell column with the systems to integrate")
    add_genes(command)
    add_memory(command)
    search = command.add_argument_group("search")
    search.add_argument(
        "--grid",
        nargs="+",
        action="extend",
        type=varied,
        metavar="NAME=VALUE,VALUE",
        help="settings to compare, of which all combinations are taken (default: cycle-weight=1,3,5,10); names are "
        + ", ".join(names()),
    )
    search.add_argument(
        "--seeds",
        nargs="+",
        action="extend",
        type=whole(0, LARGEST_SEED),
        metavar="N",
        help="seeds, with each of which every setting is trained (default: 0 1 2)",
    )
    search.add_argument(
        "--part",
        type=_part,
        metavar="I/N",
        help="train only the I-th of N parts of the runs, for several machines that share the folder",
    )
    search.add_argument(
        "--jobs",
        type=whole(1),
        metavar="N",
        help="runs at a time (default: as many as there are cores, on a GPU 1)",
    )
    _add_scores(command.add_argument_group("scores"))
    training = command.add_argument_group("training")
    add_preset(training)
    training.add_argument(
        "--epochs",
        type=whole(1),
        metavar="N",
        help="passes over the cells (default: as scsystems sysvi)",
    )
    add_machine(training)
    add_common(command)
    command.set_defaults(run=run, species=[], orthologs=[], orthology="one2one", overwrite=True)


def _add_scores(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--labels",
        metavar="COLUMN",
        help="cell column with the cell types, which the scores are about; training is not told",
    )
    group.add_argument(
        "--batch",
        metavar="COLUMN",
        help="cell column with the samples (default: the first of --covariates, or else the systems)",
    )
    for option, default, what in (
        (
            "--biology",
            "nmi_fixed moran, without --labels cluster_preservation matched_profiles moran",
            "score biology",
        ),
        ("--mixing", "ilisi", "score mixing of systems"),
        ("--metrics", "jaccard label_transfer with --labels", "compute besides"),
    ):
        group.add_argument(
            option,
            nargs="+",
            action="extend",
            metavar="NAME",
            help=f"metrics that {what} (default: {default})"
            if option != "--metrics"
            else f"metrics to {what} (default: {default})",
        )
    group.add_argument(
        "--weights",
        nargs=2,
        type=_weight,
        metavar=("BIOLOGY", "MIXING"),
        help="weights of the two in the score (default: 0.6 0.4)",
    )
    group.add_argument(
        "--max-cells",
        type=_number_or_all,
        default=100_000,
        metavar="N",
        help="cells to measure on, drawn at random, or 'all' (default: 100000)",
    )
    group.add_argument(
        "--report", type=path, metavar="FILE", help="write a report with figures (.html or .md)"
    )


def _part(text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    if not (slash and first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second)):
        raise argparse.ArgumentTypeError(
            f"{text!r}. Expected I/N, such as 2/8 for the second of eight."
        )
    return int(first), int(second)


def _weight(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a number above 0.")
    return value


def _number_or_all(text: str) -> int | None:
    return None if text == "all" else whole(1)(text)


def run(options: argparse.Namespace) -> None:
    """Train, and write the comparison."""
    from ..data.containers import check_source
    from ..metrics import METRICS
    from ..train.device import choose_device

    check_source(options.input)
    _check_folder(options.output, options.input)
    _check_report(options)
    check_genes(options)
    for name in ("biology", "mixing", "metrics"):
        check_metrics(getattr(options, name), options.labels, f"--{name}")
    if wrong := [n for n in options.mixing or [] if METRICS[n].category != "batch"]:
        logger.warning("--mixing %s: measures no mixing of systems", " ".join(wrong))
    settings = _settings(options)
    options.seeds = SEEDS if options.seeds is None else options.seeds
    if len(set(options.seeds)) < len(options.seeds):
        raise ScsystemsError("--seeds names one twice. Expected every seed once.")
    choose_device(options.device)
    with prepared_cells(options, stays_on_disk(options)) as (cells, prepared):
        _check_scored(cells.adata, options)
        result = _searched(
            prepared, settings, options, options.layer if prepared is cells.adata else None
        )
        if options.part is not None:
            logger.info(
                "Part %d of %d: its %d runs are in %s. The same command without --part compares all.",
                *(*options.part, len(result.records), options.output),
            )
            return
        _write(result, options)
        if options.report is not None:
            _report(result, prepared, options)
    if len(result.records) + len(result.failed) < len(settings) * len(options.seeds):
        raise KeyboardInterrupt


def _check_folder(folder: Path, source: Path) -> None:
    """Refuse a folder that holds other things than a search, or that cannot be written."""
    from ..durable.steps import check_writable

    if folder.absolute() == source.absolute():
        raise ScsystemsError(f"{folder} holds the cells. Expected a folder for the results.")
    if folder.exists():
        if not folder.is_dir():
            raise ScsystemsError(f"{folder} is a file. Expected a folder for the results.")
        if any(folder.iterdir()) and not (folder / "runs").is_dir():
            raise ScsystemsError(
                f"{folder} holds other things than a search. Give a new folder, or that of an earlier search."
            )
    elif not folder.absolute().parent.is_dir():
        raise ScsystemsError(
            f"The folder {folder.absolute().parent} does not exist. Make it first."
        )
    check_writable(folder if folder.exists() else folder.absolute().parent)


def _check_report(options: argparse.Namespace) -> None:
    """Hours before the report is written."""
    from ..durable.steps import check_writable
    from ..errors import require_extra

    if (file := options.report) is None:
        return
    if options.part is not None:
        raise ScsystemsError(
            "--report: there is nothing to report of one part. Leave it out with --part."
        )
    if file.suffix not in (".html", ".md"):
        raise ScsystemsError(f"--report {file}. Expected a name that ends in .html or .md.")
    if not file.absolute().parent.is_dir():
        raise ScsystemsError(f"--report {file}: there is no such folder. Make it first.")
    try:
        check_writable(file.absolute().parent)
    except WriteError as error:
        raise ScsystemsError(f"--report: {error}") from error
    require_extra("matplotlib", "plots")


def _settings(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The settings to compare, named as they are written here."""
    from ..tune import DEFAULT_GRID

    grid: dict[str, list[Any]] = {}
    for name, values in options.grid or []:
        if name in grid:
            raise ScsystemsError(
                f"--grid names {written_here(name)} twice. Expected every setting once."
            )
        grid[name] = values
    if options.epochs is not None and "max_epochs" in grid:
        raise ScsystemsError("--epochs is in --grid, too. Leave one out.")
    return combined(grid or DEFAULT_GRID)


def _check_scored(adata, options: argparse.Namespace) -> None:
    from ..checks import column

    if options.labels is not None:
        column(adata, options.labels, "evaluated labels", complete=False)
    if options.batch is not None:
        column(adata, options.batch, "evaluated sample")


def _searched(prepared, settings, options: argparse.Namespace, layer: str | None):
    """The comparison, whose runs are kept in the folder."""
    from .. import tune
    from ..models.sysvi.model import SysVI

    SysVI.setup_anndata(
        prepared,
        batch_key=options.system,
        layer=layer,
        categorical_covariate_keys=options.covariates,
        continuous_covariate_keys=options.continuous,
    )
    given = {
        "seeds": options.seeds,
        "biology": options.biology,
        "batch": options.mixing,
        "metrics": options.metrics,
        "weights": options.weights,
        "n_jobs": options.jobs,
        "max_epochs": options.epochs,
        "n_threads": options.threads,
        "accelerator": None if options.device == "auto" else options.device,
        "preset": None if options.preset == "default" else options.preset,
    }
    watched = is_watched()
    return tune.grid(
        prepared,
        settings,
        label_key=options.labels,
        batch_key=options.batch,
        folder=options.output / "runs",
        max_cells=options.max_cells,
        part=options.part,
        callback=None if watched or options.quiet else _say,
        verbose=watched and not options.quiet,
        **{k: v for k, v in given.items() if v is not None},
    )


def _say(n_done: int, n_runs: int, record: dict[str, Any]) -> None:
    logger.info("run %d of %d: %s, seed %d", n_done, n_runs, record["setting"], record["seed"])


# where a run was trained is no part of its setting
_PLACES = ("accelerator", "n_threads")


def _write(result, options: argparse.Namespace) -> None:
    """Tables and the best setting."""
    from .._version import __version__
    from ..durable.replace import replace_file
    from .outputs import Results

    best = result.best
    ranking = result.ranking.rename_axis(index="setting")
    facts = {
        "setting": best.name,
        "parameters": {k: v for k, v in best.parameters.items() if k not in _PLACES},
        "score": float(ranking["overall"].iloc[0]),
        "scored": {"biology": result.biology, "mixing": result.batch},
        "failed": result.failed,
        "version": __version__,
    }
    writers: dict[str, Any] = {
        "ranking.csv": ranking.to_csv,
        "runs.csv": result.runs.to_csv,
        "metrics.csv": partial(result.table.to_csv, index=False),
        "best.json": partial(_write_json, facts),
    }
    results = Results()
    for name, write in writers.items():
        results.keep(
            f"The table {name}",
            options.output / name,
            partial(replace_file, write=write),
            options.output.with_name(f"{options.output.name}-{name}"),
        )
    print(
        ranking[["overall", "biology", "batch", "n_runs"]].to_string(float_format="{:.3f}".format)
    )
    for name, why in result.failed.items():
        logger.warning("Warning: %s failed: %s", name, why)
    logger.info(
        "The best of %d settings is %s: %s", len(ranking), best.name, options.output / "best.json"
    )
    results.report()


def _write_json(facts: dict[str, Any], place: Path) -> None:
    place.write_text(json.dumps(facts, indent=1), encoding="utf8")


def _report(result, prepared, options: argparse.Namespace) -> None:
    result.report(options.report, prepared, options.labels)
    logger.info("The report is in %s", options.report)
