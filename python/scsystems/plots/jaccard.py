"""Loss of cell types while mixing rises: Jaccard index per cell type against iLISI."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scsystems.data.levels import level_names
from scsystems.errors import InputError

from .axes import colors, group_names, legend_outside, plain, wrapped_axes


def jaccard_by_type(
    table: pd.DataFrame,
    *,
    by: str = "embedding",
    scale: bool = False,
    sizes: pd.DataFrame | None = None,
    n_columns: int = 4,
    palette=None,
    axes=None,
):
    """Draw the Jaccard index of every cell type against iLISI, as the paper's Figure 4.

    A cell type whose index falls while iLISI rises is being merged with another one.

    Parameters
    ----------
    table
        Result of :func:`scsystems.metrics.evaluate` with the metrics ``jaccard`` and
        ``ilisi``, possibly with columns added that describe the embeddings.
    by
        Column of ``table`` to color by, such as the method.
    scale
        Whether to scale the index to 0 .. 1 within every cell type, as the paper does.
    sizes
        Cell types x systems, numbers of cells (``pandas.crosstab``). If given, titles tell the
        number in the more abundant system and the ratio of the less to the more abundant one.
    n_columns
        Panels in a row.
    palette
        Colors by name, or in order.
    axes
        Axes to draw on, one per cell type.

    Returns
    -------
    Dict of cell type -> axes.
    """
    if by not in table:
        raise InputError(f"'table' has no column '{by}'; found {list(table.columns)}.")
    found = set(zip(table["metric"], table["level"], strict=True))
    if not {("jaccard", "group"), ("ilisi", "overall")} <= found:
        raise InputError(
            "'table' lacks the metrics 'jaccard' and 'ilisi'; compute both with evaluate()."
        )
    mixing = table.query("metric == 'ilisi' and level == 'overall'").set_index("embedding")
    rows = table.query("metric == 'jaccard' and level == 'group'").copy()
    rows["ilisi"] = rows["embedding"].map(mixing["value"])
    names = sorted(rows["group"].unique())
    of_name = colors(group_names(rows[by]), palette)
    new_figure = axes is None
    axes = wrapped_axes(axes, len(names), n_columns)
    for ax, name in zip(axes, names, strict=True):
        points = rows[rows["group"] == name]
        values = points["value"].to_numpy(float)
        if scale:
            spread = np.ptp(values)
            values = (values - values.min()) / spread if spread > 0 else np.ones_like(values)
        ax.scatter(
            points["ilisi"], values, c=[of_name[v] for v in level_names(points[by], by)], s=22
        )
        ax.set(title=_title(name, sizes), ylim=(-0.06, 1.06))
        ax.title.set_fontsize("small")
        plain(ax)
    axes[0].set(xlabel="iLISI", ylabel="Jaccard index" + (" (scaled)" if scale else ""))
    if len(of_name) > 1:
        legend_outside(axes[-1], of_name, by, whole=new_figure)
    return dict(zip(names, axes, strict=True))


def _title(name: str, sizes: pd.DataFrame | None) -> str:
    if sizes is None:
        return name
    counts = sizes.rename(index=str).loc[name].sort_values()
    if len(counts) < 2 or counts.iloc[-1] == 0:
        raise InputError(f"'sizes' has no two systems for '{name}'.")
    return f"{name}\n{counts.iloc[-1]} cells, ratio {counts.iloc[0] / counts.iloc[-1]:.2g}"
