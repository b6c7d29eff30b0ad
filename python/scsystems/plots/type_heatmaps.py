"""Heatmaps of cell types against cell types: transferred labels, similarity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scsystems.data.by_name import same_cells
from scsystems.errors import InputError

from .axes import one_axes


@same_cells("known", "transferred")
def label_transfer_heatmap(known, transferred, *, annotate: bool = True, cmap="viridis", ax=None):
    """Draw which labels the cells of every known type were given.

    Parameters
    ----------
    known
        Type of every target cell; cells without one are left out.
    transferred
        Label that every cell was given, such as ``model.transfer_labels()["label"]``.
    annotate
        Whether to write fractions of 5% and more into the fields.
    cmap
        Color map.
    ax
        Axes to draw on.

    Returns
    -------
    The axes.
    """
    known, transferred = (pd.Series(np.asarray(v, dtype=object)) for v in (known, transferred))
    if len(known) != len(transferred):
        raise InputError(
            f"'known' has {len(known)} values, 'transferred' {len(transferred)}. Expected one per cell for both."
        )
    fraction = pd.crosstab(known, transferred, normalize="index")
    if fraction.empty:
        raise InputError("No cell has both a known type and a transferred label.")
    # types that both have come first, so that agreement lies on the diagonal
    both = [name for name in fraction.index if name in fraction.columns]
    rows = both + [name for name in fraction.index if name not in both]
    columns = both + [name for name in fraction.columns if name not in both]
    fraction = fraction.loc[rows, columns]
    ax = one_axes(ax, _size(fraction))
    _draw(ax, fraction, cmap, "fraction of cells", 0, 1)
    ax.set(xlabel="transferred label", ylabel="known type")
    if annotate:
        for (i, j), value in np.ndenumerate(fraction.to_numpy()):
            if value >= 0.05:
                color = "black" if value > 0.6 else "white"
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    return ax


def similarity_heatmap(similarity: pd.DataFrame, *, n_best: int = 2, cmap="viridis_r", ax=None):
    """Draw the similarity of types, 1, 2, ... marking every row's most similar context types.

    Parameters
    ----------
    similarity
        What ``model.similarity()`` returned: target types x context types, small is similar.
    n_best
        How many to mark.
    cmap
        Color map.
    ax
        Axes to draw on.

    Returns
    -------
    The axes.
    """
    if similarity.empty:
        raise InputError("'similarity' is empty. Expected target types x context types.")
    ax = one_axes(ax, _size(similarity))
    # differences of small values matter, of large ones do not
    shown = np.log10(similarity.clip(lower=0) + 1)
    _draw(ax, shown, cmap, "log10(1 + log-likelihood difference)")
    ax.set(
        xlabel=similarity.columns.name or "context type",
        ylabel=similarity.index.name or "target type",
    )
    ranks = similarity.rank(axis=1, method="first").to_numpy()
    for (i, j), rank in np.ndenumerate(ranks):
        if rank <= n_best:
            ax.text(j, i, f"{rank:.0f}", ha="center", va="center", fontsize=8, color="white")
    return ax


def _size(table: pd.DataFrame) -> tuple[float, float]:
    return 2.2 + 0.32 * table.shape[1], 1.6 + 0.28 * table.shape[0]


def _draw(ax, table: pd.DataFrame, cmap, label: str, low=None, high=None) -> None:
    image = ax.imshow(table, aspect="auto", cmap=cmap, vmin=low, vmax=high)
    ax.set_xticks(range(table.shape[1]), list(map(str, table.columns)), rotation=90)
    ax.set_yticks(range(table.shape[0]), list(map(str, table.index)))
    ax.figure.colorbar(image, ax=ax, label=label)
