"""Measuring and tuning integration for R."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import scsystems as scs
from scsystems.durable.steps import check_writable, full_path
from scsystems.errors import ScsystemsError
from scsystems.r import values
from scsystems.r.envelope import guarded, keyword_arguments
from scsystems.r.interrupts import interrupts_understood, jump_is_interrupt


@guarded
def evaluate(
    adata: Any,
    spaces: Mapping[str, np.ndarray],
    embeddings: Sequence[str],
    arguments: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Metrics of ``embeddings`` among ``spaces`` (cells x dimensions), a tidy table's columns."""
    _embed(adata, spaces)
    arguments = keyword_arguments(scs.metrics.evaluate, arguments)
    return values.frame_to_parts(
        scs.metrics.evaluate(adata, list(embeddings), **arguments, verbose=False)
    )


@guarded
def batch_strength(
    adata: Any, embedding: np.ndarray | None, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdict, and the tables behind it, on how strong the batch effect is."""
    arguments = keyword_arguments(scs.metrics.batch_strength, arguments)
    if embedding is not None:
        _embed(adata, {"X": embedding})
        arguments["embedding"] = "X"
    found = scs.metrics.batch_strength(adata, **arguments)
    tables = {name: getattr(found, name) for name in ("tests", "distances", "asw")}
    return {
        "verdict": found.verdict,
        "substantial": bool(found.substantial),
        **{name: values.frame_to_parts(table) for name, table in tables.items()},
    }


def _embed(adata: Any, embeddings: Mapping[str, np.ndarray]) -> None:
    for name, embedding in embeddings.items():
        adata.obsm[name] = np.array(embedding, dtype=np.float32, order="C")


@guarded
def tune(
    adata: Any,
    setup: Mapping[str, Any],
    grid: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | None,
    arguments: Mapping[str, Any],
    device: str = "auto",
    report: str | None = None,
    callback: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Train and compare settings x seeds; returns tables, the best setting and its embedding."""
    if report is not None:
        # hours before it is written
        check_writable(full_path(report).parent)
    scs.SysVI.setup_anndata(adata, **keyword_arguments(scs.SysVI.setup_anndata, setup))
    arguments = keyword_arguments(scs.tune.grid, {**arguments, "accelerator": device})
    if callback is not None:
        arguments["callback"] = _run_by_run(callback)
    with interrupts_understood():
        result = scs.tune.grid(adata, _settings(grid), **arguments, verbose=False)
    path = None if report is None else _write_report(result, report, adata, arguments)
    best = result.best
    ranking = result.ranking.rename_axis(index="setting").reset_index()
    runs = result.runs.rename_axis(index="run").reset_index()
    # where a run was trained is not part of the setting
    shared = {"plan_kwargs", "accelerator"}
    return {
        "ranking": values.frame_to_parts(ranking),
        "runs": values.frame_to_parts(runs),
        "metrics": values.frame_to_parts(result.table),
        "best": {
            "name": best.name,
            "parameters": {k: v for k, v in best.parameters.items() if k not in shared},
            "model": best.model,
            "train": {k: v for k, v in best.train.items() if k not in shared},
            "plan": best.train.get("plan_kwargs", {}),
        },
        "representative": result.representative,
        "seed": int(result.records[result.representative]["seed"]),
        "embedding": np.asfortranarray(result.embedding(), dtype=np.float64),
        "scored": {"biology": list(result.biology), "batch": list(result.batch)},
        "failed": dict(result.failed),
        "labeled": bool(result.labeled),
        "report": path,
    }


def _write_report(result: Any, path: str, adata: Any, arguments: Mapping[str, Any]) -> str | None:
    """Write the report of a search; its results are not lost where that fails."""
    try:
        return str(result.report(path, adata, arguments.get("label_key")).resolve())
    except (ScsystemsError, OSError) as error:
        warnings.warn(
            f"The report could not be written to {path}: {error} The results are complete without it.",
            UserWarning,
            stacklevel=2,
        )
        return None


def _run_by_run(callback: Callable[[int, int, str], None]) -> Callable[..., None]:
    callback = jump_is_interrupt(callback)

    def report(n_done: int, n_runs: int, record: Mapping[str, Any]) -> None:
        callback(n_done, n_runs, f"{record['setting']}, seed {record['seed']}")

    return report


def _settings(grid: Any) -> Any:
    """R's numbers as Python's own: a value alone is one to try, and whole numbers are ints."""
    if grid is None:
        return None
    if isinstance(grid, Mapping):
        return {name: [_number(v) for v in _several(found)] for name, found in grid.items()}
    return [{name: _number(value) for name, value in setting.items()} for setting in grid]


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
