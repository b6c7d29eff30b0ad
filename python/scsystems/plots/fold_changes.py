"""Log fold changes between species against their probability, type by type."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scsystems.errors import InputError

from .axes import plain, wrapped_axes


def fold_change_scatter(
    table: pd.DataFrame,
    cell_types: Sequence[str] | None = None,
    *,
    kind: str = "",
    n_genes: int = 5,
    probability: float = 0.9,
    n_columns: int = 4,
    color="#33658a",
    axes=None,
):
    """Draw median log2 fold changes against their probability, naming the genes that differ most.

    Parameters
    ----------
    table
        What ``ScSpecies.differential_expression`` returned.
    cell_types
        Types to draw (default: all).
    kind
        ``""`` for relative expression, ``"_absolute"``, or ``"_null"``.
    n_genes
        Genes to name at either end.
    probability
        Genes at least this probable are colored; their fraction is in the title.
    n_columns
        Panels in a row.
    color
        Color of these genes.
    axes
        Axes to draw on, one per type.

    Returns
    -------
    Dict of type -> axes.
    """
    columns = f"lfc{kind}", f"probability{kind}"
    missing = [name for name in ("cell_type", "target_gene", *columns) if name not in table]
    if missing:
        raise InputError(
            f"'table' lacks the columns {missing}. Expected what differential_expression() returns."
        )
    found = list(dict.fromkeys(table["cell_type"]))
    chosen = found if cell_types is None else list(cell_types)
    unknown = [name for name in chosen if name not in found]
    if unknown or not chosen:
        raise InputError(
            f"cell_types: {unknown or 'none'} are in the table. Expected some of {found}."
        )
    axes = wrapped_axes(axes, len(chosen), n_columns)
    for ax, name in zip(axes, chosen, strict=True):
        rows = table[table["cell_type"] == name].sort_values(columns[0])
        x, y = rows[columns[0]], rows[columns[1]]
        likely = y >= probability
        ax.scatter(x[~likely], y[~likely], s=3, color="#b0b0b0", linewidths=0, rasterized=True)
        ax.scatter(x[likely], y[likely], s=3, color=color, linewidths=0, rasterized=True)
        ax.axvline(0, color="black", linewidth=0.5)
        ends = {"left": rows.head(n_genes), "right": rows.tail(n_genes).iloc[::-1]}
        for (side, ends_rows), at in zip(ends.items(), (0.02, 0.98), strict=True):
            text = "\n".join(ends_rows["target_gene"].astype(str))
            ax.text(at, 0.02, text, transform=ax.transAxes, ha=side, va="bottom", fontsize=6)
        ax.set(
            title=f"{name} ({likely.mean():.0%})",
            xlabel="median log2 fold change",
            ylabel="probability",
        )
        plain(ax)
    return dict(zip(chosen, axes, strict=True))
