"""One value per cell, matched by the names of the cells where the values carry names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd

from ..checks import head, kind, plain
from ..errors import InputError
from .levels import level_name


def per_cell(name: str, values: Any, cells: pd.Index) -> pd.Series:
    """Values of the cells, in the order of ``cells``.

    Parameters
    ----------
    name
        The argument as the user calls it, for messages.
    values
        A Series or a dictionary whose keys are names of cells, in any order (those of further
        cells are left out); or a list, an array, or a Series without names, in the order of the
        cells.
    cells
        Names of the cells.

    Raises
    ------
    InputError
        If there is not one value for each cell, or names are missing or occur twice.
    """
    if isinstance(values, Mapping):
        values = pd.Series(values)
    if not isinstance(values, pd.Series):
        return pd.Series(_in_order(name, values, len(cells)), index=cells)
    at = _positions(name, values.index, cells)
    return (values if at is None else values.iloc[at]).set_axis(cells)


def aligned(values: Mapping[str, Any]) -> dict[str, Any]:
    """Series and data frames of the same cells, all in the order of the first that names them.

    Parameters
    ----------
    values
        By the name of the argument. What carries no names (arrays, lists) stays as it is.
    """
    names = {k: found for k, v in values.items() if (found := _names_of(v)) is not None}
    result = dict(values)
    for name, index in list(names.items())[1:]:
        at = _positions(name, index, next(iter(names.values())))
        result[name] = values[name] if at is None else values[name].iloc[at]
    return result


def same_cells(*arguments: str) -> Callable[[Callable], Callable]:
    """Decorate a function so that these arguments of it are `aligned`."""

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            found = {k: bound.arguments[k] for k in arguments if k in bound.arguments}
            bound.arguments.update(aligned(found))
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


def names_of_cells(table: Any) -> pd.Index | None:
    """Names of the cells in the rows of a Series or a data frame; ``None`` if it has none."""
    if not isinstance(table, (pd.Series, pd.DataFrame)):
        return None
    return None if table.index.equals(pd.RangeIndex(len(table))) else table.index


def _names_of(value: Any) -> pd.Index | None:
    # neighbors, too, know the cells they are those of
    return (
        getattr(value, "cell_names", None) if not hasattr(value, "index") else names_of_cells(value)
    )


def _in_order(name: str, values: Any, n: int) -> Any:
    """Values without names, one for each of n cells."""
    values = plain(values)
    if isinstance(values, (str, bytes, pd.DataFrame)) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {kind(values)}. Expected one value for each of {n} cells.")
    values = values if hasattr(values, "__len__") else list(values)
    shape = getattr(values, "shape", (len(values),))
    if shape != (n,):
        raise InputError(f"{name} has shape {shape}. Expected one value for each of {n} cells.")
    return values


def _positions(name: str, index: pd.Index, cells: pd.Index) -> np.ndarray | None:
    """Where in ``index`` the cells are; ``None`` if it is in their order, or names none of them."""
    if index.equals(cells):
        return None
    if index.has_duplicates:
        raise InputError(
            f"{name} has names of cells that occur more than once: "
            f"{head(index[index.duplicated()].unique())}. Expected one value for each cell."
        )
    text = index if index.dtype == object else index.map(level_name)
    at = pd.Index(text, dtype=object).get_indexer(pd.Index(cells, dtype=object))
    numbered = index.equals(pd.RangeIndex(len(cells)))
    if (at >= 0).all() and not (numbered and (at != np.arange(len(at))).any()):
        return at
    if numbered and (at < 0).any():
        return None
    if numbered:
        raise InputError(
            f"{name} is numbered from 0, and so are the cells, in another order ({head(cells, 3)}). Expected "
            "names of cells that differ from positions, or values without names, in the order of the cells: "
            "to_numpy() leaves names out."
        )
    missing = cells[at < 0]
    raise InputError(
        f"{name} has no value for {len(missing)} of {len(cells)} cells: {head(missing, 3)}. It has names "
        f"like {head(index[:3])}. Expected a value for each cell, under its name; or values without names, in the "
        "order of the cells: to_numpy() leaves names out."
    )
