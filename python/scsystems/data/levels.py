"""Names of levels: the one way in which the values of a column become text.

The same column must give the same names whether it was read from a file, came from R, or holds
its numbers as integers or as floats. So whole numbers are written without a point, other numbers
as short as they can be told apart in the precision they have, dates as ISO dates, and missing
values are never a name.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from .. import checks
from ..errors import InputError
from .checks import check_unique


def level_name(value: Any) -> str:
    """Text of one value that is not missing."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return _number(float(value))
    if isinstance(value, (datetime.datetime, np.datetime64)):
        time = pd.Timestamp(value)
        on_the_day = time == time.normalize() and time.tz is None
        return str(time.date()) if on_the_day else time.isoformat(sep=" ")
    return str(value)


def _number(value: float) -> str:
    if value.is_integer():
        return str(int(value))
    with np.errstate(over="ignore"):
        single = np.float32(value)
    # a value of single precision reads the same after it has become a double
    return str(single) if float(single) == value else repr(value)


def coded(values: Any, where: str) -> tuple[np.ndarray, list[str]]:
    """Levels of a column.

    Parameters
    ----------
    values
        One value per cell: a Series, a Categorical, an array, a list.
    where
        What messages call the column.

    Returns
    -------
    Code of every value (-1: missing), and the names of the levels that occur: categories in
    their own order, all else sorted by name.

    Raises
    ------
    InputError
        If a value is a list or another object that is no name, or if a number and a text that
        spells it differently (1 and ``"1.0"``) occur beside each other.
    """
    values = pd.Series(values)
    codes, found = _distinct(values, where)
    texts = [level_name(value) for value in found]
    _refuse_two_spellings(found, where)
    # values of one name are one level: 1 and "1"
    names = list(dict.fromkeys(texts))
    if not isinstance(values.dtype, pd.CategoricalDtype):
        names.sort()
    place = {name: i for i, name in enumerate(names)}
    return np.array([*(place[text] for text in texts), -1], dtype=np.int64)[codes], names


def level_names(values: Any, where: str) -> np.ndarray:
    """Name of every value's level, ``None`` where it is missing."""
    codes, names = coded(values, where)
    return np.array([*names, None], dtype=object)[codes]


def codes_among(values: Any, levels: Sequence[str], where: str) -> tuple[np.ndarray, list[str]]:
    """Code of every value among known levels (-1: missing or unknown), and the unknown levels."""
    codes, names = coded(values, where)
    among = pd.Index(levels, dtype=object).get_indexer(pd.Index(names, dtype=object))
    unknown = [name for name, code in zip(names, among, strict=True) if code < 0]
    return np.append(among, -1).astype(np.int64)[codes], unknown


def texts(name: str, value: Any) -> list[str]:
    """Names that an argument holds, of genes or levels, as text: one of them, or several."""
    value = checks.plain(value)
    listed = [value] if pd.api.types.is_scalar(value) else value
    if not isinstance(listed, Iterable) or isinstance(listed, (Mapping, pd.DataFrame)):
        raise InputError(f"{checks.said(name, value)}. Expected names.")
    listed = list(listed)
    if any(not pd.api.types.is_scalar(v) or pd.isna(v) for v in listed):
        raise InputError(f"{checks.said(name, value)}. Expected names, none of them missing.")
    return [level_name(v) for v in listed]


def writable(values: pd.Series, where: str) -> pd.Series:
    """A column as every file can hold it: numbers and truth values as they are, all else as text.

    Text, and what becomes text, is kept as categories.
    """
    levels = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    if pd.api.types.is_bool_dtype(levels) or pd.api.types.is_numeric_dtype(levels):
        return values
    if levels is not values and pd.api.types.infer_dtype(levels) in ("string", "empty"):
        return values
    codes, names = coded(values, where)
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(names, dtype=object)), values.index)


def unique_names(names: pd.Index, what: str, remedy: str) -> pd.Index:
    """Names of genes or cells as text, each once.

    Parameters
    ----------
    names
        The names; numbers become text as levels do.
    what, remedy
        For messages: what they are, and how to make them unique.
    """
    if pd.api.types.infer_dtype(names, skipna=False) != "string":
        if (missing := int(np.sum(pd.isna(names)))) > 0:
            raise InputError(
                f"{what}: {missing} of {len(names)} are missing. Expected a name for each. {remedy}"
            )
        names = pd.Index([level_name(name) for name in names], dtype=object)
    check_unique(names, what, remedy)
    return names


def check_text(names: pd.Index, what: str, remedy: str) -> None:
    """Refuse names that are no text, or not unique; for what looks names up as they are."""
    if unique_names(names, what, remedy) is not names:
        raise InputError(f"{what} are not text. Expected text: names.astype(str) makes it of them.")


def _distinct(values: pd.Series, where: str) -> tuple[np.ndarray, list]:
    """Code of every value (-1: missing) and the values that occur."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy().astype(np.int64)
        used = np.bincount(codes[codes >= 0], minlength=len(values.cat.categories)) > 0
        codes = np.append(np.cumsum(used) - 1, -1)[codes]
        return codes, list(values.cat.categories[used])
    one_kind = values.dtype != object or pd.api.types.infer_dtype(values, skipna=True) in (
        *("string", "bytes", "boolean", "integer", "floating", "empty"),
        *("datetime64", "datetime", "date"),
    )
    if one_kind:
        codes, levels = pd.factorize(values, use_na_sentinel=True)
        return codes.astype(np.int64), list(levels)
    # equal values of two kinds stay apart here: 1 and True
    places: dict[tuple[type, Any], int] = {}
    found: list = []
    codes = np.empty(len(values), dtype=np.int64)
    for i, value in enumerate(values):
        key = type(value), value
        try:
            code = places.get(key)
        except TypeError:  # a list, say, has no hash
            code = None
        if code is None:
            if not pd.api.types.is_scalar(value):
                raise InputError(
                    f"{where} holds a {type(value).__name__}. Expected text, numbers, dates or truth values."
                )
            code = -1 if pd.isna(value) else len(found)
            places[key] = code
            if code >= 0:
                found.append(value)
        codes[i] = code
    return codes, found


def _refuse_two_spellings(found: list, where: str) -> None:
    numbers = {
        float(value): level_name(value)
        for value in found
        if isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    }
    if not numbers:
        return
    twice = []
    for value in found:
        if not isinstance(value, str):
            continue
        try:
            same = numbers.get(float(value))
        except ValueError:
            continue
        if same is not None and same != value:
            twice.append(f"{same} and {value!r}")
    if twice:
        raise InputError(
            f"{where} holds a number and a text that spells it differently: {', '.join(twice[:3])}. They may be "
            "one level or two. Write all levels as text, each in one way."
        )
