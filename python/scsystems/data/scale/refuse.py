"""Refuse expression that is not what a method needs, in words: what, in which cells, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...checks import head
from ...errors import InputError, NonFiniteError
from ...words import column, word, written
from .judge import Found, Groups, Judgement, judge
from .kinds import Base

LOG_NAMES: dict[Base, str] = {
    "e": "natural logarithms",
    "2": "logarithms to base 2",
    "10": "logarithms to base 10",
}
EXPECTED_LOGS = "size-factor normalized, log1p-transformed expression"
EXPECTED_COUNTS = "raw counts: whole numbers, none negative"


def check_logs(
    matrix,
    where: str,
    groups: Sequence[Groups] = (),
    names: Sequence[str] | None = None,
    expected: str = EXPECTED_LOGS,
) -> Judgement:
    """Refuse anything but log-normalized expression.

    Parameters
    ----------
    matrix
        Cells x genes.
    where
        What the user calls it, see `scsystems.words.expression`.
    groups
        Columns (system, sample), in every level of which it is judged.
    names
        Names of the cells.
    expected
        What is expected, for the message.
    """
    judged = judge(matrix, groups)
    _check_finite(judged, where, expected, names)
    every = judged.cells
    if every.kind == "logs" and not any(_no_logs(f) for _, found in judged.groups for f in found):
        return judged
    if every.kind == "empty" and not len(judged.rows.n_found):
        return judged
    raise InputError(
        f"{where} {_complaint(judged, _no_logs, names)}. Expected {expected}. {_to_logs(judged)}"
    )


def check_counts(
    matrix,
    where: str,
    groups: Sequence[Groups] = (),
    names: Sequence[str] | None = None,
    fractional: bool | None = None,
) -> Judgement:
    """Refuse anything but counts.

    Parameters
    ----------
    matrix, where, groups, names
        As in `check_logs`.
    fractional
        Whether counts with fractions will do; ``None`` where they cannot be asked for.
    """
    judged = judge(matrix, groups)
    _check_finite(judged, where, EXPECTED_COUNTS, names)

    def wrong(found: Found) -> bool:
        if found.kind in ("counts", "empty"):
            return False
        return not fractional or found.kind == "ones" or found.base is not None

    every = judged.cells
    unfit = ("empty", "logs", "mixed") if fractional else ("empty",)
    bad = wrong(every) or every.kind in unfit
    bad = bad or any(wrong(f) for _, found in judged.groups for f in found)
    if not bad:
        return judged
    raise InputError(
        f"{where} does not hold raw counts: it {_complaint(judged, wrong, names)}{_which(judged, names)}. Expected "
        f"{EXPECTED_COUNTS}. {_to_counts(judged, where, fractional)}"
    )


def _no_logs(found: Found) -> bool:
    """Whether cells surely hold something else than logarithms."""
    if found.kind in ("counts", "ones"):
        return found.n_whole > 0
    return found.kind not in ("logs", "empty")


def _check_finite(
    judged: Judgement, where: str, expected: str, names: Sequence[str] | None
) -> None:
    rows = judged.rows
    if rows.not_finite:
        raise NonFiniteError(
            f"{where} holds NaN or infinite values (first at {_place(rows.not_finite, names)}). Expected "
            f"{expected}. Remove or impute these values; division by a library size of zero is a common cause: "
            "drop empty cells first."
        )
    if rows.negative:
        raise InputError(
            f"{where} holds negative values (smallest {rows.smallest:.3g}, first at {_place(rows.negative, names)}). "
            f"Expected {expected}. Give data before scaling (not scaled values, residuals of a regression, or "
            "Pearson residuals)."
        )


def _place(place: tuple[int, int], names: Sequence[str] | None) -> str:
    cell, gene = place
    named = "" if names is None else f", which is {str(names[cell])!r}"
    return f"cell {cell}, gene {gene}, counting from 0{named}"


def describe(found: Found) -> str:
    """What cells hold, as the end of a sentence that begins with where."""
    largest = f"{found.largest:.4g}"
    logs = "logarithms" if found.base is None else LOG_NAMES[found.base]
    return {
        "counts": f"looks like raw counts (whole numbers up to {largest})",
        "ones": "holds nothing but zeros and ones",
        "logs": f"looks log-transformed ({logs}, up to {largest})",
        "multiples": f"looks like counts times a factor, not log-transformed (values up to {largest})",
        "fractions": f"looks like counts with fractions (values up to {largest}), as ambient-RNA correctors leave them",
        "large": f"has values with fractions up to {largest}, too large for log-transformed expression",
        "mixed": "looks like a mixture of several kinds of values",
        "empty": "holds nothing but zeros",
    }[found.kind]


def _complaint(
    judged: Judgement, wrong: Callable[[Found], bool], names: Sequence[str] | None
) -> str:
    """What was found, and in which cells if not in all."""
    every = judged.cells
    kinds_of = [{f.kind for f in found if wrong(f)} for _, found in judged.groups]
    # a column whose levels are each of one kind says most
    order = sorted(range(len(kinds_of)), key=lambda i: "mixed" in kinds_of[i])
    for i in order:
        group, found = judged.groups[i]
        bad = [level for level, f in enumerate(found) if wrong(f)]
        same = kinds_of[i] == {every.kind} and len(bad) == len(found)
        if not bad or same:
            continue
        parts = []
        for kind in dict.fromkeys(found[level].kind for level in bad):
            these = [level for level in bad if found[level].kind == kind]
            one = max((found[level] for level in these), key=lambda f: f.largest)
            parts.append(f"{describe(one)} in {_cells(group, these)}")
        rest = next((f for f in found if not wrong(f) and f.kind != "empty"), None)
        other = f"; in other cells it {describe(rest)}" if rest else ""
        return f"{' and '.join(parts)}{other}"
    if every.kind == "mixed" and every.n_whole:
        first = _first(judged.rows.surely_whole, names)
        cells = f"{every.n_whole} of {every.n_cells} cells ({first})"
        return f"{describe(every)}: {cells} hold whole numbers, others fractions"
    return describe(every)


def _which(judged: Judgement, names: Sequence[str] | None) -> str:
    """Which cells have fractions, if some only."""
    broken = judged.rows.n_fractions > 0
    n, of = int(broken.sum()), judged.cells.n_cells
    return f" ({n} of {of} cells have fractions; {_first(broken, names)})" if 0 < n < of else ""


def _first(flags: np.ndarray, names: Sequence[str] | None) -> str:
    at = int(np.flatnonzero(flags)[0])
    return f"first: cell {at}, counting from 0" if names is None else f"first: {str(names[at])!r}"


def _cells(group: Groups, codes: list[int]) -> str:
    return f"the cells with {head([group.levels[i] for i in codes])} in {column(group.key)}"


def _to_logs(judged: Judgement) -> str:
    kinds = {f.kind for _, found in judged.groups for f in found} | {judged.cells.kind}
    kinds -= {"logs", "empty"}
    if kinds <= {"multiples", "fractions", "large"}:
        return f"Normalize and log-transform them: {word('normalize')}."
    if kinds == {"ones"}:
        return "Give the counts that these were made from, normalized and log-transformed."
    return (
        f"Prepare the data, all cells alike, with {word('prepare')}, or name what holds log-normalized values with "
        f"{word('layer')}."
    )


def _to_counts(judged: Judgement, where: str, fractional: bool | None) -> str:
    kinds = {f.kind for _, found in judged.groups for f in found} | {judged.cells.kind}
    named = f"Name what holds the counts with {word('layer')}"
    if not kinds & {"fractions", "multiples", "large"} or fractional:
        return f"{named}."
    allowed = (
        ""
        if fractional is None
        else f", or take them as they are with {written('fractional', True)}"
    )
    return (
        f"{named}; or, if these are counts that an ambient-RNA corrector (SoupX, DecontX, CellBender) or an EM "
        f"estimate left with fractions, round them: {word('round').format(where=where)}{allowed}."
    )
