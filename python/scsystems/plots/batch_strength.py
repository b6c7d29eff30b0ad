"""How strong is the batch effect? Distances between samples, per cell type."""

from __future__ import annotations

import numpy as np

from scsystems.errors import InputError

from .axes import colors, legend_outside, one_axes, plain

KINDS = ("within", "between")


def batch_strength(strength, *, palette=None, ax=None):
    """Draw distances between samples within and between systems, as the paper's Figure 1c.

    Stars mark cell types in which samples lie significantly further apart between systems
    than within (false discovery rate 5%).

    Parameters
    ----------
    strength
        Result of :func:`scsystems.metrics.batch_strength`.
    palette
        Colors of ``within`` and ``between``, by name or in order.
    ax
        Axes to draw on.

    Returns
    -------
    The axes.
    """
    distances = strength.distances
    if distances.empty:
        raise InputError(
            "There are no distances to draw: no cell type has two samples that are large enough. "
            "Give batch_strength() a smaller 'min_cells'."
        )
    names = sorted(distances["label"].unique())
    of_kind = colors(KINDS, palette)
    ax = one_axes(ax, (0.55 * len(names) + 2.4, 3.2))
    rng = np.random.default_rng(0)
    for i, name in enumerate(names):
        for kind, shift in zip(KINDS, (-0.18, 0.18), strict=True):
            rows = distances[(distances["label"] == name) & (distances["kind"] == kind)]
            place = i + shift + rng.uniform(-0.08, 0.08, len(rows))
            ax.scatter(place, rows["distance"], s=12, color=of_kind[kind], alpha=0.7, linewidths=0)
            if len(rows):
                ax.hlines(
                    rows["distance"].median(), i + shift - 0.14, i + shift + 0.14, color="black"
                )
    significant = strength.tests.loc[strength.tests["p_adjusted"] < 0.05, "label"]
    top = distances.groupby("label")["distance"].max()
    for name in significant:
        ax.annotate(
            "*",
            (names.index(name), top[name]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
        )
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set(ylabel="distance between samples", ylim=(0, None))
    legend_outside(ax, of_kind, "systems")
    plain(ax)
    return ax
