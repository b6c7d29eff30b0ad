"""Settings of SysVI on the command line: those that are compared, and the file with the best ones."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import ScsystemsError
from ..options import SYSVI, Option

# what a search may vary, by what it is called here and in Python
_VARIED = {o.name: o for o in SYSVI if o.where in ("model", "train", "plan")}
_NAMES = {(o.cli or o.name).lstrip("-"): o for o in _VARIED.values()} | _VARIED
# whatever follows is not a setting: where a search keeps its runs, and what it trains on
del _NAMES["threads"], _NAMES["n_threads"], _NAMES["checkpoint_every"]

WORDS = {"yes": True, "true": True, "no": False, "false": False}


def written_here(name: str) -> str:
    """What a setting of Python is called on the command line."""
    return (_VARIED[name].cli or name).lstrip("-")


def names() -> list[str]:
    """What settings are called on the command line."""
    return sorted({written_here(o.name) for o in _NAMES.values()})


def combined(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of a grid, each with a ``name`` that says what differs."""
    several = [name for name in grid if len(grid[name]) > 1] or list(grid)
    found = []
    for values in product(*grid.values()):
        setting = dict(zip(grid, values, strict=True))
        said = [f"{written_here(k)}={_said(setting[k])}" for k in several]
        found.append(setting | {"name": ", ".join(said)})
    return found


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def varied(text: str) -> tuple[str, list[Any]]:
    """What turns ``NAME=VALUE,VALUE`` into a setting's name in Python, and the values to try."""
    name, equals, given = text.partition("=")
    name = name.lstrip("-")
    if not equals or not given:
        raise argparse.ArgumentTypeError(
            f"{text!r}. Expected NAME=VALUE,VALUE, such as cycle-weight=1,3,10."
        )
    if name not in _NAMES:
        raise argparse.ArgumentTypeError(
            f"{text!r}. Expected one of {', '.join(names())} before the sign."
        )
    option = _NAMES[name]
    values = [_value(option, name, value.strip()) for value in given.split(",")]
    if any(a == b and type(a) is type(b) for i, a in enumerate(values) for b in values[:i]):
        raise argparse.ArgumentTypeError(f"{text!r} has a value twice. Expected every value once.")
    return option.name, values


def _value(option: Option, name: str, text: str) -> Any:
    """A value of an option, which has to be one that its table allows."""
    if text.lower() == "none" and (option.optional or option.default is None):
        return None
    if option.choices:
        if text in option.choices:
            return text
        expected = f"some of {', '.join(option.choices)}"
    elif isinstance(option.default, bool):
        if text.lower() in WORDS:
            return WORDS[text.lower()]
        expected = "yes, no or both"
    else:
        number = _number(text)
        inside = (option.at_least is None or number >= option.at_least) and (
            option.below is None or number < option.below
        )
        if inside and (number.is_integer() or not option.whole) and math.isfinite(number):
            return int(number) if option.whole else number
        kind = "whole numbers" if option.whole else "numbers"
        expected = f"{kind} of at least {option.at_least or 0:g}"
        expected += "" if option.below is None else f" and below {option.below:g}"
    raise argparse.ArgumentTypeError(f"{name}={text}. Expected {expected}.")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_settings(file: Path | None) -> dict[str, dict[str, Any]]:
    """What a file of ``scsystems tune`` says: arguments of the ``model``, of its ``train`` and ``plan``.

    Raises
    ------
    ScsystemsError
        If it is no such file.
    """
    from ..tune.settings import Setting

    if file is None:
        return {"model": {}, "train": {}, "plan": {}}
    expected = "Expected best.json as scsystems tune writes it."
    try:
        parameters = json.loads(file.read_text(encoding="utf8"))["parameters"]
        setting = Setting(dict(parameters))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ScsystemsError(
            f"--settings: {file} could not be read ({error!r}). {expected}"
        ) from error
    except ScsystemsError as error:
        raise ScsystemsError(
            f"--settings: {file} holds other settings. {error} {expected}"
        ) from error
    odd = set(setting.parameters) - {*_VARIED, "preset"}
    if odd:
        raise ScsystemsError(f"--settings: {file} holds {sorted(odd)}. {expected}")
    train = setting.train
    plan = train.pop("plan_kwargs", {})
    return {"model": setting.model, "train": train, "plan": plan}
