"""The genes that matter most for where the cells of a type lie."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scsystems.errors import InputError

from .axes import plain, wrapped_axes


def relevant_genes(
    relevance: pd.DataFrame,
    cell_types: Sequence[str] | None = None,
    *,
    n_genes: int = 10,
    n_columns: int = 5,
    color="#33658a",
    axes=None,
):
    """Draw bars of the most relevant genes of every type, by absolute relevance.

    Parameters
    ----------
    relevance
        What ``ScSpecies.relevance`` returned: genes x types.
    cell_types
        Types to draw (default: all).
    n_genes
        Genes per type.
    n_columns
        Panels in a row.
    color
        Color of the bars.
    axes
        Axes to draw on, one per type.

    Returns
    -------
    Dict of type -> axes.
    """
    chosen = list(relevance.columns) if cell_types is None else list(cell_types)
    unknown = [name for name in chosen if name not in relevance.columns]
    if unknown or not chosen:
        raise InputError(
            f"cell_types: {unknown or 'none'} are in the table. Expected some of {list(relevance.columns)}."
        )
    axes = wrapped_axes(axes, len(chosen), n_columns, (2.2, 0.9 + 0.16 * n_genes))
    for ax, name in zip(axes, chosen, strict=True):
        values = relevance[name]
        top = values.loc[values.abs().sort_values(ascending=False).index[:n_genes]][::-1]
        ax.barh(range(len(top)), top, color=color)
        ax.set_yticks(range(len(top)), list(map(str, top.index)), fontsize=7)
        ax.axvline(0, color="black", linewidth=0.5)
        ax.set(title=str(name), xlabel="relevance")
        plain(ax)
    return dict(zip(chosen, axes, strict=True))
