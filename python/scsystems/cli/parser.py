"""The command line: ``scsystems sysvi | scspecies | evaluate | info``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..errors import ScsystemsError
from ..words import spoken_by
from .options import add_common, add_expression, add_training
from .scspecies import add_scspecies

logger = logging.getLogger(__name__)

OK, FAILED, USAGE, UNEXPECTED, INTERRUPTED = 0, 1, 2, 3, 130

_EXAMPLES = """\
examples:
  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor
  scsystems sysvi seurat.rds integrated.rds --system species --covariates donor
  scsystems scspecies aligned --context mouse=mouse.h5ad --targets human=human.h5ad \\
    --labels cell_type --orthologues human_mouse.tsv
  scsystems evaluate integrated.h5ad --embeddings X_pca X_sysvi --system species --labels cell_type
  scsystems info integrated.h5ad

exit codes: 0 done, 1 something is wrong with the input (the message says what), 2 the command
was not understood, 3 unexpected error, 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="scsystems",
        description="Integrate single-cell RNA-seq data whose batch effects are substantial: species, organoids "
        "and tissue, cells and nuclei.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scsystems {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    _add_sysvi(commands)
    add_scspecies(commands)
    _add_evaluate(commands)
    _add_info(commands)
    return parser


def _add_sysvi(commands) -> None:
    command = commands.add_parser(
        "sysvi",
        help="integrate systems into one embedding",
        description="Train sysVI on the cells of a file and write them, with the embedding added, into a file of "
        "the same kind. Raw counts are normalized and log-transformed first; genes that vary in every "
        "system are chosen.",
        epilog="example:\n  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "input", help=".h5ad, .zarr, or an .rds with a Seurat or SingleCellExperiment"
    )
    command.add_argument("output", help="file of the same kind to write")
    command.add_argument(
        "--system",
        required=True,
        metavar="COLUMN",
        help="cell column with the systems to integrate",
    )
    command.add_argument(
        "--covariates",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="cell columns with weaker batch effects, such as the sample or donor",
    )
    command.add_argument(
        "--continuous",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="numeric cell columns to correct for",
    )
    add_expression(command, "the counts, else log-normalized values")
    command.add_argument(
        "--genes",
        type=int,
        metavar="N",
        help="most variable genes per system; those that all systems share are used (default: 2000, "
        "with --preset paper 3000)",
    )
    command.add_argument("--all-genes", action="store_true", help="use every gene of the file")
    command.add_argument(
        "--name", help="name of the embedding (default: X_sysvi, sysvi in Seurat, SYSVI in SCE)"
    )
    training = add_training(command, "passes over the cells")
    training.add_argument("--prior", choices=("vamp", "standard_normal", "gmm"), default="vamp")
    training.add_argument(
        "--dims", type=int, default=15, metavar="N", help="dimensions (default: 15)"
    )
    training.add_argument(
        "--cycle-weight",
        type=float,
        metavar="W",
        help="strength of integration: 1 to 50 are sensible (default: the model's own)",
    )
    training.add_argument(
        "--kl-weight", type=float, metavar="W", help="weight of the KL divergence"
    )
    training.add_argument("--batch-size", type=int, metavar="N", help="cells per step")
    add_common(command)
    command.set_defaults(run=run_sysvi)


def _add_evaluate(commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="measure how well embeddings mix systems and keep cell types apart",
        description="Compute the metrics of the sysVI paper for the embeddings in a file and print them as a table.",
        epilog="example:\n  scsystems evaluate integrated.h5ad --embeddings X_pca X_sysvi --system species "
        "--labels cell_type --output metrics.csv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("input", help=".h5ad, .zarr, or .rds")
    command.add_argument(
        "--embeddings", nargs="+", metavar="NAME", help="embeddings to compare (default: all)"
    )
    command.add_argument(
        "--system", required=True, metavar="COLUMN", help="column with the systems"
    )
    command.add_argument("--labels", metavar="COLUMN", help="column with the cell types")
    command.add_argument("--batch", metavar="COLUMN", help="column with the samples")
    command.add_argument("--metrics", nargs="+", metavar="NAME", help="metrics (default: all)")
    add_expression(command, "log-normalized values, else counts")
    command.add_argument("--output", metavar="FILE", help="write every value into this .csv file")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    command.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_common(command)
    command.set_defaults(run=run_evaluate)


def _add_info(commands) -> None:
    command = commands.add_parser(
        "info",
        help="what a file or a saved model holds, or what this installation has",
        description="Describe a file of cells or the folder of a saved model. Without either: versions, devices "
        "and optional packages.",
    )
    command.add_argument("path", nargs="?", help=".h5ad, .zarr, .rds, or the folder of a model")
    add_common(command)
    command.set_defaults(run=run_info)


def run_sysvi(options: argparse.Namespace) -> None:
    """``scsystems sysvi``."""
    from ..data.containers import check_target, open_cells, write_cells
    from ..models.sysvi.model import SysVI

    check_target(options.input, options.output, options.overwrite)
    if options.model and Path(options.model).exists() and not options.overwrite:
        raise ScsystemsError(
            f"{options.model} exists already. Give another folder, or --overwrite to replace it."
        )
    cells = open_cells(options.input, options.assay, options.layer)
    name = options.name or cells.default_name
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
        verbose=not options.quiet,
        **{k: v for k, v in chosen.items() if v is not None},
    )
    at = prepared.obs_names.get_indexer(cells.adata.obs_names)
    cells.add_embedding(name, model.get_latent_representation()[at])
    if options.model:
        model.save(options.model, overwrite=options.overwrite)
        logger.info("The model is in %s", options.model)
    write_cells(cells, options.output)
    logger.info("The embedding %r of %d cells is in %s", name, prepared.n_obs, options.output)
    if model.interrupted:
        raise KeyboardInterrupt


def _prepared(adata, options: argparse.Namespace):
    """Log-normalized expression of the genes to train on."""
    from ..data.checks import looks_like_counts
    from ..data.features import select_features
    from ..data.preprocess import prepare
    from ..models.sysvi import presets

    sample = options.covariates[0] if options.covariates else None
    n_top_genes = presets.n_top_genes(options.preset) if options.genes is None else options.genes
    if looks_like_counts(adata.X):
        logger.info("The expression is raw counts: normalizing and log-transforming")
        features = list(adata.var_names) if options.all_genes else None
        return prepare(
            adata,
            options.system,
            sample,
            features=features,
            n_top_genes=n_top_genes,
            **({"min_cells": 0} if options.all_genes else {}),
        )
    logger.info("The expression is log-normalized already")
    if options.all_genes:
        return adata.copy()
    genes = select_features(adata, options.system, sample, n_top_genes=n_top_genes)
    logger.info("%d genes vary in every system", len(genes))
    return adata[:, genes].copy()


def run_evaluate(options: argparse.Namespace) -> None:
    """``scsystems evaluate``."""
    from .. import metrics
    from ..data.containers import open_cells

    if options.output and Path(options.output).exists() and not options.overwrite:
        raise ScsystemsError(
            f"{options.output} exists already. Give another name, or --overwrite to replace it."
        )
    adata = open_cells(options.input, options.assay, options.layer, counts_first=False).adata
    embeddings = options.embeddings or list(adata.obsm)
    if not embeddings:
        raise ScsystemsError(
            f"{options.input} has no embeddings. Make one first, for example with: scsystems sysvi"
        )
    table = metrics.evaluate(
        adata,
        embeddings,
        options.system,
        options.labels,
        options.batch,
        options.metrics,
        seed=options.seed,
        verbose=not options.quiet,
    )
    if options.output:
        table.to_csv(options.output, index=False)
        logger.info("All values are in %s", options.output)
    overall = table[table["level"] == "overall"]
    wide = overall.pivot_table(index=["category", "metric"], columns="embedding", values="value")
    print(wide.to_string(float_format=lambda v: f"{v:.3f}"))


def run_info(options: argparse.Namespace) -> None:
    """``scsystems info``."""
    from ..models.sysvi.scvi_import import holds_scvi_model

    if options.path is None:
        _print_installation()
        return
    path = Path(options.path)
    if (path / "model.json").exists() or holds_scvi_model(path):
        _print_model(path)
        return
    from ..data.containers import open_cells

    cells = open_cells(path)
    adata = cells.adata
    print(f"{cells.kind}: {adata.n_obs} cells, {adata.n_vars} genes")
    print("cell columns:")
    for name in adata.obs:
        values = adata.obs[name]
        levels = values.astype(str).unique()
        few = ", ".join(map(str, levels[:6])) + (", ..." if len(levels) > 6 else "")
        print(f"  {name}: {values.dtype}, {len(levels)} values ({few})")
    print("layers: " + (", ".join(adata.layers) or "none besides X"))
    print(
        "embeddings: " + (", ".join(f"{k} ({v.shape[1]})" for k, v in adata.obsm.items()) or "none")
    )


def _print_model(path: Path) -> None:
    from ..models.base import load
    from ..models.sysvi.model import SysVI
    from ..models.sysvi.scvi_import import holds_scvi_model

    foreign = holds_scvi_model(path)
    model = SysVI.load(path) if foreign else load(path)
    print(model)
    if foreign:
        print("saved by scvi-tools")


def _print_installation() -> None:
    import platform
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    import torch

    print(f"scsystems {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("Apple GPU (mps)")
    print(f"GPUs: {', '.join(devices) or 'none'}; CPU threads: {torch.get_num_threads()}")
    print("packages:")
    for package in ("anndata", "scanpy", "numpy", "scipy", "pandas", "scikit-learn"):
        print(f"  {package} {version(package)}")
    print("extras:")
    modules = {"metrics": "scib_metrics", "plots": "matplotlib", "relevance": "captum"}
    modules |= {"faiss": "faiss", "atlas": "zarr", "r": "rpy2"}
    for extra, module in modules.items():
        found = find_spec(module) is not None
        try:
            note = version(module.replace("_", "-")) if found else ""
        except PackageNotFoundError:
            note = ""
        there = (
            f"{module} {note}".strip() if found else f"missing: pip install 'scsystems[{extra}]'"
        )
        print(f"  {extra}: {there}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or OK)
    ours = logging.getLogger("scsystems")
    handler = logging.StreamHandler(sys.stderr)
    ours.addHandler(handler)
    ours.setLevel(logging.WARNING if options.quiet else logging.INFO)
    try:
        # R, if it is needed, must not lend torch its slow matrix products
        from ..r.boot import load_torch

        load_torch()
        with warnings.catch_warnings(), spoken_by("cli"):
            warnings.showwarning = lambda message, *_: logger.warning("Warning: %s", message)
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
        print(f"Error: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        print(
            f"Unexpected error: {type(error).__name__}: {error}\nRun again with --debug to see where it came from.",
            file=sys.stderr,
        )
        return UNEXPECTED
    finally:
        ours.removeHandler(handler)
    return OK
