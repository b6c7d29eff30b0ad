"""Training curves from a model's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from scsystems.errors import InputError

from .axes import plain, wrapped_axes

PARTS = ("_train", "_validation")


def training_curves(
    history: Mapping[str, pd.DataFrame],
    keys: Sequence[str] | None = None,
    *,
    n_columns: int = 4,
    skip: int = 0,
    axes=None,
):
    """Draw the losses of every epoch; training and validation share a panel.

    Parameters
    ----------
    history
        ``model.history``: frames with the epoch as index and one column.
    keys
        Losses to draw, without ``_train`` or ``_validation``, such as ``["elbo", "cycle_loss"]``
        (default: all that vary; of a single epoch all that are not zero).
    n_columns
        Panels in a row.
    skip
        First epochs to leave out, where losses are so large that they hide the rest.
    axes
        Axes to draw on, one per loss.

    Returns
    -------
    Dict of loss -> axes.
    """
    curves: dict[str, dict[str, pd.Series]] = {}
    for name, frame in history.items():
        part = next((p for p in PARTS if name.endswith(p)), "")
        curve = pd.DataFrame(frame).iloc[:, 0].astype(float)
        curves.setdefault(name.removesuffix(part), {})[part.strip("_") or name] = curve
    if keys is None:
        keys = [name for name, parts in curves.items() if any(map(_shows, parts.values()))]
    keys = [keys] if isinstance(keys, str) else list(keys)
    absent = [key for key in keys if key not in curves]
    if absent or not keys:
        raise InputError(
            f"The history has no losses {absent or 'that vary'}; found {sorted(curves)}."
        )
    axes = wrapped_axes(axes, len(keys), n_columns)
    for ax, key in zip(axes, keys, strict=True):
        for part, curve in curves[key].items():
            curve = curve[curve.index > skip] if skip else curve
            # a line needs two epochs
            marker = "o" if len(curve) == 1 else None
            ax.plot(curve.index, curve.to_numpy(), label=part, linewidth=1.2, marker=marker)
        ax.set(title=key, xlabel="epoch")
        if len(curves[key]) > 1:
            ax.legend(frameon=False, fontsize="small")
        plain(ax)
    return dict(zip(keys, axes, strict=True))


def _shows(curve: pd.Series) -> bool:
    """Whether there is something to see: values that vary, or a single one that is not zero."""
    return curve.nunique() > 1 or (len(curve) == 1 and curve.iloc[0] != 0)
