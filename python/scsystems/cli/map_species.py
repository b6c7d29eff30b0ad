"""``scsystems map`` onto a model of scSpecies: a further species is aligned to its context."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ScsystemsError
from .on_disk import CopiedCells, check_copy, is_left_on_disk
from .progress import training_progress
from .scspecies import EMBEDDING, counts_layer, read_tables, results_of
from .sysvi_files import write_results


def map_species(model, options: argparse.Namespace) -> None:
    """Align the species, and write its cells with their embedding and labels."""
    from ..checks import column
    from ..data.containers import open_cells
    from ..data.species_genes import N_TOP_GENES

    _check(model, options)
    layer: str | None = None
    cells: Any
    if is_left_on_disk(options.input, options):
        if not options.embedding_only:
            check_copy(options.input, options.output)
        cells = CopiedCells(options.input)
        layer = counts_layer(cells.adata, options.layer, str(options.input))
    else:
        cells = open_cells(
            options.input, options.assay, options.layer, raw=options.raw, wanted="counts"
        )
    if options.batch is not None:
        column(cells.adata, options.batch, "species batch", owner=str(options.input))
    context = model.species[0]
    table = read_tables(options.orthologs, context, [options.species], options.genes)
    n_top_genes = N_TOP_GENES if options.n_top_genes is None else options.n_top_genes
    model.add_target(
        options.species,
        cells.adata,
        table[options.species] if isinstance(table, dict) else table,
        batch_key=options.batch,
        layer=layer,
        n_top_genes=None if n_top_genes == "all" else n_top_genes,
    )
    chosen = {"max_epochs": options.epochs, "n_threads": options.threads}
    model.train(
        accelerator=options.device,
        **training_progress(options.quiet),
        **{k: v for k, v in chosen.items() if v is not None},
    )
    if not model.is_trained:
        raise KeyboardInterrupt
    embedding, columns = results_of(model, options.species, model._context.species.label_key)
    name = options.name or EMBEDDING[cells.kind]
    write_results(cells, name, embedding, columns, model, options.save_model, options)
    if model._targets[options.species].trainings.stopped == "interrupted":
        raise KeyboardInterrupt


def _check(model, options: argparse.Namespace) -> None:
    for option, value in (("--species", options.species), ("--orthologs", options.orthologs)):
        if value is None:
            raise ScsystemsError(
                f"--model {options.model} is of scSpecies, onto which a further species is mapped. Give {option} too."
            )
    if options.species in model.species:
        raise ScsystemsError(
            f"--species {options.species}: the model has this species already. It has {', '.join(model.species)}."
        )
    if options.seed is not None:
        raise ScsystemsError(
            "--seed: a further species is trained with the seed of the model. Leave it out."
        )
    if options.epochs == 0:
        raise ScsystemsError(
            "--epochs 0: a further species has to be trained. Expected at least 1."
        )
    if not options.orthologs.is_file():
        raise ScsystemsError(f"--orthologs: there is no file {options.orthologs}.")
