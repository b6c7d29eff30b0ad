"""What R does with scSpecies: choose genes, train, take results apart, read models back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

import scsystems as scs
from scsystems.data.orthologs import tables as ortholog_tables
from scsystems.data.species_genes import species_genes
from scsystems.errors import InputError
from scsystems.models.scspecies.species import homologues
from scsystems.r import values
from scsystems.r.envelope import guarded, keyword_arguments
from scsystems.r.interrupts import interrupts_understood
from scsystems.r.saved import notes_of
from scsystems.r.training import for_r


@guarded
def variable_species_genes(
    adata: Any, name: str, batch_key: str | None, arguments: Mapping[str, Any]
) -> Any:
    """Keep the genes of one species that a model trains on; returns an AnnData of counts.

    ``arguments`` are ``n_top_genes`` and ``min_cells``, where they are given.
    """
    arguments = keyword_arguments(species_genes, arguments)
    genes = species_genes(name, adata, batch_key=batch_key, **arguments)
    return adata if len(genes) == adata.n_vars else adata[:, genes].copy()


@guarded
def ortholog_table(
    source: Any, context: str, target: str, options: Mapping[str, Any] | None = None
) -> Any:
    """An ortholog table for one target: a path or Python's own as they are, a frame from parts.

    Parameters
    ----------
    source
        A path, what ``scs.data.orthologs.read`` returned, or a data frame's columns, see
        :func:`scsystems.r.values.column_from_parts`.
    context, target
        Names of the species.
    options
        Further arguments of ``scs.data.orthologs.read``.
    """
    if isinstance(source, Mapping):
        columns = {name: values.column_from_parts(parts) for name, parts in source.items()}
        source = pd.DataFrame(columns)
    if not options:
        return source
    if isinstance(source, ortholog_tables.Orthologs):
        raise InputError(
            f"The table of orthologs has been read already: {', '.join(options)} in "
            "scspecies_options(orthologs = ) come too late. Give them where it is read, or the path of the table."
        )
    options = keyword_arguments(ortholog_tables.read, options)
    return ortholog_tables.read(source, (context, target), **options)


@guarded
def ortholog_pairs(
    tables: Mapping[str, Any], context: Mapping[str, Any], targets: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Genes with a one-to-one ortholog in every species: a column of names per species."""
    ((name, adata),) = context.items()
    shared = None
    for target, table in tables.items():
        pairs = homologues(table, name, adata.var_names, target, targets[target])
        pairs = pairs.set_axis([name, target], axis=1)
        shared = pairs if shared is None else shared.merge(pairs, on=name)
    return values.frame_to_parts(shared)


@guarded
def train_scspecies(
    context: Mapping[str, Any],
    targets: Mapping[str, Any],
    tables: Mapping[str, Any],
    model: Mapping[str, Any],
    train: Mapping[str, Any],
    device: str = "auto",
    callback: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> Any:
    """Build and train a ScSpecies model, and return it."""
    # the genes have been chosen already, or were given
    model_arguments = {"n_top_genes": None} | keyword_arguments(scs.ScSpecies.__init__, model)
    built = scs.ScSpecies(dict(context), dict(targets), orthologs=dict(tables), **model_arguments)
    _train(built, train, device, callback)
    return built


@guarded
def add_species(
    model: Any,
    targets: Mapping[str, Any],
    tables: Mapping[str, Any],
    columns: Mapping[str, Mapping[str, str | None]],
    train: Mapping[str, Any],
    device: str = "auto",
    callback: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> Any:
    """Align further targets to a model's context; ``columns`` has every target's keys."""
    for name, adata in targets.items():
        model.add_target(name, adata, tables[name], n_top_genes=None, **columns[name])
    _train(model, train, device, callback)
    return model


def _train(model: Any, train: Mapping[str, Any], device: str, callback: Any) -> None:
    arguments = keyword_arguments(scs.ScSpecies.train, {**train, "accelerator": device})
    callbacks = [for_r(call) for call in arguments.pop("callbacks", None) or []]
    if callback is not None:
        callbacks.append(for_r(callback))
    with interrupts_understood():
        model.train(**arguments, callbacks=callbacks or None, verbose=False)


@guarded
def load_scspecies(path: str, adata: Mapping[str, Any] | None = None, device: str = "cpu") -> Any:
    """Read a model from its folder, with the cells of its species if given."""
    return scs.ScSpecies.load(path, None if adata is None else dict(adata), device)


@guarded
def describe_scspecies(model: Any) -> dict[str, Any]:
    """Return what R keeps about a model, as plain values; species by species, the context first."""
    parts = model._parts()
    settings = model._settings
    return {
        "species": model.species,
        "alignment": settings["alignment"],
        "dims": int(settings["n_latent"]),
        "seed": int(settings["seed"]),
        "device": str(next(parts[0].net.parameters()).device),
        "version": scs.__version__,
        "notes": notes_of(model),
        "parts": {part.name: _facts(model, part) for part in parts},
    }


def _facts(model: Any, part: Any) -> dict[str, Any]:
    losses = list(model.history[part.name].values())
    history = pd.concat(losses, axis=1) if losses else pd.DataFrame()
    return {
        "cells": list(part.cell_names),
        "genes": list(part.species.genes),
        "n_homologous": int(part.species.n_homologous),
        "label_key": part.species.label_key,
        "batch_key": part.species.batch_key,
        "labels": list(part.species.labels),
        "batches": list(part.species.batches),
        "history": {name: history[name].to_numpy(np.float64) for name in history},
        "epoch": history.index.to_numpy(np.int32) + 1,
        "trained": part.embedded is not None,
        "interrupted": part.trainings.stopped == "interrupted",
    }


@guarded
def model_pairs(model: Any) -> dict[str, dict[str, Any]]:
    """The orthologs that all species of a model have: a column of names per species."""
    context, *targets = model._parts()
    shared = None
    for part in targets:
        context_genes, target_genes = part.pairs.T
        pairs = pd.DataFrame(
            {
                context.name: np.asarray(context.species.genes, dtype=object)[context_genes],
                part.name: np.asarray(part.species.genes, dtype=object)[target_genes],
            }
        )
        shared = pairs if shared is None else shared.merge(pairs, on=context.name)
    return values.frame_to_parts(shared)


@guarded
def species_latent(model: Any, species: str) -> np.ndarray:
    """Return the latent means of a species' cells, cells x dimensions, as R's doubles."""
    return np.asfortranarray(model.get_latent_representation(species), dtype=np.float64)


@guarded
def species_labels(
    model: Any, target: str, transfer: Mapping[str, Any], novelty: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Labels, their confidence, and novelty of a target's cells; columns for R."""
    labels = model.transfer_labels(
        target, **keyword_arguments(type(model).transfer_labels, transfer)
    )
    new = model.novelty(target, **keyword_arguments(type(model).novelty, novelty))
    part = model._part_of(target)
    table = pd.DataFrame(
        {
            "known": None if part.label is None else part.label_names(),
            # all levels of the context, in their order, whether a cell got them or not
            "label": pd.Categorical(
                labels["label"], categories=list(model._context.species.labels)
            ),
            "confidence": labels["confidence"],
            "novelty": new["score"],
            "novel": new["novel"],
        },
        index=labels.index,
    )
    return values.frame_to_parts(table)


@guarded
def species_similarity(
    model: Any, target: str, labels: Sequence[str] | None, arguments: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Similarity of types as a long table: a row per target type and context type."""
    arguments = keyword_arguments(type(model).similarity, arguments)
    wide = model.similarity(target, "types", target_labels=_types(labels), **arguments)
    rows, columns = len(wide.index), len(wide.columns)
    long = pd.DataFrame(
        {
            "target_type": np.repeat(wide.index.astype(str), columns),
            "context_type": np.tile(wide.columns.astype(str), rows),
            "log_ratio": wide.to_numpy(np.float64).ravel(),
        }
    )
    return values.frame_to_parts(long)


@guarded
def species_differential(
    model: Any, target: str, labels: Sequence[str] | None, arguments: Mapping[str, Any]
) -> dict[str, dict[str, Any]] | None:
    """Differential expression between a target and the context; None without a common type."""
    arguments = keyword_arguments(type(model).differential_expression, arguments)
    own = model._part_of(target).label_names() if labels is None else np.asarray(labels, object)
    if not set(own) & set(model._context.label_names()) and "cell_types" not in arguments:
        return None
    found = model.differential_expression(target, target_labels=_types(labels), **arguments)
    return values.frame_to_parts(found)


@guarded
def species_prototypes(model: Any, target: str) -> dict[str, dict[str, Any]] | None:
    """What a target's prototypes aligned to in training; None where there is no record."""
    if model._part_of(target).prototypes is None:
        return None
    return values.frame_to_parts(model.prototype_record(target))


@guarded
def species_relevance(
    model: Any, species: str, labels: Sequence[str] | None, arguments: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Relevance of genes as a long table: a row per gene and cell type."""
    arguments = keyword_arguments(type(model).relevance, arguments)
    wide = model.relevance(species, labels=_types(labels), **arguments)
    long = pd.DataFrame(
        {
            "cell_type": np.repeat(wide.columns.astype(str), len(wide.index)),
            "gene": np.tile(wide.index.astype(str), len(wide.columns)),
            "relevance": wide.to_numpy(np.float64).T.ravel(),
        }
    )
    return values.frame_to_parts(long)


def _types(labels: Sequence[str] | None) -> np.ndarray | None:
    return None if labels is None else np.array(list(labels), dtype=object)
