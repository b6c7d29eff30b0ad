"""Train settings x seeds of SysVI, evaluate every run, rank the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from tqdm.auto import tqdm

from scsystems import checks
from scsystems.data.matrix import in_memory
from scsystems.data.schema import Schema, Setup
from scsystems.errors import InputError
from scsystems.metrics.evaluate import check_metrics
from scsystems.models.sysvi import presets
from scsystems.models.sysvi.own_cells import OwnCells
from scsystems.train.device import choose_device
from scsystems.words import written

from .result import TuneResult
from .run import Evaluation, Kept, Record, train_one
from .scoring import WEIGHTS
from .settings import Setting, expand
from .store import RunStore, run_id
from .workers import train_together

logger = logging.getLogger(__name__)

DEFAULT_GRID = {"z_distance_cycle_weight": [1.0, 3.0, 5.0, 10.0]}
"""The default cycle weight, 3, and others: the setting that matters most."""
BIOLOGY = ("nmi_fixed", "moran")
"""What the paper scores biology by."""
UNLABELED_BIOLOGY = ("cluster_preservation", "matched_profiles", "moran")
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
    n_jobs: int | None = None,
    part: tuple[int, int] | None = None,
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
        weights 1, 3, 5 and 10.
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
        Runs trained at a time, each in a process of its own, which takes about 0.6 GB besides
        the cells; these are written to a temporary folder once, for all processes to look at.
        Results are those of one run after the other. Default: on the CPU as many as there are
        cores, since a run of minibatches of the usual size keeps a single core busy; on a GPU
        one, for all processes would share it, each with the cells in its memory.
    part
        Train and compare only a part of the runs: ``(2, 8)`` is the second of eight. For several
        machines that share ``folder``; the same call without it then compares all.
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
    WorkerError
        If the processes of ``n_jobs`` cannot be started or fail in an unexpected way. Finished
        runs are in ``folder``, and the same call goes on from there.
    """
    setup = Setup.read(checks.anndata("adata", adata))
    adata = in_memory(adata, setup.layer)
    settings = [
        Setting(train | setting.parameters, setting.name)
        for setting in expand(DEFAULT_GRID if grid is None else grid)
    ]
    seeds = [checks.seed(seed) for seed in ([seeds] if np.ndim(seeds) == 0 else seeds)]
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"'seeds' is {seeds}; expected at least one, and every one different.")
    batch = checks.names("batch", batch)
    biology = None if biology is None else checks.names("biology", biology)
    metrics = None if metrics is None else checks.names("metrics", metrics)
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
                    else UNLABELED_BIOLOGY
                ),
            ]
        )
    )
    evaluation = Evaluation(
        check_metrics(names, label_key),
        label_key,
        batch_key,
        checks.count("smallest label", min_cells, at_least=0),
        checks.count("smallest moran group", moran_min_cells),
        None if max_cells is None else checks.count("max_cells", max_cells),
    )
    n_jobs = choose_jobs(n_jobs, settings)
    data = evaluation.collect(adata)
    # what a run is trained on: changed cells, systems or covariates are other runs
    own = OwnCells.of(adata, Schema.from_anndata(adata, setup))
    measured = evaluation.identity(data)
    store = RunStore(folder, Kept, adata.n_obs)
    plan = {}
    for setting in settings:
        # kept runs of another version may have had other defaults
        preset = presets.defaults(setting.parameters.get("preset", "default"))
        identity = {"data": own.fingerprint, "setting": setting.parameters}
        for seed in seeds:
            run = run_id(identity | {"defaults": preset, "seed": seed})
            plan[run] = (setting, seed)
    plan = _part_of(plan, part)
    done: dict[str, tuple[dict[str, Any], np.ndarray]] = {}
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    kept = {run: found for run in plan if (found := store.read(run)) is not None}
    missing = {run: of for run, of in plan.items() if run not in kept}
    progress = tqdm(total=len(plan), disable=not verbose, desc="runs")
    trained = _train(adata, missing, n_jobs)
    try:
        for run, record, embedding in chain(((run, *kept[run]) for run in kept), trained):
            setting, seed = plan[run]
            if "error" in record:
                failed[f"{setting.name}, seed {seed}"] = record["error"]
                logger.warning("%s, seed %d failed: %s", setting.name, seed, record["error"])
            else:
                if record.get("evaluation") != measured:
                    record = evaluation.measure(run, record, embedding, data, left_out)
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
        trained.close()
        progress.close()
    # several at a time are not finished in the order of the plan
    done = {run: done[run] for run in plan if run in done}
    if not done:
        raise InputError(f"All {len(plan)} runs failed; the first: {next(iter(failed.values()))}")
    wanted = biology or (BIOLOGY if label_key is not None else UNLABELED_BIOLOGY)
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
        labeled=label_key is not None,
        cell_names=own.names,
    )


def _part_of(
    plan: dict[str, tuple[Setting, int]], part: tuple[int, int] | None
) -> dict[str, tuple[Setting, int]]:
    """A part of the runs, such that every setting's seeds are spread over the parts."""
    if part is None:
        return plan
    n = checks.count("parts", part[1])
    i = checks.count("part", part[0])
    if i > n or i > len(plan):
        raise InputError(
            f"{written('part', f'{i}/{n}')} of {len(plan)} runs has none. Expected at most {min(n, len(plan))} parts."
        )
    return dict(list(plan.items())[i - 1 :: n])


def _train(
    adata, runs: dict[str, tuple[Setting, int]], n_jobs: int
) -> Generator[tuple[str, Record, np.ndarray]]:
    """Train runs one after the other, or several at a time."""
    if n_jobs > 1 and len(runs) > 1:
        yield from train_together(adata, runs, min(n_jobs, len(runs)))
        return
    for run, (setting, seed) in runs.items():
        yield run, *train_one(adata, setting, seed)


def choose_jobs(n_jobs: int | None, settings: Sequence[Setting]) -> int:
    """How many runs are trained at a time: on a GPU one, else as many as there are cores."""
    if n_jobs is not None:
        return checks.count("n_jobs", n_jobs)
    places = {
        (s.train.get("accelerator", "auto"), s.train.get("devices", "auto")) for s in settings
    }
    on_cpu = all(choose_device(*place).type == "cpu" for place in places)
    return cpu_count() if on_cpu else 1
