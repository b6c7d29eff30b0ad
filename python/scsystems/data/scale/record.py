"""The scale of a model's data, kept with the model; other cells are compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...checks import head
from ...words import column
from .judge import Judgement, take
from .kinds import LOGS, Base, undo_log
from .refuse import LOG_NAMES

# key of uns where scsystems.pp.prepare() says how it normalized
PREPARATION = "preparation"

# cells of a system that are looked at
SAMPLE = 500
# sums over all genes that differ by less are all the target sum
CONSTANT = 0.02
# known target sums that differ by more are different ones
OTHER_TARGET = 1.5
# sums over chosen genes that exceed the known target sum by more cannot come of it
ABOVE_TARGET = 2.0
# over chosen genes medians differ by 6 at most between tissues and species (pancreas, breast, gut, cell
# lines; 1000 variable genes of one of them), by 3.7 between donors, and by 100 between totals of 10^4 and 10^6
OTHER_MEDIAN, BEYOND_RANGE = 8.0, 4.0
# with fewer cells of a system nothing is said of its medians
FEWEST_CELLS = 20


@dataclass(frozen=True)
class Sums:
    """Per-cell sums of a system's expression, logarithm undone: quantiles of 5%, 50% and 95%, and of how many cells."""

    low: float
    median: float
    high: float
    n_cells: int

    @property
    def constant(self) -> float | None:
        """The one value of all cells, if there is one: the target sum, seen over all genes."""
        constant = self.n_cells >= FEWEST_CELLS and 0 < self.high <= self.low * (1 + CONSTANT)
        return self.median if constant else None


@dataclass(frozen=True)
class Scale:
    """How a model's expression was normalized and transformed, as far as it is known.

    Parameters
    ----------
    base
        Base of the logarithm.
    target_sum
        Total per cell before the logarithm, of all genes that it was normalized over.
    sums
        For each system the sums over the model's genes; none if unknown.
    """

    base: Base | None = None
    target_sum: float | None = None
    sums: tuple[Sums | None, ...] = ()

    def __str__(self) -> str:
        logs = "logarithms" if self.base is None else LOG_NAMES[self.base]
        total = "" if self.target_sum is None else f" to a total of {self.target_sum:,.6g} per cell"
        return f"{logs} of expression normalized{total}"

    def is_consistent(self, n_systems: int) -> bool:
        """Whether it can be of so many systems; files may say anything."""
        sums = [s for s in self.sums if s is not None]
        return (
            len(self.sums) in (0, n_systems)
            and (self.target_sum is None or self.target_sum > 0)
            and all(0 < s.low <= s.median <= s.high for s in sums)
        )


# of models that were saved before scales were recorded
UNKNOWN = Scale()


def measure(
    matrix, base: Base | None, codes: np.ndarray, n_levels: int, notes: Mapping[str, Any] | None
) -> Scale:
    """The scale of log-normalized expression.

    Parameters
    ----------
    matrix
        Cells x genes.
    base
        Base of its logarithms, if the values say so.
    codes
        The cells' systems.
    n_levels
        Number of systems.
    notes
        ``adata.uns`` if the matrix is what the notes there are about.
    """
    if base is None:
        # over all genes the sums are constant under the right base only
        every = np.zeros(len(codes), np.int64)
        for candidate in LOGS:
            if (found := sums_of(matrix, candidate, every, 1)[0]) and found.constant:
                base = candidate
                break
    sums = sums_of(matrix, base, codes, n_levels)
    totals = [s.constant for s in sums if s is not None and s.constant is not None]
    target = None
    if totals and len(totals) == len(sums) and max(totals) <= min(totals) * (1 + CONSTANT):
        target = _digits(float(np.mean(totals)))
    noted = noted_target(notes)
    if noted and base in (None, "e") and all(s is None or s.high <= noted * 1.05 for s in sums):
        base, target = "e", noted
    return Scale(base, target, sums)


def sums_of(matrix, base: Base | None, codes: np.ndarray, n_levels: int) -> tuple[Sums | None, ...]:
    """The sums of a sample of every system's cells; ``None`` for a system without cells."""
    rng = np.random.default_rng(0)
    found: list[Sums | None] = []
    for level in range(n_levels):
        at = np.flatnonzero(codes == level)
        if len(at) > SAMPLE:
            at = np.sort(rng.choice(at, SAMPLE, replace=False))
        cells = take(matrix, at)
        cells.data = undo_log(cells.data, base)
        sums = np.asarray(cells.sum(axis=1)).ravel()
        sums = sums[sums > 0]
        if not len(sums):
            found.append(None)
            continue
        low, median, high = (_digits(q) for q in np.quantile(sums, [0.05, 0.5, 0.95]))
        found.append(Sums(low, median, high, len(sums)))
    return tuple(found)


def differences(model: Scale, query: Scale, complete: bool = True) -> list[str]:
    """In what a query's scale differs from a model's, in words.

    Parameters
    ----------
    model, query
        Their scales. ``query.target_sum`` may be known of genes that the model does not have.
    complete
        Whether the query has all genes of the model; without some its sums are smaller.
    """
    if model.base and query.base and model.base != query.base:
        return [f"{LOG_NAMES[query.base]} instead of {LOG_NAMES[model.base]}"]
    factors = [
        factor
        for mine, theirs in zip(model.sums, query.sums, strict=False)
        if mine and theirs and (factor := _factor(model, query, mine, theirs, complete))
    ]
    if not factors and model.target_sum and query.target_sum and not any(query.sums):
        # systems unknown
        factor = query.target_sum / model.target_sum
        factors = [] if _near(factor, OTHER_TARGET) else [factor]
    if not factors:
        return []
    factor = float(np.exp(np.median(np.log(factors))))
    if (
        model.target_sum
        and query.target_sum
        and not _near(query.target_sum / model.target_sum, OTHER_TARGET)
    ):
        return [
            f"normalized to a total of {query.target_sum:,.6g} per cell instead of {model.target_sum:,.6g}"
        ]
    much = f"{factor:.3g} times as large" if factor > 1 else f"{1 / factor:.3g} times smaller"
    return [f"totals per cell that are {much} (logarithm undone)"]


def _factor(model: Scale, query: Scale, mine: Sums, theirs: Sums, complete: bool) -> float | None:
    """How many times the query's totals are the model's, where that is more than chance and biology."""
    if min(mine.n_cells, theirs.n_cells) < FEWEST_CELLS:
        return None
    ratio = theirs.median / mine.median
    if mine.constant and theirs.constant:
        return None if _near(ratio, OTHER_TARGET) else ratio
    if (mine.constant or theirs.constant) and complete:
        # one was normalized over the model's genes, the other over more
        return None if _near(ratio, ABOVE_TARGET) else ratio
    if model.target_sum and query.target_sum and not theirs.constant:
        ratio = query.target_sum / model.target_sum
        return None if _near(ratio, OTHER_TARGET) else ratio
    if model.target_sum and theirs.high > ABOVE_TARGET * model.target_sum:
        return ratio
    return ratio if far_apart(mine, theirs) and (complete or ratio > 1) else None


def far_apart(one: Sums, other: Sums) -> bool:
    """Whether sums differ by more than tissues do."""
    return not _near(other.median / one.median, OTHER_MEDIAN) and (
        other.median > one.high * BEYOND_RANGE or other.median < one.low / BEYOND_RANGE
    )


def disagreements(judged: Judgement, scale: Scale) -> list[str]:
    """In what groups of cells of one data set are on different scales, in words."""
    for group, found in judged.groups:
        by_base: dict[Base, list[str]] = {}
        for level, f in zip(group.levels, found, strict=True):
            if f.base:
                by_base.setdefault(f.base, []).append(level)
        if len(by_base) > 1:
            parts = [f"{LOG_NAMES[base]} ({head(levels)})" for base, levels in by_base.items()]
            return [f"{column(group.key)} has cells with {' and cells with '.join(parts)}"]
    sums = [s for s in scale.sums if s and s.n_cells >= FEWEST_CELLS]
    pairs = [(a, b) for a in sums for b in sums if b.median > a.median]
    apart = [b.median / a.median for a, b in pairs if far_apart(a, b) and far_apart(b, a)]
    if apart:
        return [f"totals per cell differ {max(apart):.3g} times between systems (logarithm undone)"]
    return []


def noted_target(notes: Mapping[str, Any] | None) -> float | None:
    """The target sum that `scsystems.pp.prepare` noted, if it was a number."""
    try:
        target = float((notes or {})[PREPARATION]["settings"]["target_sum"])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return target if np.isfinite(target) and target > 0 else None


def _near(ratio: float, factor: float) -> bool:
    return 1 / factor <= ratio <= factor


def _digits(value: float) -> float:
    """A value to six digits, for files that people read."""
    return float(f"{float(value):.6g}")
