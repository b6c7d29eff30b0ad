"""Check and code the arrays that every metric takes: an embedding and groups of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scsystems.data.levels import coded
from scsystems.errors import InputError, NonFiniteError


@dataclass(frozen=True)
class Groups:
    """Cells in groups (labels, systems, batches): codes into sorted names.

    Attributes
    ----------
    codes
        Integer code of every cell, -1 where the group is missing. Shape ``(n_cells,)``.
    names
        Names of the groups as text; every group has at least one cell.
    """

    codes: np.ndarray
    names: list[str]

    @property
    def sizes(self) -> np.ndarray:
        """Number of cells of every group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    @property
    def known(self) -> np.ndarray:
        """Mask of the cells that have a group."""
        return self.codes >= 0

    def as_text(self) -> np.ndarray:
        """Name of every cell's group; the empty text where it is missing."""
        return np.array([*self.names, ""], dtype=object)[self.codes]


def check_embedding(embedding, argument: str = "embedding") -> np.ndarray:
    """Return the embedding as a finite float32 array of shape ``(n_cells, n_dims)``."""
    array = np.asarray(embedding)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"'{argument}' has shape {array.shape}; expected two dimensions, cells x dimensions, "
            "neither of them empty."
        )
    try:
        array = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"'{argument}' is not numeric: {error}.") from error
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise NonFiniteError(
            f"'{argument}' has NaN or infinite values in {bad.sum()} of {len(bad)} cells (first: "
            f"cell {int(bad.argmax())}); expected finite numbers. Did training diverge?"
        )
    return array


def check_groups(
    values, n_cells: int, argument: str, *, min_groups: int = 1, allow_missing: bool = False
) -> Groups:
    """Code the group of every cell.

    Parameters
    ----------
    values
        One value per cell: a Series, an array or a list; or groups already coded.
    n_cells
        Expected number of cells.
    argument
        Name of the argument, for messages.
    min_groups
        The fewest groups that make sense to the caller.
    allow_missing
        Whether missing values (NaN, None) may occur; they get code -1.
    """
    if isinstance(values, Groups):
        return values
    if isinstance(values, (list, tuple)):
        values = pd.Series(values, dtype=object)
    elif not isinstance(values, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        values = np.asarray(values)
    if values.shape != (n_cells,):
        raise InputError(
            f"'{argument}' has shape {values.shape}; expected one value for each of the "
            f"{n_cells} cells of the embedding."
        )
    codes, names = coded(values, argument)
    missing = int((codes < 0).sum())
    if missing and not allow_missing:
        raise InputError(
            f"'{argument}' is missing (NaN or nothing) for {missing} of {n_cells} cells; "
            "expected a value for every cell. Fill these in or drop the cells."
        )
    order = sorted(range(len(names)), key=names.__getitem__)
    names = [names[i] for i in order]
    codes = np.append(np.argsort(order), -1)[codes]
    if len(names) < min_groups:
        raise InputError(
            f"'{argument}' has {len(names)} group(s) ({', '.join(names) or 'none'}); "
            f"expected at least {min_groups}."
        )
    return Groups(codes, names)
