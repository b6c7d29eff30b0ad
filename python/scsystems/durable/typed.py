"""Plain values from JSON, checked against type hints, as the values that were written."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from reprlib import Repr
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import ModelFileError
from .manifest import AGAIN

_SHORT = Repr()
_SHORT.maxlevel = 2


def typed(kind: Any, value: Any, name: str) -> Any:
    """A value of JSON as the kind that a type hint says.

    Parameters
    ----------
    kind
        ``int``, ``float`` (finite), ``str``, ``bool``, ``None``, ``Any``, a data class, or
        ``Literal``, ``|``, ``tuple``, ``list`` and ``dict`` (by text) of these.
    value
        What was read.
    name
        Where, for the message.

    Raises
    ------
    ModelFileError
        If the value is not of that kind.
    """
    if kind is Any:
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return _filled(kind, value, name)
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(of, value, name)
    if origin is Literal:
        if value in of and type(value) in {type(choice) for choice in of}:
            return value
        raise _wrong(value, name, f"one of {', '.join(map(repr, of))}")
    if origin in (tuple, list, Sequence):
        return _sequence(origin, of, value, name)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(value, name, "named entries")
        return {key: typed(of[1], entry, f"{name}.{key}") for key, entry in value.items()}
    if kind is float and type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif kind is int and type(value) is float and value.is_integer():
        return int(value)  # R has no others
    elif value is None and kind in (None, type(None)):
        return value
    elif type(value) is kind and kind in (int, str, bool):
        return value
    raise _wrong(value, name, _KINDS[type(None) if kind is None else kind])


def arguments(function: Callable[..., Any], given: dict[str, Any], name: str) -> dict[str, Any]:
    """Arguments of a function from JSON, each of the kind that the function's hints say."""
    hints = get_type_hints(function)
    unknown = sorted(set(given) - set(hints))
    if unknown:
        raise _wrong(unknown[0], name, f"arguments of {function.__qualname__}")
    return {key: typed(hints[key], value, f"{name}.{key}") for key, value in given.items()}


_KINDS = {
    int: "a whole number",
    float: "a finite number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}


def _filled(kind: type, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(value, name, "named entries")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise ModelFileError(
            f"{name} has the entry {_SHORT.repr(unknown[0])}, which this version does not know. Expected only "
            f"{', '.join(known)}. It is damaged, or a newer version of scsystems wrote it."
        )
    found = {}
    for key, field in known.items():
        if key in value:
            found[key] = typed(hints[key], value[key], f"{name}.{key}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ModelFileError(f"{name} lacks the entry {key!r}, which scsystems writes. {AGAIN}")
    return kind(**found)


def _one_of(kinds: tuple, value: Any, name: str) -> Any:
    wrong: ModelFileError | None = None
    for kind in kinds:
        try:
            return typed(kind, value, name)
        except ModelFileError as error:
            # what is wrong within a list says more than that it is not null
            wrong = error if wrong is None or kind is not type(None) else wrong
    raise wrong or _wrong(value, name, "nothing")


def _sequence(origin: Any, of: tuple, value: Any, name: str) -> Any:
    if not isinstance(value, list):
        raise _wrong(value, name, "a list")
    if origin is tuple and Ellipsis not in of:
        if len(value) != len(of):
            raise _wrong(value, name, f"{len(of)} values")
        return tuple(
            typed(kind, entry, f"{name}[{i}]")
            for i, (kind, entry) in enumerate(zip(of, value, strict=True))
        )
    if of[0] is str and all(type(entry) is str for entry in value):
        entries = value  # names of a million cells
    else:
        entries = [typed(of[0], entry, f"{name}[{i}]") for i, entry in enumerate(value)]
    return tuple(entries) if origin is tuple else list(entries)


def _wrong(value: Any, name: str, expected: str) -> ModelFileError:
    return ModelFileError(
        f"{name} is {_SHORT.repr(value)}. Expected {expected}, as scsystems writes it. {AGAIN}"
    )
