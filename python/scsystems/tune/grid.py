"""Train settings x seeds of SysVI, evaluate every run, rank the settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from scsystems import __version__
from scsystems.data.schema import Setup, expression
from scsystems.errors import InputError, NonFiniteError
from scsystems.metrics.evaluate import check_metrics, collect, evaluate_one
from scsystems.models.base import data_fingerprint
from scsystems.models.sysvi import SysVI

from .result import TuneResult
from .scoring import WEIGHTS
from .settings import Setting, expand
from .store import RunStore, run_id

logger = logging.getLogger(__name__)

DEFAULT_GRID = {"z_distance_cycle_weight": [2.0, 5.0, 10.0, 50.0]}
"""The paper's range of the cycle weight, the setting that matters most."""
BIOLOGY = ("nmi_fixed", "moran")
"""What the paper scores biology by."""
UNLABELLED_BIOLOGY = ("cluster_preservation", "matched_profiles", "moran")
"""What biology is scored by without cell types."""


def grid(
    adata,
    grid: Mapping[str, Sequence] | Sequence[Mapping[str, Any]] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    *,
    label_key: str | None = None,
    batch_key: str | None = None,
    folder: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    biology: Sequence[str] | None = None,
    batch: Sequence[str] = ("ilisi",),
    weights: tuple[float, float] = WEIGHTS,
    min_cells: int = 20,
    moran_min_cells: int = 500,
    max_cells: int | None = 100_000,
    n_jobs: int = 1,
    callback: Callable[[int, int, dict[str, Any]], Any] | None = None,
    verbose: bool = True,
    **train,
) -> TuneResult:
    """Train SysVI with every setting and seed, and rank the settings as the paper does.

    With cell types the score is ``0.6 * mean(NMI-fixed, Moran's I) + 0.4 * iLISI``, each
    scaled over all runs. Without, biology is judged by criteria that need none: clusters that
    every sample forms on its own are kept (``cluster_preservation``), the cells that meet
    across systems express the same genes (``matched_profiles``), and the variation within
    those clusters is kept (``moran``). On human and mouse pancreas cells (Baron et al. 2016;
    nine runs of five settings, 40 epochs) both scores chose the same setting, and the rank
    correlation of runs was 0.87. A criterion that cannot be computed on the data, such
    as Moran's I without large enough groups, is left out of the score with a warning.

    Parameters
    ----------
    adata
        Cells set up by ``SysVI.setup_anndata``, whose systems are those to be mixed.
    grid
        Parameter -> values to combine, or a list of settings (dicts of parameters, with
        ``"name"`` if wanted). Parameters are arguments of ``SysVI`` (``prior``,
        ``n_prior_components``, ...), of ``train`` (``max_epochs``, ...), and entries of
        ``plan_kwargs`` (``z_distance_cycle_weight``, ``kl_weight``, ...). Default: the cycle
        weights 2, 5, 10 and 50.
    seeds
        Seeds of initial weights and training; every setting is run with each.
    label_key
        Column of ``adata.obs`` with cell types, if there are any.
    batch_key
        Column with samples, for Moran's I and for clusters before integration (default: the
        first categorical covariate, else the systems).
    folder
        Where every finished run is kept. A search that was cut off, or that gets more settings
        or seeds, goes on from there. Default: nothing is kept.
    metrics
        Metrics to compute besides those that are scored.
    biology, batch
        Metrics to score.
    weights
        Weights of biology and batch correction.
    min_cells, moran_min_cells, max_cells
        See :func:`scsystems.metrics.evaluate`.
    n_jobs
        Runs trained at a time, each in a process of its own with a copy of the data. Faster
        where one run cannot occupy all cores.
    callback
        Called as ``callback(n_done, n_runs, record)`` after every run.
    verbose
        Whether to show a progress bar.
    **train
        Arguments of ``train`` that all runs share, such as ``max_epochs``.

    Raises
    ------
    InputError
        If the data are not set up, a parameter is unknown, or all runs failed.
    """
    setup = Setup.read(adata)
    settings = [
        Setting(train | setting.parameters, setting.name)
        for setting in expand(DEFAULT_GRID if grid is None else grid)
    ]
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"'seeds' is {seeds}; expected at least one, and every one different.")
    batch = [batch] if isinstance(batch, str) else list(batch)
    covariates = setup.categorical_covariate_keys
    batch_key = batch_key or (covariates[0] if covariates else None)
    names = list(
        dict.fromkeys(
            [
                *batch,
                *(biology or ()),
                *(metrics or ()),
                *(
                    (*BIOLOGY, "jaccard", "label_transfer")
                    if label_key is not None
                    else UNLABELLED_BIOLOGY
                ),
            ]
        )
    )
    evaluation = {
        "metrics": check_metrics(names, label_key),
        "label_key": label_key,
        "batch_key": batch_key,
        "min_cells": min_cells,
        "moran_min_cells": moran_min_cells,
        "max_cells": max_cells,
    }
    data = collect(
        adata,
        setup.batch_key,
        label_key,
        batch_key,
        layer=setup.layer,
        min_cells=min_cells,
        moran_min_cells=moran_min_cells,
        max_cells=max_cells,
    )
    fingerprint = data_fingerprint(expression(adata, setup.layer), adata.obs_names)
    store = RunStore(folder)
    plan = {
        run_id({"data": fingerprint, "setup": vars(setup), "setting": setting.parameters,
                "seed": seed}): (setting, seed)
        for setting in settings
        for seed in seeds
    }  # fmt: skip
    done: dict[str, tuple[dict[str, Any], np.ndarray]] = {}
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    progress = tqdm(total=len(plan), disable=not verbose, desc="runs")
    try:
        for run, record, embedding in _runs(adata, plan, store, n_jobs):
            setting, seed = plan[run]
            if "error" in record:
                failed[f"{setting.name}, seed {seed}"] = record["error"]
                logger.warning("%s, seed %d failed: %s", setting.name, seed, record["error"])
            else:
                if record.get("evaluation") != evaluation:
                    rows = evaluate_one(run, embedding, data, names, left_out, strict=False)
                    record |= {"evaluation": evaluation, "rows": rows, "left_out": dict(left_out)}
                    store.write(run, record, embedding)
                left_out |= record["left_out"]
                # a run may have been kept under another name of its setting
                done[run] = record | {"setting": setting.name}, embedding
            progress.set_postfix_str(f"{setting.name}, seed {seed}")
            progress.update()
            if callback is not None:
                callback(len(done) + len(failed), len(plan), record)
    except KeyboardInterrupt:
        if not done:
            raise
        logger.warning("Interrupted: %d of %d runs are compared.", len(done), len(plan))
    finally:
        progress.close()
    if not done:
        raise InputError(f"All {len(plan)} runs failed; the first: {next(iter(failed.values()))}")
    wanted = biology or (BIOLOGY if label_key is not None else UNLABELLED_BIOLOGY)
    scored = [name for name in wanted if name not in left_out]
    for name, reason in left_out.items():
        logger.warning("Metric '%s' could not be computed: %s", name, reason)
    if not scored or (biology and len(scored) < len(biology)):
        raise InputError(f"These metrics cannot be scored: {left_out}.")
    return TuneResult(
        settings=settings,
        records={run: record for run, (record, _) in done.items()},
        embeddings={run: embedding for run, (_, embedding) in done.items()},
        biology=scored,
        batch=batch,
        weights=weights,
        failed=failed,
        left_out=left_out,
        labelled=label_key is not None,
    )


def _runs(adata, plan, store: RunStore, n_jobs: int) -> Iterator[tuple[str, dict, np.ndarray]]:
    """Yield runs, first those that are kept already."""
    missing = []
    for run in plan:
        kept = store.read(run)
        if kept is None:
            missing.append(run)
        else:
            yield run, *kept
    if n_jobs == 1 or len(missing) < 2:
        for run in missing:
            yield run, *train_one(adata, *plan[run])
        return
    from joblib import Parallel, delayed

    jobs = (delayed(train_one)(adata, *plan[run]) for run in missing)
    trained = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    for run, (record, embedding) in zip(missing, trained, strict=True):
        yield run, record, embedding


def train_one(adata, setting: Setting, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Train one run.

    Returns
    -------
    Its record (with ``error`` if the loss became NaN), and the embedding.
    """
    start = time.perf_counter()
    record = {"setting": setting.name, "parameters": setting.parameters, "seed": seed}
    try:
        model = SysVI(adata, **setting.model, seed=seed)
        model.train(**setting.train, seed=seed, verbose=False)
        if model.interrupted:  # half a run must not be kept
            raise KeyboardInterrupt
        embedding = model.get_latent_representation()
    except NonFiniteError as error:
        return record | {"error": str(error)}, np.empty((0, 0), np.float32)
    history = {
        name: [[int(epoch), float(value)] for epoch, value in frame.iloc[:, 0].items()]
        for name, frame in model.history.items()
    }
    return record | {
        "seconds": time.perf_counter() - start,
        "device": str(model.device),
        "version": __version__,
        "history": history,
    }, embedding
