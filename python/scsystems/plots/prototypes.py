"""What the prototypes of a target's types align to in the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from scsystems.errors import InputError

from .axes import colors, group_names, legend_outside, plain, wrapped_axes


def prototype_curves(
    record: pd.DataFrame,
    target_types: Sequence[str] | None = None,
    *,
    palette: Mapping[str, str] | Sequence[str] | None = None,
    n_columns: int = 4,
    axes=None,
):
    """Draw how well every context prototype explains a target prototype, epoch by epoch.

    Parameters
    ----------
    record
        What ``ScSpecies.prototype_record`` returned.
    target_types
        Types to draw, a panel each (default: all). The context type of the same name is bold.
    palette
        Colors of the context types, by name or in order.
    n_columns
        Panels in a row.
    axes
        Axes to draw on, one per target type.

    Returns
    -------
    Dict of target type -> axes.
    """
    needed = ("epoch", "target_type", "context_type", "difference")
    missing = [name for name in needed if name not in record]
    if missing or record.empty:
        raise InputError(
            f"'record' lacks {missing or 'rows'}. Expected what prototype_record() returns."
        )
    found = list(dict.fromkeys(record["target_type"]))
    chosen = found if target_types is None else list(target_types)
    unknown = [name for name in chosen if name not in found]
    if unknown or not chosen:
        raise InputError(
            f"target_types: {unknown or 'none'} are in the record. Expected some of {found}."
        )
    color = colors(group_names(record["context_type"]), palette)
    axes = wrapped_axes(axes, len(chosen), n_columns)
    for ax, name in zip(axes, chosen, strict=True):
        table = record[record["target_type"] == name].pivot(
            index="epoch", columns="context_type", values="difference"
        )
        for context_type, values in table.items():
            same = context_type == name
            ax.plot(
                values.index,
                values,
                color=color[str(context_type)],
                linewidth=2.5 if same else 0.9,
                zorder=3 if same else 2,
            )
        # differences reach from one to thousands
        ax.set_yscale("symlog", linthresh=10)
        ax.set(title=name, xlabel="epoch", ylabel="log-likelihood difference")
        plain(ax)
    legend_outside(axes[-1], color, "context type", whole=True)
    return dict(zip(chosen, axes, strict=True))
