"""Trained models in a folder: what R does with them after training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

import scsystems as scs
from scsystems.data.scale.normalize import base_number
from scsystems.durable.typed import typed
from scsystems.r import values
from scsystems.r.envelope import guarded, keyword_arguments
from scsystems.r.interrupts import interrupts_understood
from scsystems.r.training import for_r


@dataclass(frozen=True)
class Input:
    """What R read and how it was scaled; see ``scale.R``."""

    object: str
    assay: str | None = None
    normalized: bool = False
    target_sum: float | None = None
    base: float | None = None


def notes_of(model: Any) -> dict[str, Any]:
    """What R noted with a model: when it was ``made``, and the ``input``, by species for ScSpecies.

    Of models that Python trained the input is what they measured.
    """
    made = typed(float | None, model.notes.get("made"), "notes.made")
    found, name = model.notes.get("input"), "notes.input"
    if found is None:
        scale = model.schema.expression_scale if isinstance(model, scs.SysVI) else None
        if scale is None or scale.base is None:
            return {"made": made}
        found = {"object": "AnnData", "target_sum": scale.target_sum}
        found["base"] = base_number(scale.base)
    if isinstance(model, scs.SysVI):
        return {"made": made, "input": asdict(typed(Input, found, name))}
    by_species = typed(dict[str, Input], found, name)
    return {"made": made, "input": {k: asdict(v) for k, v in by_species.items()}}


@guarded
def load_model(path: str, device: str = "cpu") -> Any:
    """Read a model from its folder, without cells."""
    return scs.SysVI.load(path, accelerator=device)


@guarded
def describe_model(model: Any) -> dict[str, Any]:
    """Return what a model expects of cells, and how it was made, as plain values."""
    setup, schema = model.schema.setup, model.schema
    keys = setup.categorical_covariate_keys
    return {
        "genes": list(schema.genes),
        "system": setup.batch_key,
        "systems": list(schema.systems),
        "covariates": list(keys),
        "levels": [list(levels) for levels in schema.categories],
        "continuous": list(setup.continuous_covariate_keys),
        "labels": setup.labels_key or "",
        "dims": int(model.settings["n_latent"]),
        "prior": model.settings["prior"],
        "seed": int(model.settings["seed"]),
        "cells": model.n_cells,
        "trained": bool(model.is_trained),
        "notes": notes_of(model),
        "trained_on": model.trained_on or "unknown",
    }


@guarded
def map_query(
    reference: Any,
    adata: Any,
    prepare: Mapping[str, Any],
    train: Mapping[str, Any],
    device: str = "auto",
    callback: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> Any:
    """Map cells onto a trained model; returns the model that embeds them.

    Trains what is new, the weights of new samples; with nothing new, or with ``max_epochs`` of
    0, the model is returned as it is.
    """
    prepare_arguments = keyword_arguments(scs.SysVI.prepare_query_anndata, prepare)
    train_arguments = keyword_arguments(scs.SysVI.train, {**train, "accelerator": device})
    query = scs.SysVI.prepare_query_anndata(adata, reference, inplace=False, **prepare_arguments)
    model = scs.SysVI.load_query_data(query, reference, accelerator=train_arguments["accelerator"])
    if train_arguments.get("max_epochs") != 0 and model.has_new_weights:
        callbacks = list(train_arguments.pop("callbacks", None) or [])
        if callback is not None:
            callbacks.append(for_r(callback))
        with interrupts_understood():
            model.train(**train_arguments, callbacks=callbacks or None, verbose=False)
    return model


@guarded
def transfer_labels(
    model: Any, labels: str, reference: Any, n_neighbors: int, min_confidence: float
) -> dict[str, dict[str, Any]]:
    """Name the model's own cells by their nearest reference cells; columns for R."""
    found = model.transfer_labels(
        labels, reference, n_neighbors=int(n_neighbors), min_confidence=float(min_confidence)
    )
    return values.frame_to_parts(found)


@guarded
def predict_labels(model: Any, adata: Any = None) -> dict[str, dict[str, Any]]:
    """Name cells by the labels that the model was told: label, probability, novelty; columns for R."""
    p, novelty = model.predict(adata, soft=True), model.novelty(adata)
    found = pd.DataFrame(
        {
            "label": pd.Categorical.from_codes(p.to_numpy().argmax(1), list(p.columns)),
            "probability": p.max(axis=1).to_numpy(np.float64),
            "novelty": novelty["score"].to_numpy(np.float64),
            "novel": novelty["novel"].to_numpy(bool),
        },
        index=p.index,
    )
    return values.frame_to_parts(found)


@guarded
def decode(
    model: Any, adata: Any, systems: Sequence[str] | None, genes: Sequence[str] | None
) -> dict[str, Any]:
    """Corrected expression: ``dense``, genes x cells, and the names of its ``genes``."""
    found = model.get_normalized_expression(
        adata,
        transform_batch=None if systems is None else list(systems),
        gene_list=None if genes is None else list(genes),
    )
    return {"genes": list(found.columns), **values.matrix_to_parts(found.to_numpy())}


@guarded
def differential_expression(
    model: Any, adata: Any, arguments: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Differential expression as columns for R, with the genes' names in the first."""
    arguments = keyword_arguments(scs.SysVI.differential_expression, arguments)
    found = model.differential_expression(adata, **arguments, silent=True)
    found.insert(0, "gene", found.index.astype(str))
    return values.frame_to_parts(found.reset_index(drop=True))


@guarded
def report(model: Any, adata: Any, path: str, arguments: Mapping[str, Any]) -> str:
    """Write the report of a model and the cells that R has sent; returns its path."""
    arguments = keyword_arguments(scs.report, arguments)
    # in a picture that is saved no window has a part
    with pictures_without_windows():
        return str(scs.report(model, path, adata, **arguments).resolve())


@contextmanager
def pictures_without_windows() -> Iterator[None]:
    """Let matplotlib, where it is installed, draw without a window; R's session may have none."""
    try:
        import matplotlib
    except ImportError:
        yield
        return
    with matplotlib.rc_context():
        matplotlib.use("agg")
        yield
