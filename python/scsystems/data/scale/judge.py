"""What a matrix holds, as a whole and in every group of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from ...words import column
from ..levels import coded
from .kinds import LARGEST_DENSE, Base, Kind, Traits, traits, verdict
from .rows import Rows, by_rows, in_memory, scan

# cells of a group that are looked at closely, at most and at least, and values of all groups together
LARGEST_SAMPLE, SMALLEST_SAMPLE, SAMPLED_VALUES = 500, 10, 5_000_000
# so many cells with so many values, all of them whole, do not hold logarithms
FEWEST_WHOLE, FEWEST_VALUES = 5, 20
# part of the cells that may hold whole numbers among logarithms: rounded ones can be whole by chance
FEW_WHOLE = 0.002
# counts above one that a group should have by the other cells, and has none: it was made binary
MISSING_COUNTS = 200


class Groups(NamedTuple):
    """Cells by the levels of a column: its name, a code per cell (-1 for none), the levels."""

    key: str
    codes: np.ndarray
    levels: Sequence[str]


@dataclass(frozen=True)
class Found:
    """What some cells hold.

    Parameters
    ----------
    kind
        ``counts``: whole numbers, some above one; ``ones``: nothing but zeros and ones; ``logs``;
        ``multiples``: counts times a factor; ``fractions``: counts with fractions; ``large``:
        fractions, too large for logarithms; ``mixed``; ``empty``: nothing but zeros.
    base
        Base of the logarithms, where that is certain.
    largest
        The largest value.
    n_cells
        Cells with values.
    n_whole
        Cells that hold whole numbers only, and surely no logarithms.
    """

    kind: Kind
    base: Base | None = None
    largest: float = 0.0
    n_cells: int = 0
    n_whole: int = 0


@dataclass(frozen=True)
class Judgement:
    """What a matrix holds: in all cells, and in every level of every group."""

    rows: Rows
    cells: Found
    groups: tuple[tuple[Groups, tuple[Found, ...]], ...] = ()


def groups_of(obs: pd.DataFrame, keys: Sequence[str]) -> list[Groups]:
    """The groups of those columns that there are."""
    found = [key for key in dict.fromkeys(keys) if key in obs]
    return [Groups(key, *coded(obs[key], column(key))) for key in found]


def judge(matrix, groups: Sequence[Groups] = ()) -> Judgement:
    """Look at all values of a matrix, cells x genes, and closely at a sample of every group.

    Stops at values that are negative, NaN or infinite: of these only the place is told.
    """
    matrix = by_rows(matrix)
    rows = scan(matrix)
    if rows.not_finite or rows.negative:
        return Judgement(rows, Found("empty"))
    everyone = Groups("", np.zeros(len(rows.n_found), np.int64), [""])
    groups = [everyone, *groups]
    at = _sample(rows, groups)
    seen = traits(take(matrix, at)) if len(at) else None
    judged = [(group, _levels(rows, group, at, seen)) for group in groups]
    return Judgement(rows, judged[0][1][0], tuple(judged[1:]))


def take(matrix, at: np.ndarray) -> sparse.csr_matrix:
    """Some rows of a matrix, in ascending order, sparse and without explicit zeros."""
    rows = sparse.csr_matrix(in_memory(by_rows(matrix)[at])).copy()
    rows.eliminate_zeros()
    return rows


def _sample(rows: Rows, groups: Sequence[Groups]) -> np.ndarray:
    """Some of the cells with fractions of every level of every group, drawn alike in every call."""
    order = np.random.default_rng(0).permutation(np.flatnonzero(rows.n_fractions > 0))
    n_levels = sum(len(group.levels) for group in groups)
    budget = SAMPLED_VALUES / max(rows.n_found[order].mean() if len(order) else 0, 1)
    size = np.clip(budget // max(n_levels, 1), SMALLEST_SAMPLE, LARGEST_SAMPLE)
    chosen = []
    for group in groups:
        codes = group.codes[order]
        # the first cells of every level in random order
        rank = pd.Series(codes).groupby(codes).cumcount().to_numpy()
        chosen.append(order[(rank < size) & (codes >= 0)])
    return np.unique(np.concatenate(chosen))


def _levels(rows: Rows, group: Groups, at: np.ndarray, seen: Traits | None) -> tuple[Found, ...]:
    """What the cells of every level hold."""
    n_levels, inside = len(group.levels), group.codes >= 0

    def count(weights: np.ndarray) -> np.ndarray:
        return np.bincount(group.codes[inside], weights[inside], n_levels).astype(np.int64)

    largest = np.zeros(n_levels, np.float32)
    np.maximum.at(largest, group.codes[inside], rows.largest[inside])
    n_cells, n_fractional = count(rows.n_found > 0), count(rows.n_fractions > 0)
    n_found, n_whole = count(rows.n_found), count(rows.surely_whole)
    rate = rows.n_above_one[rows.whole].sum() / max(rows.n_found[rows.whole].sum(), 1)
    found = []
    for level in range(n_levels):
        kind: Kind = "counts"
        base: Base | None = None
        whole = int(n_whole[level])
        if n_fractional[level] and seen is not None:
            kind, base = verdict(seen[group.codes[at] == level])
            if kind == "logs" and base != "2" and whole > FEW_WHOLE * n_cells[level]:
                kind = "mixed"
            elif kind == "logs" and largest[level] > LARGEST_DENSE:
                # a few values that are none, among logarithms
                kind = "large"
        elif not n_cells[level]:
            kind = "empty"
        else:
            if n_cells[level] >= FEWEST_WHOLE and n_found[level] >= FEWEST_VALUES:
                whole = int(n_cells[level])
            # few molecules may all be found once; these are more than few, by the other cells
            if largest[level] <= 1 and (not rate or rate * n_found[level] >= MISSING_COUNTS):
                kind = "ones"
        found.append(Found(kind, base, float(largest[level]), int(n_cells[level]), whole))
    return tuple(found)
