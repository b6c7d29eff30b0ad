"""Checks of arguments, written once: what is given becomes Python's own value, or is refused in words.

Every function takes the argument's name first, as Python writes it or as a term of
`scsystems.words.TERMS`, which messages then say in the user's own words. Numbers, text and truth
values of numpy are as good as Python's; what is returned can be written as JSON.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from . import words
from .errors import InputError

# what generators of numpy and torch, and scikit-learn, all take
LARGEST_SEED = 2**32 - 1


def head(values: Sequence, n: int = 5) -> str:
    """The first few of ``values`` for a message."""
    shown = ", ".join(repr(str(v)) for v in list(values)[:n])
    return shown + (f", ... ({len(values)} in all)" if len(values) > n else "")


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """A scalar of numpy, or an array of no dimension, as Python's own; all else as it is."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def plain_json(value: Any) -> Any:
    """The same for all that dictionaries and lists hold; arrays become lists."""
    value = plain(value)
    if isinstance(value, Mapping):
        return {str(plain(k)): plain_json(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple, range)):
        return [plain_json(v) for v in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def count(name: str, value: Any, at_least: int = 1) -> int:
    """A whole number, be it an integer or not (R's are not)."""
    found = _whole(value)
    if found is None or found < at_least:
        raise InputError(f"{said(name, value)}. Expected a whole number of at least {at_least}.")
    return found


def seed(value: Any, default: int | None = None) -> int:
    """A seed of random numbers; ``None`` is the default, if there is one."""
    if value is None and default is not None:
        return default
    found = _whole(value)
    if found is None or not 0 <= found <= LARGEST_SEED:
        raise InputError(
            f"{said('seed', value)}. Expected a whole number from 0 to {LARGEST_SEED}."
        )
    return found


def _whole(value: Any) -> int | None:
    found = plain(value)
    whole = isinstance(found, Real) and not isinstance(found, bool) and found % 1 == 0
    return int(found) if whole else None


def number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    finite: bool = True,
) -> float:
    """A number within bounds, and finite unless it may be infinite."""
    found = plain(value)
    right = _is_real(found) and not np.isnan(found)
    right = right and (np.isfinite(found) or not finite)
    bounds = [
        (at_least, "of at least", lambda bound: found >= bound),
        (above, "above", lambda bound: found > bound),
        (at_most, "of at most", lambda bound: found <= bound),
        (below, "below", lambda bound: found < bound),
    ]
    asked = [(bound, text, holds) for bound, text, holds in bounds if bound is not None]
    if not right or not all(holds(bound) for bound, _, holds in asked):
        what = "a finite number" if finite else "a number"
        limits = " and ".join(f"{text} {bound:g}" for bound, text, _ in asked)
        raise InputError(f"{said(name, value)}. Expected {what} {limits}".rstrip() + ".")
    return float(found)


def fraction(name: str, value: Any, *, zero: bool = True, one: bool = True) -> float:
    """A number from 0 to 1, with the ends or without."""
    found = plain(value)
    right = _is_real(found) and 0 <= found <= 1
    if not right or (found == 0 and not zero) or (found == 1 and not one):
        least = "from 0" if zero else "above 0"
        most = "to 1" if one else "and below 1"
        raise InputError(f"{said(name, value)}. Expected a fraction {least} {most}.")
    return float(found)


def flag(name: str, value: Any) -> bool:
    """True or false."""
    found = plain(value)
    if not isinstance(found, bool):
        raise InputError(f"{said(name, value)}. Expected True or False.")
    return found


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of several words."""
    found = plain(value)
    if not isinstance(found, str) or found not in choices:
        shown = [repr(c) for c in choices]
        wanted = " or ".join(shown) if len(shown) < 3 else f"one of {', '.join(shown)}"
        raise InputError(f"{said(name, value)} is not known. Expected {wanted}.")
    return str(found)


def names(name: str, value: Any) -> list[str]:
    """Names, such as keys of columns: a single one, a list, a tuple, an array, an index of pandas."""
    value = plain(value)
    if isinstance(value, str):
        return [value]
    listed = None
    if isinstance(value, Iterable) and not isinstance(value, (Mapping, bytes, pd.DataFrame)):
        listed = [plain(v) for v in value]
    if listed is None or not all(isinstance(v, str) for v in listed):
        raise InputError(f"{said(name, value)}. Expected a list of names.")
    return [str(v) for v in listed]


def name(argument: str, value: Any) -> str:
    """A single name, such as the key of a column."""
    value = plain(value)
    if not isinstance(value, str):
        raise InputError(f"{called(argument)} is {kind(value)}. Expected a single name.")
    return str(value)


def optional_name(argument: str, value: Any) -> str | None:
    """A single name, or ``None``."""
    return None if value is None else name(argument, value)


def column(
    adata: AnnData,
    key: Any,
    term: str,
    *,
    owner: str | None = None,
    data: str = "cell data",
    complete: bool = True,
) -> pd.Series:
    """A column of ``adata.obs``.

    Parameters
    ----------
    adata
        The cells.
    key
        Name of the column.
    term
        The argument that holds the key, a term of `scsystems.words.TERMS`.
    owner
        Whose cells they are, if there are those of several.
    data
        What the user calls the table, a term of `scsystems.words.TERMS`.
    complete
        Whether every cell must have a value.
    """
    start = "" if owner is None else f"{owner}: "
    key = plain(key)
    if not isinstance(key, str):
        raise InputError(
            f"{start}{words.word(term)} is {kind(key)}. Expected the name of one column of {words.word(data)}."
        )
    if key not in adata.obs:
        raise InputError(
            f"{start}{words.written(term, key)} is not a column of {words.word(data)}. Found: "
            f"{head(adata.obs.columns, 20)}."
        )
    values = adata.obs[key]
    if isinstance(values, pd.DataFrame):
        raise InputError(
            f"{start}{words.written(term, key)} names {values.shape[1]} columns of {words.word(data)}. Expected "
            "one; rename the others."
        )
    missing = values.isna().to_numpy()
    if complete and missing.any():
        raise InputError(
            f"{start}{words.column(key)} ({words.word(term)}) is missing for {int(missing.sum())} of {len(missing)} "
            f"cells (first: {str(adata.obs_names[missing.argmax()])!r}). Expected a value for every cell. Drop these "
            "cells, or give them a level of their own such as 'unknown'."
        )
    return values


def anndata(name: str, value: Any, *, remedy: str | None = None) -> AnnData:
    """An AnnData, and nothing that merely holds or names one."""
    if isinstance(value, AnnData):
        return value
    if remedy is None:
        if isinstance(value, (str, bytes, os.PathLike)):
            remedy = "Read the file first, for example with anndata.read_h5ad(path)."
        elif isinstance(value, (list, tuple)):
            remedy = "Join several with anndata.concat()."
        elif isinstance(value, (pd.DataFrame, np.ndarray)):
            remedy = "Make one with anndata.AnnData(matrix, obs, var), cells in rows."
        elif isinstance(getattr(value, "mod", None), Mapping):
            remedy = f"Give one of its modalities, such as mdata[{next(iter(value.mod), 'rna')!r}]."
        else:
            remedy = ""
    raise InputError(
        f"{called(name)} is of type {type(value).__name__}. Expected an AnnData. {remedy}".rstrip()
    )


def kind(value: Any) -> str:
    """What a wrong value is, for a message."""
    if value is None:
        return "missing (None)"
    if isinstance(value, (str, os.PathLike)):
        return f"the text {os.fspath(value)!r}"
    if isinstance(value, (bool, Real)):
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def called(name: str) -> str:
    """What the user calls an argument."""
    return words.argument(name)


def said(name: str, value: Any) -> str:
    """An argument with its value, as the user would write it."""
    value = plain(value)
    if isinstance(value, (np.ndarray, pd.Series, pd.Index, pd.DataFrame, AnnData)):
        return f"{called(name)} is {kind(value)}"
    return words.written(name, value)


def keep(frozen: Any, **values: Any) -> None:
    """Put checked values into the fields of a frozen data class that is being made."""
    for field, value in values.items():
        object.__setattr__(frozen, field, value)
