"""A metric's value together with the parts it was averaged from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Score(float):
    """A number that remembers how it was averaged, and its value for every group of cells.

    Pooled values hide the loss of rare cell types, so metrics give both averages where they
    differ. As a number it is the average that the literature reports.

    Attributes
    ----------
    micro
        Average over cells (NaN where a metric has none): large types dominate.
    macro
        Average over groups: every cell type counts the same.
    groups
        Value of every group, NaN where it cannot be computed.
    """

    micro: float
    macro: float
    groups: dict[str, float]

    def __new__(
        cls,
        value: float,
        *,
        micro: float = np.nan,
        macro: float = np.nan,
        groups: Mapping[str, float] | None = None,
    ):
        """Make a score from its reported value and its parts."""
        score = super().__new__(cls, value)
        score.micro, score.macro = float(micro), float(macro)
        score.groups = {name: float(part) for name, part in (groups or {}).items()}
        return score


def mean(values) -> float:
    """Mean of the values that are not NaN; NaN if there are none (without a warning)."""
    values = np.asarray(list(values), dtype=float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def weighted_mean(groups: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    """Mean over groups weighted by their numbers of cells, leaving out NaN."""
    known = {name: value for name, value in groups.items() if not np.isnan(value)}
    total = sum(sizes[name] for name in known)
    return sum(value * sizes[name] for name, value in known.items()) / total if total else np.nan
