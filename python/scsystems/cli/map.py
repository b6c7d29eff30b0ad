"""The command ``scsystems map``: place new cells in the embedding of a trained model."""

from __future__ import annotations

import argparse
import logging
import math
from contextlib import ExitStack

from ..errors import ScsystemsError
from ..words import spoken_by
from .command import LARGEST_SEED, path, whole
from .info import read_model
from .on_disk import add_memory, check_copy, is_left_on_disk
from .options import (
    CELLS,
    add_assay,
    add_common,
    add_embedding,
    add_expression,
    add_machine,
    add_overwrite,
    is_result,
)
from .outputs import check_model, check_table
from .progress import training_progress
from .query_cells import fitted
from .sysvi_files import names_of_cells, write_results

logger = logging.getLogger(__name__)

_EXAMPLES = """\
examples:
  scsystems map new.h5ad mapped.h5ad --model model
  scsystems map new.h5ad mapped.h5ad --model model --labels cell_type --reference old.h5ad
  scsystems map pig.h5ad pig_aligned.h5ad --model aligned_model --species pig --orthologs pig_mouse.tsv
"""

# what a model was trained with is not given to this command
_INSTEAD = {
    "system": "the model's --system",
    "covariates": "the model's --covariates",
    "continuous": "the model's --continuous",
}
# options for one of the two methods, and what they are if they are not given
_SYSVI = {
    "labels": None,
    "reference": None,
    "neighbors": 25,
    "min_confidence": 0.0,
    "max_missing": 0.5,
    "fill": "mean",
    "target_sum": None,
    "fractional": False,
    "batch_size": None,
}
_SCSPECIES = {
    "species": None,
    "orthologs": None,
    "genes": "auto",
    "batch": None,
    "n_top_genes": None,
}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "map",
        help="place new cells in the embedding of a trained model",
        description="Embed the cells of a file in the space of a model that was trained before, whose cells stay "
        "where they are. Of sysVI these are new samples of its systems: covariates that it has not seen get "
        "weights of their own, which are trained. Of scSpecies it is a further species.",
        epilog=_EXAMPLES,
        is_file=is_result,
    )
    command.add_argument("input", type=path, help=CELLS)
    command.add_argument("output", type=path, help="file of the same kind to write")
    command.add_argument(
        "--model", type=path, required=True, metavar="FOLDER", help="the trained model"
    )
    add_expression(
        command, "X; .raw if X is scaled", "the counts, or else the log-normalized values"
    )
    add_assay(command)
    add_embedding(command, "X_sysvi, sysvi in Seurat, SYSVI in SCE; or of scSpecies likewise")
    command.add_argument(
        "--save-model", type=path, metavar="FOLDER", help="save the model with the new cells there"
    )
    add_overwrite(command)
    add_memory(command, keeps=False)
    _add_sysvi(command.add_argument_group("models of sysVI"))
    _add_scspecies(command.add_argument_group("models of scSpecies"))
    training = command.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=whole(0),
        metavar="N",
        help="passes over the new cells (default: as in training a model; 0 of sysVI takes new samples for average "
        "ones)",
    )
    add_machine(training)
    training.add_argument(
        "--seed",
        type=whole(0, LARGEST_SEED),
        metavar="N",
        help="seed of everything that is drawn at random (default: the model's)",
    )
    add_common(command)
    command.set_defaults(run=run)


def _add_sysvi(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--labels",
        metavar="COLUMN",
        help="column of --reference with labels, such as cell types, that the new cells get from their nearest ones",
    )
    group.add_argument(
        "--reference",
        type=path,
        metavar="FILE",
        help="labeled cells that fit the model, such as those that it was trained on",
    )
    group.add_argument(
        "--neighbors",
        type=whole(1),
        metavar="N",
        help="nearest labeled cells that vote (default: 25)",
    )
    group.add_argument(
        "--min-confidence",
        type=_fraction,
        metavar="X",
        help="cells with a smaller part of the votes get no label (default: 0)",
    )
    group.add_argument(
        "--max-missing",
        type=_fraction,
        metavar="X",
        help="largest part of the model's genes that the cells may lack (default: 0.5)",
    )
    group.add_argument(
        "--fill",
        choices=("mean", "zero"),
        help="what stands for a gene that the cells lack: its mean in the model's cells, or zero (default: mean)",
    )
    group.add_argument(
        "--target-sum",
        type=_positive,
        metavar="X",
        help="total per cell that counts are normalized to (default: that of the model's cells)",
    )
    group.add_argument(
        "--fractional",
        action="store_true",
        help="take counts with fractions, as ambient-RNA correctors leave them",
    )
    group.add_argument(
        "--batch-size",
        type=whole(2),
        metavar="N",
        help="cells per step (default: 128)",
    )


def _add_scspecies(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--species", metavar="NAME", help="name of the new species")
    group.add_argument(
        "--orthologs",
        "--orthologues",
        type=path,
        metavar="FILE",
        help="table that pairs its genes with those of the model's context",
    )
    group.add_argument(
        "--genes",
        choices=("auto", "symbol", "id"),
        help="which names of the table are those of the cells' genes (default: auto, those that more of them have)",
    )
    group.add_argument("--batch", metavar="COLUMN", help="cell column with the samples")
    group.add_argument(
        "--n-top-genes",
        type=lambda text: text if text == "all" else whole(1)(text),
        metavar="N",
        help="most variable genes to train on, or 'all'; orthologs are taken among them (default: 4000)",
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _fraction(text: str) -> float:
    if not 0 <= _number(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a number from 0 to 1.")
    return float(text)


def _positive(text: str) -> float:
    if not 0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a number above 0.")
    return float(text)


def run(options: argparse.Namespace) -> None:
    """Map, and write the cells with their embedding."""
    from ..data.containers import check_source, check_target
    from ..models.scspecies.model import ScSpecies
    from ..train.device import choose_device

    sources = [check_source(file) for file in (options.input, options.reference) if file]
    if options.embedding_only:
        check_table(options.output, options.overwrite, *sources)
    else:
        names = [options.name, options.labels and f"predicted.{options.labels}"]
        check_target(options.input, options.output, options.overwrite, filter(None, names))
    if options.save_model and options.save_model.absolute() == options.model.absolute():
        raise ScsystemsError(
            f"--save-model {options.save_model} is the model that cells are mapped onto. Give another folder."
        )
    others = (*sources, options.output)
    check_model(options.save_model, options.overwrite, others, "--save-model")
    choose_device(options.device)
    model = read_model(options.model)
    if not model.is_trained:
        raise ScsystemsError(f"--model {options.model} has not been trained.")
    if isinstance(model, ScSpecies):
        _fill(options, _SCSPECIES, _SYSVI, "SysVI")
        from .map_species import map_species

        map_species(model, options)
        return
    _fill(options, _SYSVI, _SCSPECIES, "ScSpecies")
    with spoken_by("cli", _INSTEAD):
        _map_samples(model, options)


def _fill(options: argparse.Namespace, own: dict, others: dict, method: str) -> None:
    """Put defaults in place of what is not given, and refuse options of the other method."""
    given = [name for name in others if getattr(options, name) not in (None, False)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ScsystemsError(
            f"{names}: for models of {method}, and {options.model} holds another one. Leave it out."
        )
    for name, default in own.items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def _map_samples(model, options: argparse.Namespace) -> None:
    """Map new samples onto a model of SysVI."""
    if (options.labels is None) != (options.reference is None):
        there, missing = ("--labels", "--reference")[:: 1 if options.labels else -1]
        raise ScsystemsError(
            f"{there} needs {missing}: the labeled cells, and the column with their labels."
        )
    on_disk = is_left_on_disk(options.input, options)
    if on_disk and not options.embedding_only:
        check_copy(options.input, options.output)
    with ExitStack() as stack:
        if options.reference is not None:
            labeled_on_disk = is_left_on_disk(options.reference, options)
            _, reference = stack.enter_context(
                fitted(options.reference, labeled_on_disk, model, options, options.labels)
            )
            _check_labeled(reference, options)
        cells, query = stack.enter_context(fitted(options.input, on_disk, model, options))
        mapped = type(model).load_query_data(query, model, accelerator=options.device)
        if options.epochs != 0:
            chosen = {
                "max_epochs": options.epochs,
                "batch_size": options.batch_size,
                "n_threads": options.threads,
                "seed": options.seed,
            }
            mapped.train(
                accelerator=options.device,
                **training_progress(options.quiet),
                **{k: v for k, v in chosen.items() if v is not None},
            )
        embedding = mapped.get_latent_representation()
        if options.reference is None:
            columns = names_of_cells(mapped, slice(None))
        else:
            found = mapped.transfer_labels(
                options.labels,
                reference,
                n_neighbors=options.neighbors,
                min_confidence=options.min_confidence,
            )
            named = found["label"].astype(object)
            columns = {
                f"predicted.{options.labels}": named.where(named.notna(), None).to_numpy(object),
                f"predicted.{options.labels}.confidence": found["confidence"].to_numpy(float),
                f"predicted.{options.labels}.distance": found["distance"].to_numpy(float),
            }
        name = options.name or cells.default_name
        write_results(cells, name, embedding, columns, mapped, options.save_model, options)
    if mapped.history and mapped.interrupted:
        raise KeyboardInterrupt


def _check_labeled(reference, options: argparse.Namespace) -> None:
    """Fewer labels than neighbors would be found out after the training."""
    labeled = int(reference.obs[options.labels].notna().sum())
    if labeled <= options.neighbors:
        raise ScsystemsError(
            f"--labels {options.labels} names {labeled} cells of {options.reference}. Expected more than --neighbors "
            f"{options.neighbors}."
        )
