"""Mixing against biology: scatter of runs, and strips of runs per metric."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scsystems.data.levels import level_names
from scsystems.errors import InputError

from .axes import colors, grid_of_axes, group_names, legend_outside, one_axes, plain


def tradeoff(
    runs: pd.DataFrame,
    x: str = "ilisi",
    y: str = "nmi_fixed",
    *,
    by: str | None = None,
    color: str | None = None,
    palette=None,
    legend: bool = True,
    ax=None,
):
    """Draw batch correction against biological preservation, as the paper's Figure 3.

    Small dots are runs, crosses the mean of a setting's runs.

    Parameters
    ----------
    runs
        A row per run with metrics as columns, for example
        ``scsystems.metrics.summarize(table)`` or ``TuneResult.runs``.
    x, y
        Columns of ``runs``.
    by
        Column that runs of one setting share (default: every row is a setting of its own).
    color
        Column to color by (default: ``by``, or the index): categories get a color each,
        numbers a scale.
    palette
        Colors by name, or in order; or the name of a color map for numbers.
    legend
        Whether to draw the legend or color bar.
    ax
        Axes to draw on.

    Returns
    -------
    The axes.
    """
    frame = _with_index(runs)
    by = by or frame.columns[0]
    color = color or by
    _require(frame, [x, y, by, color])
    ax = one_axes(ax)
    means = frame.groupby(by, sort=False, observed=True)[[x, y]].mean()
    shade_of = frame.groupby(by, sort=False, observed=True)[color].first()
    if pd.api.types.is_numeric_dtype(frame[color]):
        limits = {"vmin": frame[color].min(), "vmax": frame[color].max(), "cmap": palette}
        points = ax.scatter(frame[x], frame[y], c=frame[color], s=16, alpha=0.7, **limits)
        ax.scatter(means[x], means[y], c=shade_of, s=90, marker="x", **limits)
        if legend:
            ax.figure.colorbar(points, ax=ax, label=color)
    else:
        of_name = colors(group_names(frame[color]), palette)
        dots = [of_name[name] for name in level_names(frame[color], color)]
        ax.scatter(frame[x], frame[y], c=dots, s=16, alpha=0.7, linewidths=0)
        crosses = [of_name[name] for name in level_names(shade_of, color)]
        ax.scatter(means[x], means[y], c=crosses, s=90, marker="x")
        if legend:
            legend_outside(ax, of_name, color)
    ax.set(xlabel=f"{x} (mixing of systems)", ylabel=f"{y} (biology)")
    plain(ax)
    return ax


def metric_strips(
    runs: pd.DataFrame,
    metrics: Sequence[str],
    *,
    by: str | None = None,
    palette=None,
    axes=None,
):
    """Draw every metric's runs as dots and their mean as a line, as the paper's Figure 5a.

    Parameters
    ----------
    runs
        A row per run with metrics as columns.
    metrics
        Columns of ``runs``, one panel each.
    by
        Column with the model or setting, a row of dots each (default: the index).
    palette
        Colors by name, or in order.
    axes
        Axes to draw on, one per metric.

    Returns
    -------
    Array of axes.
    """
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    if not metrics:
        raise InputError("'metrics' is empty; expected columns of 'runs'.")
    frame = _with_index(runs)
    by = by or frame.columns[0]
    _require(frame, [*metrics, by])
    groups = level_names(frame[by], by)
    names = list(dict.fromkeys(groups))
    of_name = colors(names, palette)
    figsize = (1.9 * len(metrics) + 0.09 * max(map(len, names)), 0.32 * len(names) + 0.9)
    axes = grid_of_axes(axes, 1, len(metrics), figsize, sharey=True)[0]
    for ax, metric in zip(axes, metrics, strict=True):
        for row, name in enumerate(names):
            values = frame.loc[groups == name, metric].dropna()
            ax.scatter(values, [row] * len(values), color=of_name[name], s=18, alpha=0.8)
            if len(values):
                ax.vlines(values.mean(), row - 0.3, row + 0.3, color=of_name[name], linewidth=2)
        ax.set(title=metric, ylim=(len(names) - 0.5, -0.5))
        ax.grid(axis="x", alpha=0.3)
        plain(ax)
    axes[0].set_yticks(range(len(names)), names)
    return axes


def _with_index(runs: pd.DataFrame) -> pd.DataFrame:
    name = runs.index.name or "run"
    if name in runs.columns:
        return runs[[name, *[c for c in runs.columns if c != name]]]
    frame = runs.rename_axis(index=name).reset_index()
    # a plain row number is a category here: it names a run
    return frame.assign(**{name: frame[name].astype(str)})


def _require(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [column for column in dict.fromkeys(columns) if column not in frame]
    if absent:
        raise InputError(f"'runs' has no columns {absent}; found {list(frame.columns)}.")
