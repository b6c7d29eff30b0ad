"""The paper's scoring: metrics scaled over all runs, 0.6 biology and 0.4 batch correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scsystems.errors import InputError

WEIGHTS = (0.6, 0.4)
"""Weights of biology and of batch correction."""


def score_runs(
    runs: pd.DataFrame,
    biology: Sequence[str] = ("nmi_fixed", "moran"),
    batch: Sequence[str] = ("ilisi",),
    weights: tuple[float, float] = WEIGHTS,
) -> pd.DataFrame:
    """Score runs: ``0.6 * mean(scaled biology) + 0.4 * mean(scaled batch correction)``.

    Every metric is scaled to 0 .. 1 by its smallest and largest value over all runs given, so
    that scores can only be compared within one call. A metric that is the same in all runs
    counts 0.5.

    Parameters
    ----------
    runs
        A row per run, metrics as columns (higher is better).
    biology, batch
        Columns of either kind.
    weights
        Weights of biology and batch correction.

    Returns
    -------
    ``runs`` with ``biology``, ``batch`` and ``overall`` added.

    Raises
    ------
    InputError
        If a column is absent or has missing values.
    """
    biology, batch = list(biology), list(batch)
    if not biology or not batch or runs.empty:
        raise InputError("Scoring needs at least one run, one biology and one batch metric.")
    absent = [name for name in biology + batch if name not in runs]
    if absent:
        raise InputError(f"'runs' lacks the metrics {absent}; found {list(runs.columns)}.")
    values = runs[biology + batch].astype(float)
    incomplete = list(values.columns[values.isna().any()])
    if incomplete:
        raise InputError(
            f"The metrics {incomplete} are missing for some runs; leave them out of the score, or "
            "the runs out of the comparison."
        )
    spread = values.max() - values.min()
    scaled = ((values - values.min()) / spread.replace(0, np.nan)).fillna(0.5)
    result = runs.copy()
    result["biology"] = scaled[biology].mean(axis=1)
    result["batch"] = scaled[batch].mean(axis=1)
    total = sum(weights)
    result["overall"] = (weights[0] * result["biology"] + weights[1] * result["batch"]) / total
    return result


def rank_settings(scored: pd.DataFrame, by: str = "setting") -> pd.DataFrame:
    """Rank settings by their mean overall score over seeds.

    Parameters
    ----------
    scored
        Result of :func:`score_runs`.
    by
        Column that the runs of a setting share.

    Returns
    -------
    A row per setting, best first: ``overall``, its standard deviation ``sd``, ``n_runs``,
    means of the other numbers, and the index label of the ``representative`` run.
    """
    if by not in scored or "overall" not in scored:
        raise InputError(f"'scored' lacks '{by}' or 'overall'; give a result of score_runs().")
    groups = scored.groupby(by, sort=False)
    ranking = groups.mean(numeric_only=True)
    ranking.insert(0, "sd", groups["overall"].std())
    ranking.insert(0, "overall", ranking.pop("overall"))
    ranking.insert(2, "n_runs", groups.size())
    ranking["representative"] = [representative(scored, name, by) for name in ranking.index]
    return ranking.sort_values("overall", ascending=False, kind="stable")


def representative(scored: pd.DataFrame, setting, by: str = "setting"):
    """Index label of the setting's run with the median overall score (of two, the lower)."""
    runs = scored[scored[by] == setting].sort_values("overall", kind="stable")
    if runs.empty:
        raise InputError(f"There is no run of {setting!r}; found {list(scored[by].unique())}.")
    return runs.index[(len(runs) - 1) // 2]
