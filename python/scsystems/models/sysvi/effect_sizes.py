"""Bayesian differential expression from paired posterior samples: pure functions on arrays.

Lopez et al. 2018 (which of two values is larger) and Boyeau et al. 2019 (is their difference
larger than a threshold), for values on the natural-log scale ``log(1 + expression)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ...errors import InputError

# keeps log odds finite when all samples agree
ODDS_FLOOR = 1e-8


def log_fold_change(first: np.ndarray, second: np.ndarray, pseudocounts: float = 1.0) -> np.ndarray:
    """Log2 fold change between log-normalized values.

    ``log2((e1 + p) / (e2 + p))`` with linear expression ``e = expm1(value)``, in units of the
    library size that was normalized to, and ``p = pseudocounts``. With ``p = 1`` this is the
    difference of the values in units of ``log(2)``.

    Parameters
    ----------
    first, second
        Values of log(1 + expression), samples x G.
    pseudocounts
        What is added to the linear expression.
    """
    if pseudocounts == 1:
        return (first - second) / np.log(2)
    linear = (np.log2(np.maximum(np.expm1(v), 0) + pseudocounts) for v in (first, second))
    return next(linear) - next(linear)


def probability_larger(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """The ``vanilla`` mode: how often the first of two paired samples is larger, per gene.

    Returns
    -------
    ``proba_m1`` (first larger), ``proba_m2``, ``bayes_factor`` (natural log odds).
    """
    larger = (first > second).mean(0)
    return {"proba_m1": larger, "proba_m2": 1 - larger, "bayes_factor": log_odds(larger)}


def probability_changed(
    change: np.ndarray,
    delta: float | None,
    test_mode: Literal["two", "three"] = "three",
    domain: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray | float]:
    """The ``change`` mode: how often the effect size is beyond a threshold, per gene.

    Parameters
    ----------
    change
        Effect sizes, samples x G.
    delta
        Smallest effect of interest; ``None`` estimates it from the effects of all genes.
    test_mode
        ``"three"``: up and down are separate hypotheses, the more probable counts; ``"two"``:
        any change counts.
    domain
        Own rule: effect sizes -> flags of increase and of decrease.
    seed
        Seed of the estimate of ``delta``.

    Returns
    -------
    ``proba_de``, ``proba_not_de``, ``bayes_factor`` (natural log odds), ``delta``.
    """
    if test_mode not in ("two", "three"):
        raise InputError(f"test_mode={test_mode!r}. Expected 'two' or 'three'.")
    if delta is None:
        delta = estimate_delta(change.mean(0), seed)
    up, down = (change >= delta, change < -delta) if domain is None else domain(change)
    up, down = np.mean(up, 0), np.mean(down, 0)
    probability = up + down if test_mode == "two" else np.maximum(up, down)
    return {
        "proba_de": probability,
        "proba_not_de": 1 - probability,
        "bayes_factor": log_odds(probability),
        "delta": delta,
    }


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Natural log odds, finite at 0 and 1."""
    return np.log(probability + ODDS_FLOOR) - np.log(1 - probability + ODDS_FLOOR)


def describe(samples: np.ndarray, levels: Sequence[float] = ()) -> dict[str, np.ndarray]:
    """Mean, median, standard deviation, extremes and credible intervals of samples x G."""
    described = {
        "mean": samples.mean(0),
        "median": np.median(samples, 0),
        "std": samples.std(0),
        "min": samples.min(0),
        "max": samples.max(0),
    }
    for level in levels:
        low, high = credible_interval(samples, level)
        described[f"confidence_interval_{str(level)[:5]}_min"] = low
        described[f"confidence_interval_{str(level)[:5]}_max"] = high
    return described


def credible_interval(samples: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The shortest interval that holds a fraction ``level`` of the samples, per column."""
    if not 0 < level < 1:
        raise InputError(f"cred_interval_lvls holds {level!r}. Expected fractions between 0 and 1.")
    ordered = np.sort(samples, 0)
    inside = int(np.floor(level * len(ordered)))
    if inside >= len(ordered):
        raise InputError(f"{len(ordered)} samples are too few for an interval of level {level}.")
    start = (ordered[inside:] - ordered[: len(ordered) - inside]).argmin(0)
    columns = np.arange(samples.shape[1])
    return ordered[start, columns], ordered[start + inside, columns]


def estimate_delta(mean_change: np.ndarray, seed: int = 0, smallest: float = 0.1) -> float:
    """Threshold between small and large effects, from three Gaussian groups of genes' mean effects.

    0.6 of the mean distance of the outer groups from zero, at least ``smallest``.
    """
    from sklearn.mixture import GaussianMixture

    if len(mean_change) < 3:
        raise InputError(
            f"delta needs at least 3 genes to be estimated from, found {len(mean_change)}. Give delta."
        )
    groups = GaussianMixture(3, random_state=seed).fit(mean_change[:, None]).means_.ravel()
    return max(smallest, 0.6 * float(np.abs([groups.min(), groups.max()]).mean()))


def is_de(probability: np.ndarray, fdr: float) -> np.ndarray:
    """Genes called differential such that the expected fraction of false calls is at most ``fdr``."""
    order = np.argsort(-np.asarray(probability), kind="stable")
    expected_fdr = np.cumsum(1 - probability[order]) / np.arange(1, len(order) + 1)
    called = np.zeros(len(order), dtype=bool)
    called[order[: int((expected_fdr <= fdr).sum())]] = True
    return called


def expression_statistics(x, first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """What the input says of two groups of cells, G rows.

    ``raw_mean1/2``: mean of the log-normalized input; ``non_zeros_proportion1/2``: fraction of
    cells in which the gene is detected; ``raw_normalized_mean1/2``: mean of linear expression,
    ``expm1`` of the input.

    Parameters
    ----------
    x
        n x G log-normalized expression, dense or sparse.
    first, second
        Indices of the cells.
    """
    columns = {}
    for name, function in (
        ("raw_mean", lambda part: part.mean(0)),
        ("non_zeros_proportion", lambda part: (part != 0).mean(0)),
        ("raw_normalized_mean", lambda part: np.expm1(part).mean(0)),
    ):
        for number, cells in (("1", first), ("2", second)):
            columns[name + number] = np.asarray(function(x[cells])).ravel()
    return pd.DataFrame(columns)
