"""The functions R calls.

Each returns plain values (numpy arrays, numbers, text, or a handle R only passes back) inside
an envelope that also carries warnings and errors: see :mod:`scsystems.r.envelope`. What is
done with trained models is in :mod:`scsystems.r.saved`, example data in
:mod:`scsystems.r.examples`.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from scipy import sparse

import scsystems as scs
from scsystems.data.matrix import expression, layer_names
from scsystems.data.scale.record import PREPARATION
from scsystems.errors import InputError, ModelFileError
from scsystems.files import check_folder
from scsystems.models.sysvi import presets
from scsystems.r import boot, values
from scsystems.r.envelope import guarded, keyword_arguments
from scsystems.r.evaluation import batch_strength, evaluate, tune  # noqa: F401
from scsystems.r.examples import pancreas, pancreas_by_species  # noqa: F401
from scsystems.r.expression import judge_anndata, judge_expression, normalize  # noqa: F401
from scsystems.r.interrupts import interrupts_understood
from scsystems.r.saved import (  # noqa: F401
    decode,
    describe_model,
    differential_expression,
    load_model,
    map_query,
    predict_labels,
    transfer_labels,
)
from scsystems.r.scspecies import (  # noqa: F401
    add_species,
    describe_scspecies,
    load_scspecies,
    model_pairs,
    ortholog_pairs,
    ortholog_table,
    species_differential,
    species_labels,
    species_latent,
    species_prototypes,
    species_relevance,
    species_similarity,
    train_scspecies,
    variable_species_genes,
)
from scsystems.r.species import join  # noqa: F401
from scsystems.r.training import for_r

# key of uns under which an AnnData keeps the records of its embeddings
RECORDS = "scsystems"


# ---- data -------------------------------------------------------------------------------


@guarded
def make_anndata(
    matrix: Mapping[str, Any],
    obs: Mapping[str, Mapping[str, Any]],
    cells: list[str],
    genes: list[str],
    totals: Any = None,
    target_sum: float | None = None,
    base: float | None = None,
) -> Any:
    """Build an AnnData from what R sent.

    Parameters
    ----------
    matrix
        See :func:`scsystems.r.values.matrix_from_parts`.
    obs
        Columns, see :func:`scsystems.r.values.column_from_parts`.
    cells, genes
        Names.
    totals
        Where cells hold counts: their totals over all genes, NaN for the others; these are
        normalized here, see :func:`scsystems.r.expression.normalize`.
    target_sum, base
        The scale of all cells then; NaN where it is not known.
    """
    from anndata import AnnData

    x = values.matrix_from_parts(matrix)
    if totals is not None and target_sum is not None and base is not None:
        normalize(x, np.array(totals, dtype=np.float64), target_sum, base)
    with warnings.catch_warnings():
        # Doubled names are refused by the model with a message of our own.
        warnings.filterwarnings("ignore", message=".*names are not unique")
        return AnnData(
            X=x,
            obs=values.frame_from_parts(obs, list(cells)),
            var=pd.DataFrame(index=pd.Index(list(genes), dtype=object)),
            uns=_scale_notes(target_sum, base),
        )


def _scale_notes(target_sum: float | None, base: float | None) -> dict[str, Any]:
    """Where a model looks for what its expression was normalized to, as ``pp.prepare`` notes it."""
    if target_sum is None or base is None:
        return {}
    known = np.isfinite(target_sum) and abs(base - np.e) < 1e-9
    return {PREPARATION: {"settings": {"target_sum": float(target_sum)}}} if known else {}


@guarded
def anndata_for_training(adata: Any, layer: str | None, features: list[str] | None) -> Any:
    """Copy what training needs out of a user's AnnData, which stays as it is."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        raise InputError(
            f"expected an AnnData, found {type(adata).__module__}.{type(adata).__name__}"
        )
    if layer is not None and layer not in adata.layers:
        raise InputError(
            f"layer {layer!r} is not in the AnnData; it has {sorted(layer_names(adata)) or 'none'}"
        )
    if features is not None:
        absent = [name for name in features if name not in adata.var_names]
        if absent:
            raise InputError(
                f"{len(absent):,} of {len(features):,} features are not genes of the AnnData, "
                f"for example {absent[:5]}"
            )
        adata = adata[:, list(features)]
    x = expression(adata, layer)
    return AnnData(X=x.copy(), obs=adata.obs.copy(), var=pd.DataFrame(index=adata.var_names.copy()))


@guarded
def scale_anndata(
    adata: Any, source: Any, layer: str | None, raw: np.ndarray, target_sum: float, base: float
) -> None:
    """Normalize the cells marked as ``raw`` in place, and note the scale of all.

    Totals are over all genes of ``source``.
    """
    adata.uns.update(_scale_notes(target_sum, base))
    if not np.any(raw):
        return
    counts = expression(source, layer)
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    x = adata.X
    adata.X = sparse.csr_matrix(x, dtype=np.float32) if sparse.issparse(x) else x.astype(np.float32)
    normalize(adata.X, np.where(np.asarray(raw, bool), totals, np.nan), target_sum, base)


@guarded
def describe_anndata(adata: Any) -> dict[str, list[str]]:
    """Names that an AnnData uses."""
    return {
        "cells": [str(name) for name in adata.obs_names],
        "columns": [str(name) for name in adata.obs.columns],
        "obsm": [str(name) for name in adata.obsm],
    }


@guarded
def obs_parts(adata: Any, columns: list[str]) -> dict[str, dict[str, Any]]:
    """Take columns of ``obs`` apart for R."""
    return values.frame_to_parts(adata.obs[list(columns)])


@guarded
def select_features(adata: Any, arguments: Mapping[str, Any], preset: str = "default") -> Any:
    """Keep the genes that are highly variable in every system; returns a new AnnData.

    Without ``n_top_genes`` there are as many as the preset says.
    """
    import torch

    arguments = {"n_top_genes": presets.n_top_genes(preset)} | keyword_arguments(
        scs.pp.select_features, arguments
    )
    # numba, inside scanpy, sets the number of OpenMP threads that torch has, too
    threads = torch.get_num_threads()
    try:
        genes = list(scs.pp.select_features(adata, **arguments))
    finally:
        torch.set_num_threads(threads)
    return adata[:, genes].copy()


# ---- sysVI ------------------------------------------------------------------------------


@guarded
def train_sysvi(
    adata: Any,
    setup: Mapping[str, Any],
    model: Mapping[str, Any],
    train: Mapping[str, Any],
    device: str = "auto",
    callback: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> Any:
    """Set up, build and train a SysVI model, and return it."""
    setup_arguments = keyword_arguments(scs.SysVI.setup_anndata, setup)
    model_arguments = keyword_arguments(scs.SysVI.__init__, model)
    train_arguments = keyword_arguments(scs.SysVI.train, {**train, "accelerator": device})
    scs.SysVI.setup_anndata(adata, **setup_arguments)
    trained = scs.SysVI(adata, **model_arguments)
    callbacks = [for_r(call) for call in train_arguments.pop("callbacks", None) or []]
    if callback is not None:
        callbacks.append(for_r(callback))
    with interrupts_understood():
        trained.train(**train_arguments, callbacks=callbacks or None, verbose=False)
    return trained


@guarded
def latent(model: Any, adata: Any = None, give_mean: bool = True) -> np.ndarray:
    """Return the cells' latent representation, cells x dimensions, as R's doubles."""
    z = model.get_latent_representation(adata, give_mean=give_mean)
    return np.asfortranarray(z, dtype=np.float64)


@guarded
def describe(model: Any) -> dict[str, Any]:
    """Return what R keeps about a trained model, as plain values."""
    tables = [table for table in model.history.values() if table.index.name == "epoch"]
    # one row per epoch; a quantity that is not measured in every epoch has gaps
    history = pd.concat(tables, axis=1) if tables else pd.DataFrame()
    return {
        "history": {name: history[name].to_numpy(np.float64) for name in history},
        "epoch": history.index.to_numpy(np.int32) + 1,
        "device": str(model.device),
        "interrupted": bool(getattr(model, "interrupted", False)),
        "genes": list(model.schema.genes),
        "version": scs.__version__,
    }


@guarded
def holds_model(path: str) -> bool:
    """Whether there is a model in a folder, which may be replaced by another."""
    try:
        check_folder(path, overwrite=True)
    except ModelFileError:
        return False
    return True


@guarded
def save_model(
    model: Any, path: str, overwrite: bool = False, notes: Mapping[str, Any] | None = None
) -> str:
    """Save a model, with what R notes of its making, and return the folder's full path."""
    model.notes = values.plain(notes or {})
    model.save(path, overwrite=overwrite)
    return str(Path(path).resolve())


@guarded
def store_in_anndata(
    adata: Any,
    key: str,
    embedding: np.ndarray,
    record: Mapping[str, Any],
    predictions: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write an embedding, the record of its making, and columns into a user's AnnData."""
    adata.obsm[key] = np.array(embedding, dtype=np.float32, order="C")
    for name, parts in (predictions or {}).items():
        adata.obs[name] = values.column_from_parts(parts)
    record = dict(record)
    record["features"] = np.array(list(record["features"]), dtype=object)
    record["history"] = {name: np.array(column) for name, column in record["history"].items()}
    record["input"] = dict(record["input"])
    adata.uns[RECORDS] = {**adata.uns.get(RECORDS, {}), key: record}


@guarded
def records_in_anndata(adata: Any) -> dict[str, dict[str, Any]]:
    """Return the records of embeddings that an AnnData still has."""
    records = adata.uns.get(RECORDS, {})
    return {
        key: {**record, "features": [str(name) for name in record["features"]]}
        for key, record in records.items()
        if key in adata.obsm
    }


# ---- the machine ------------------------------------------------------------------------


@guarded
def machine() -> dict[str, Any]:
    """Describe Python, torch and its threads for ``scsystems_sitrep()``."""
    import time

    import torch

    a = torch.ones(1024, 1024)
    torch.mm(a, a)
    start = time.perf_counter()
    for _ in range(3):
        torch.mm(a, a)
    seconds = (time.perf_counter() - start) / 3
    mps = getattr(torch.backends, "mps", None)
    return {
        "python": platform.python_version(),
        "scsystems": scs.__version__,
        "location": str(Path(scs.__file__).parent),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "cuda": [
            torch.cuda.get_device_name(i)
            for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        ],
        "mps": bool(mps is not None and mps.is_available()),
        "threads": torch.get_num_threads(),
        "cores": cpu_count(),
        "gflops": 2 * 1024**3 / seconds / 1e9,
        **boot.state,
    }
