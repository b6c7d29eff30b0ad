"""The command ``scsystems sysvi``: integrate systems into one embedding."""

from __future__ import annotations

import argparse
import logging

from ..options import SYSVI
from .command import path
from .on_disk import add_memory, check_copy, stays_on_disk
from .options import (
    CELLS,
    add_common,
    add_embedding,
    add_option,
    add_training,
    is_result,
)
from .progress import training_progress
from .report_file import add_report, check_report, write_report
from .settings import read_settings
from .sysvi_cells import add_columns, add_genes, check_genes, prepared_cells
from .sysvi_files import check_files, names_of_cells, write_results

logger = logging.getLogger(__name__)

# column that is made of species with a file each, unless another is named
SYSTEM = "system"
# as in scsystems.data.orthologs.links, which takes long to import
ORTHOLOGY = ("one2one", "groups")

_EXAMPLES = """\
examples:
  scsystems sysvi cells.h5ad integrated.h5ad --system species --covariates donor
  scsystems sysvi --input human=h.h5ad mouse=m.h5ad integrated.h5ad --covariates donor
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "sysvi",
        help="integrate systems into one embedding",
        description="Train sysVI on the cells of a file and write them, with the embedding added, into a file of "
        "the same kind. Raw counts are normalized and log-transformed first; genes that vary in every "
        "system are chosen.",
        epilog=_EXAMPLES,
        # species come as NAME=FILE
        is_file=_is_file,
        instead={"--input": ("input", "--system")},
    )
    command.add_argument("input", type=path, help=f"{CELLS}; left out with --input")
    command.add_argument(
        "output", type=path, help="file of the same kind to write; with --input .h5ad or .zarr"
    )
    command.add_argument(
        "--input",
        dest="species",
        nargs="+",
        action="extend",
        default=[],
        metavar="SPECIES=FILE",
        help="species, each with its own genes, to put together into one file",
    )
    command.add_argument(
        "--orthologs",
        "--orthologues",
        nargs="+",
        action="extend",
        default=[],
        metavar="[SPECIES=]FILE",
        help="table that pairs the genes of the species, or one for each species with the first (default: that of "
        "human and mouse comes with scsystems; others must have the same gene names)",
    )
    command.add_argument(
        "--orthology",
        choices=ORTHOLOGY,
        default="one2one",
        help="genes of one pair only, or groups of orthologs, whose counts are summed (default: one2one)",
    )
    add_columns(
        command,
        "cell column with the systems to integrate; with --input the one that is made (default then: system)",
    )
    command.add_argument(
        "--labels",
        metavar="COLUMN",
        help="cell column with labels, such as cell types, that the model is told and names the other cells by; "
        "cells without one are missing there",
    )
    command.add_argument(
        "--unlabeled",
        metavar="NAME",
        help="what that column holds for cells without a label, such as Unknown",
    )
    add_genes(command)
    add_embedding(command, "X_sysvi, sysvi in Seurat, SYSVI in SCE")
    add_report(command)
    add_memory(command)
    training = add_training(
        command,
        "passes over the cells (default: 8,000,000 divided by the number of cells, but at most 250, with "
        "--preset paper at most 400)",
    )
    training.add_argument(
        "--settings",
        type=path,
        metavar="FILE",
        help="best.json of scsystems tune, whose settings hold where no other is given",
    )
    add_option(training, SYSVI, "prior", "prior of the latent space")
    add_option(training, SYSVI, "n_latent", "dimensions")
    cycle = "strength of integration: 1 to 50 are sensible"
    add_option(training, SYSVI, "z_distance_cycle_weight", cycle)
    add_option(training, SYSVI, "kl_weight", "weight of the KL divergence")
    add_option(training, SYSVI, "label_weight", "weight of the labels")
    add_option(training, SYSVI, "batch_size", "cells per step and process")
    training.add_argument(
        "--checkpoint",
        type=path,
        metavar="FOLDER",
        help="keep a checkpoint of every epoch there, and go on from the one that is there",
    )
    add_common(command)
    command.set_defaults(run=run, several=True)


def _is_file(value: str) -> bool:
    """Whether a value looks like a file of cells, or like one with their embedding alone."""
    return "=" not in value and is_result(value)


def run(options: argparse.Namespace) -> None:
    """Train, and write the cells with their embedding."""
    from ..train.device import choose_device
    from ..train.parallel.distributed import process_group

    group = process_group()
    options.system = options.system or SYSTEM
    check_genes(options)
    check_files(options)
    settings = read_settings(options.settings)
    # that of a search counts unless another one is given
    if options.preset == "default":
        options.preset = settings["model"].get("preset", options.preset)
    check_report(options)
    choose_device(options.device)
    on_disk = stays_on_disk(options, group)
    if on_disk and not options.embedding_only:
        check_copy(options.input, options.output)
    with prepared_cells(options, on_disk, group) as (cells, prepared):
        layer = options.layer if prepared is cells.adata else None
        model = _trained(prepared, options, settings, layer)
        if group is not None and not group.is_first:
            return
        at = prepared.obs_names.get_indexer(cells.adata.obs_names)
        embedding = model.get_latent_representation()[at]
        name, columns = options.name or cells.default_name, names_of_cells(model, at)
        try:
            write_results(cells, name, embedding, columns, model, options.model, options)
        finally:
            write_report(model, options)
    if model.interrupted:
        raise KeyboardInterrupt


def _trained(prepared, options: argparse.Namespace, settings: dict, layer: str | None):
    """A model that has learned the cells."""
    from ..models.sysvi.model import SysVI

    SysVI.setup_anndata(
        prepared,
        batch_key=options.system,
        layer=layer,
        categorical_covariate_keys=options.covariates,
        continuous_covariate_keys=options.continuous,
        labels_key=options.labels,
        unlabeled_category=options.unlabeled,
    )
    sizes = {"prior": options.prior, "n_latent": options.dims}
    model = SysVI(
        prepared,
        seed=options.seed,
        **(
            settings["model"]
            | {"preset": options.preset}
            | {k: v for k, v in sizes.items() if v is not None}
        ),
    )
    weights = {
        "z_distance_cycle_weight": options.cycle_weight,
        "kl_weight": options.kl_weight,
        "label_weight": options.label_weight,
    }
    chosen = {
        "max_epochs": options.epochs,
        "batch_size": options.batch_size,
        "n_threads": options.threads,
        "plan_kwargs": settings["plan"] | {k: v for k, v in weights.items() if v is not None},
    }
    if options.checkpoint:
        chosen |= {"checkpoint_dir": options.checkpoint, "checkpoint_every": 1, "resume": "auto"}
    model.train(
        accelerator=options.device,
        **training_progress(options.quiet),
        **(settings["train"] | {k: v for k, v in chosen.items() if v is not None}),
    )
    return model
