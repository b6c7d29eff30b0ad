"""Tell logarithms from counts that have fractions, by the values of a sample of cells.

Signs, in this order:

*Logarithms of whole numbers.* Counts whose logarithms were taken without normalizing.

*Whole numbers among fractions* in most cells: counts that an EM estimate or an ambient-RNA corrector
changed here and there.

*Whole ratios.* Counts times a factor of the cell (its target sum over its total) are whole multiples
of the cell's smallest value; so are the values of log-normalized cells once the right logarithm is
undone. Where that holds in most cells, kind and base are certain. In nine sets of cells (UMI and
full-length; log1p, log2, log10; totals of 10^3 to 10^6) it held in all cells under the right
hypothesis and in none under a wrong one.

*Size.* A logarithm of normalized counts stays below 25 (2^25 is 3 * 10^7), and what it undoes to adds
up to the target sum or, over chosen genes, to a part of it, much the same in all cells. Of counts
taken for logarithms these sums differ by up to e^700.

*Fractions near whole numbers* in most cells: ambient-RNA correctors leave many counts a little below.

What shows none of these is taken for logarithms: smoothed, imputed or rounded ones, for example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

Base = Literal["e", "2", "10"]
Kind = Literal["empty", "ones", "counts", "logs", "multiples", "fractions", "large", "mixed"]

LOGS: dict[Base, float] = {"e": 1.0, "2": float(np.log(2)), "10": float(np.log(10))}
# what values may be: counts times a factor, or logarithms of these
HYPOTHESES: tuple[Literal["multiples"] | Base, ...] = ("multiples", *LOGS)

# ratios to the smallest value that tell something; ones are whole under every hypothesis
RATIOS = 1.2, 100.5
# so many of them make a cell's vote, by chance of one cell in 100,000; so many votes are heard
FEWEST_RATIOS, FEWEST_VOTES = 8, 3
# cells with fewer ratios, three or more, are heard where so many of them say the same: most of them
FEW_RATIOS, FEWEST_FAINT = 3, 10
# mean distance of the ratios from whole numbers: 0.25 by chance, about 10^-5 in single precision,
# 0.01 in half precision
CLOSE, CLOSER = 0.03, 0.5
# a second opinion held by more than this part of the cells makes a mixture
MINORITY = 0.05
# no logarithm of a common base and total is larger; without zeros values may be anything dense
# (expression that was smoothed or simulated), and only absurd ones are refused
LARGEST_LOG, LARGEST_DENSE = 25.0, 200.0
# spread of the sums over cells, log scale, that logarithms do not have: this wide, and so many times
# as wide as of the values as they are (none of 5036 groups of 20 or more cells and 40 to 300 genes had it)
SPREADS = (4.0, 7.5), (8.0, 4.0)
# part of a cell's values that are whole, and that are whole or up to a fifth below (by chance a
# fifth), in all but a fifth of the cells; of all values
WHOLE, BELOW, MOST_BELOW = 0.1, 0.3, 0.45
# cells that tell of whole numbers, and of the other two: a few log-normalized cells may be alike
FEWEST_CELLS, MANY_CELLS = 10, 30
# values that a cell needs to tell
FEWEST_VALUES = 10
# part of the fractions that are logarithms of whole numbers (to single precision, below 1000), and
# how many of them tell
WHOLE_LOGS, FEWEST_FRACTIONS, WHOLE_WITHIN = 0.98, 20, 2e-3


class Verdict(NamedTuple):
    """What cells hold, and the base of their logarithms where that is certain."""

    kind: Kind
    base: Base | None = None


@dataclass(frozen=True)
class Traits:
    """Signs of s cells, each with at least one value.

    Parameters
    ----------
    opinion
        Position in `HYPOTHESES` of the one under which ratios are whole; -1 for none, -2 where
        there are too few of them.
    faint
        The same, also of cells with few ratios.
    n_values, n_whole, n_below
        Values, whole ones among them, and those that are whole or up to a fifth below.
    n_undone, n_whole_logs
        By base (3 x s): values with fractions that undo to less than 1000, and how many of these
        undo to whole numbers.
    largest
        Largest value.
    log_sum, log_exp_sum
        Logarithm of the sum of the values, and of the sum of ``exp(value) - 1``.
    width
        Number of genes.
    """

    opinion: np.ndarray
    faint: np.ndarray
    n_values: np.ndarray
    n_whole: np.ndarray
    n_below: np.ndarray
    n_undone: np.ndarray
    n_whole_logs: np.ndarray
    largest: np.ndarray
    log_sum: np.ndarray
    log_exp_sum: np.ndarray
    width: int

    def __getitem__(self, at: np.ndarray) -> Traits:
        """Some of the cells."""
        arrays = {k: v[..., at] for k, v in vars(self).items() if k != "width"}
        return Traits(**arrays, width=self.width)

    @property
    def dense(self) -> bool:
        """Whether there are no zeros at all."""
        return bool((self.n_values == self.width).all())


def undo_log(values: np.ndarray, base: Base | None) -> np.ndarray:
    """What was normalized, from ``log(1 + what was normalized)``; natural logarithms unless known."""
    # larger values are no logarithms; they must not overflow
    return np.expm1(np.minimum(values.astype(np.float64) * LOGS[base or "e"], 700.0))


def traits(cells: sparse.csr_matrix) -> Traits:
    """Signs of the cells of a sample, every row of which has a value, and no explicit zero."""
    values, starts = cells.data.astype(np.float64), cells.indptr[:-1]
    size = np.diff(cells.indptr)
    row = np.repeat(np.arange(len(size)), size)
    largest = np.maximum.reduceat(values, starts)
    exp_sum = largest + np.log(np.add.reduceat(np.exp(values - largest[row]), starts))
    below = np.ceil(values) - values
    undone = np.stack([undo_log(values, base) for base in LOGS])
    small = (undone < 1000) & (below > 0)
    whole_logs = small & (np.abs(undone - np.rint(undone)) < WHOLE_WITHIN)
    opinion, faint = _opinions(values, starts, row)
    return Traits(
        opinion=opinion,
        faint=faint,
        n_values=size,
        n_whole=np.add.reduceat((below == 0).astype(np.int64), starts),
        n_below=np.add.reduceat((below <= 0.2).astype(np.int64), starts),
        n_undone=np.add.reduceat(small.astype(np.int64), starts, axis=1),
        n_whole_logs=np.add.reduceat(whole_logs.astype(np.int64), starts, axis=1),
        largest=largest,
        log_sum=np.log(np.add.reduceat(values, starts)),
        log_exp_sum=exp_sum + np.log1p(-np.minimum(size * np.exp(-exp_sum), 1 - 1e-12)),
        width=cells.shape[1],
    )


def _opinions(
    values: np.ndarray, starts: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For every cell the hypothesis under which its values have whole ratios; of many, and of some."""
    n, distances, fewest = len(starts), [], np.full(len(starts), FEWEST_RATIOS)
    for hypothesis in HYPOTHESES:
        linear = values if hypothesis == "multiples" else undo_log(values, hypothesis)
        ratio = linear / np.minimum.reduceat(linear, starts)[row]
        tells = (ratio > RATIOS[0]) & (ratio < RATIOS[1])
        distance = np.abs(ratio - np.rint(ratio))
        count = np.bincount(row[tells], minlength=n)
        fewest = np.minimum(fewest, count)
        total = np.bincount(row[tells], distance[tells], minlength=n)
        distances.append(total / np.maximum(count, 1))
    ordered = np.sort(distances, axis=0)
    certain = (ordered[0] < CLOSE) & (ordered[0] < CLOSER * ordered[1])
    said = np.where(certain, np.argmin(distances, axis=0), -1)
    return np.where(fewest >= FEWEST_RATIOS, said, -2), np.where(fewest >= FEW_RATIOS, said, -2)


def verdict(cells: Traits) -> Verdict:
    """What cells with fractions hold: ``logs``, ``multiples``, ``fractions``, ``large`` or ``mixed``."""
    undone, whole = cells.n_undone.sum(axis=1), cells.n_whole_logs.sum(axis=1)
    for base, n, n_whole in zip(LOGS, undone, whole, strict=True):
        if n >= FEWEST_FRACTIONS and n_whole >= WHOLE_LOGS * n:
            return Verdict("logs", base)
    telling = cells[cells.n_values >= FEWEST_VALUES]
    n_telling = len(telling.n_values)
    if n_telling >= FEWEST_CELLS and np.quantile(telling.n_whole / telling.n_values, 0.2) >= WHOLE:
        return Verdict("fractions")
    said = np.bincount(cells.opinion[cells.opinion >= 0], minlength=len(HYPOTHESES))
    if said.sum() >= max(FEWEST_VOTES, 0.5 * (cells.opinion > -2).sum()):
        first, second = np.argsort(said)[::-1][:2]
        if said[second] >= max(FEWEST_VOTES, MINORITY * said.sum()):
            return Verdict("mixed")
        return _by_ratios(first)
    faint = np.bincount(cells.faint[cells.faint >= 0], minlength=len(HYPOTHESES))
    if faint.max() >= max(FEWEST_FAINT, 0.5 * (cells.faint > -2).sum()):
        return _by_ratios(int(np.argmax(faint)))
    if cells.largest.max() > (LARGEST_DENSE if cells.dense else LARGEST_LOG):
        return Verdict("large")
    if not cells.dense:
        if len(cells.largest) >= MANY_CELLS and _wide(cells):
            return Verdict("fractions")
        if n_telling >= MANY_CELLS and _below(telling):
            return Verdict("fractions")
    return Verdict("logs")


def _by_ratios(position: int) -> Verdict:
    """What cells hold that have whole ratios under a hypothesis."""
    found = HYPOTHESES[position]
    return Verdict("multiples") if found == "multiples" else Verdict("logs", found)


def _wide(cells: Traits) -> bool:
    """Whether sums differ between cells by more than those of logarithms."""
    undone, plain = (
        np.ptp(np.quantile(sums, [0.05, 0.95])) for sums in (cells.log_exp_sum, cells.log_sum)
    )
    return any(undone > wide and undone > times * plain for wide, times in SPREADS)


def _below(cells: Traits) -> bool:
    """Whether values lie at or a little below whole numbers.

    In most cells, because all small values of a log-normalized cell may happen to lie there.
    """
    most = np.quantile(cells.n_below / cells.n_values, 0.2) >= BELOW
    return bool(most and cells.n_below.sum() >= MOST_BELOW * cells.n_values.sum())
