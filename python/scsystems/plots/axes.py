"""What all figures share: axes, colors, legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from scsystems.data.levels import coded
from scsystems.errors import InputError, require_extra

MISSING = "#d0d0d0"
"""Color of cells without a group."""


def pyplot():
    """Import ``matplotlib.pyplot``, or say which extra installs it."""
    return require_extra("matplotlib.pyplot", "plots")


def one_axes(ax, figsize=(4.2, 3.4)):
    """Return the axes given, or new ones."""
    if ax is not None:
        return ax
    return pyplot().subplots(figsize=figsize, layout="constrained")[1]


def grid_of_axes(axes, n_rows: int, n_columns: int, figsize, **options) -> np.ndarray:
    """Return the axes given as an array of rows x columns, or a new figure's."""
    if axes is None:
        return pyplot().subplots(
            n_rows, n_columns, figsize=figsize, squeeze=False, layout="constrained", **options
        )[1]
    axes = np.asarray(axes, dtype=object)
    if axes.size != n_rows * n_columns:
        raise InputError(
            f"'axes' has {axes.size} axes; expected {n_rows * n_columns} "
            f"({n_rows} rows x {n_columns} columns)."
        )
    return axes.reshape(n_rows, n_columns)


def wrapped_axes(axes, n_panels: int, n_columns: int, panel=(2.6, 2.4)) -> list:
    """Return ``n_panels`` axes: those given, or a new figure's, in rows of ``n_columns``."""
    if axes is not None:
        return list(grid_of_axes(axes, 1, n_panels, None)[0])
    n_columns = min(n_columns, n_panels)
    n_rows = -(-n_panels // n_columns)
    grid = grid_of_axes(None, n_rows, n_columns, (panel[0] * n_columns, panel[1] * n_rows))
    for ax in grid.flat[n_panels:]:
        ax.set_axis_off()
    return list(grid.flat[:n_panels])


def colors(
    names: Sequence[str], palette: Mapping[str, str] | Sequence[str] | None = None
) -> dict[str, object]:
    """Color of every name.

    Parameters
    ----------
    names
        Names of groups, in the order of the colors.
    palette
        Colors by name, or in order; default: matplotlib's ``tab10`` or ``tab20``, and evenly
        spaced hues for more than 20 names.
    """
    names = list(names)
    if isinstance(palette, Mapping):
        absent = [name for name in names if name not in palette]
        if absent:
            raise InputError(f"'palette' has no color for {absent}; found {list(palette)}.")
        return {name: palette[name] for name in names}
    if palette is None:
        pyplot()
        from matplotlib import colormaps

        if len(names) <= 20:
            palette = cast(Any, colormaps["tab10" if len(names) <= 10 else "tab20"]).colors
        else:
            palette = colormaps["hsv"](np.linspace(0, 1, len(names), endpoint=False))
    if len(palette) < len(names):
        raise InputError(f"'palette' has {len(palette)} colors; expected {len(names)}.")
    return dict(zip(names, palette, strict=False))


def group_names(values) -> list[str]:
    """Names of groups in their categories' order, or sorted; missing values left out."""
    return coded(values, "The column")[1]


def legend_outside(ax, names: Mapping[str, Any], title: str | None = None, whole=False) -> None:
    """Draw a legend of dots to the right of the axes (or the whole figure), 15 names a column."""
    from matplotlib.lines import Line2D

    dots = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=color, label=name)
        for name, color in names.items()
    ]
    style: dict[str, Any] = {"handles": dots, "title": title, "frameon": False, "fontsize": "small"}
    style["ncols"] = -(-len(dots) // 15)
    if whole:
        ax.figure.legend(loc="outside right center", **style)
    else:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), **style)


def plain(ax) -> None:
    """Remove the upper and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)
