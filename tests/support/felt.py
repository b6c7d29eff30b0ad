"""Is every argument felt? A call is made twice, with one argument changed, and must come out otherwise.

A table has, for each function and each of its arguments, the value of the usual call and another
one, ``(usual, other)``; an argument that acts only beside others has a third entry, with what they
are in both calls. Where the result must stay the same, the table names the test that sees what the
argument does instead. The tests are made from the signatures: an argument that no table knows fails.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scsystems.errors import ScsystemsError


@dataclass(frozen=True)
class Trial:
    """How the arguments of a function are tried.

    Parameters
    ----------
    pairs
        Argument -> ``(usual, other)`` or ``(usual, other, {argument: value})``, or a test that
        feels it, as ``"room/test_file.py::test_name"``. `LEFT_OUT` is left out of the call; of
        ``**kwargs`` the values are dictionaries.
    call
        Takes the arguments, and gives what is looked at; default the function itself.
    """

    pairs: Mapping[str, tuple | str]
    call: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Refused:
    """A value that has to end in an error of the package: all that an argument can do."""

    value: Any


LEFT_OUT = object()
TESTS = Path(__file__).parents[1] / "python"


class Recorder:
    """Notes what functions are called with; the calls go on.

    Parameters
    ----------
    patch
        Puts the functions back.
    """

    def __init__(self, patch: pytest.MonkeyPatch):
        self._patch = patch
        self.found: list[tuple[str, Any]] = []

    def watch(self, place: Any, name: str, note: Callable, change: Callable = dict) -> None:
        """Note ``note(...)`` of every call of a module's function; ``change`` changes its keywords."""
        original = getattr(place, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.found.append((name, note(*args, **kwargs)))
            return original(*args, **change(kwargs))

        self._patch.setattr(place, name, call)

    def watch_progress(self, place: Any) -> None:
        """Note whether bars are shown, and show none."""
        self.watch(
            place,
            "tqdm",
            lambda *args, disable, **more: disable,
            lambda kwargs: kwargs | {"disable": True},
        )


def arguments_of(functions: Mapping[str, Callable]) -> list:
    """Parameters for a test: each function's name with each argument of its signature."""
    return [
        pytest.param(name, argument, id=f"{name}-{argument}")
        for name, function in functions.items()
        for argument in inspect.signature(function).parameters
        if argument not in ("self", "cls")
    ]


def public(module) -> dict[str, Callable]:
    """The functions that a module offers; classes of results are none."""
    found = {name: getattr(module, name) for name in module.__all__}
    return {name: f for name, f in found.items() if inspect.isroutine(f)}


def methods(cls: type) -> dict[str, Callable]:
    """The public methods of a class."""
    return {n: f for n, f in inspect.getmembers(cls, inspect.isroutine) if not n.startswith("_")}


def check(function: Callable, trial: Trial, argument: str, seen_before: dict) -> None:
    """A changed argument changes what comes out, and nothing else does.

    ``seen_before`` keeps what usual calls of the function gave.
    """
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name not in ("self", "cls")]
    spread = [name for name in known if parameters[name].kind is inspect.Parameter.VAR_KEYWORD]
    assert argument in trial.pairs, "no other value of it is tried"
    assert not set(trial.pairs) - set(known), "the function does not have these"
    pair = trial.pairs[argument]
    if isinstance(pair, str):
        file, test = pair.split("::")
        assert f"def {test}(" in (TESTS / file).read_text(encoding="utf8")
        return
    _, other, *beside = pair
    base = {name: p[0] for name, p in trial.pairs.items() if not isinstance(p, str)}
    base |= dict(*beside)

    def outcome(arguments):
        given = {k: v for k, v in arguments.items() if v is not LEFT_OUT}
        for name in set(spread) & set(given):
            given |= given.pop(name)
        return seen((trial.call or function)(**given))

    key = function.__qualname__, repr(beside)
    if key not in seen_before:
        seen_before[key] = outcome(base)
        if not beside:
            assert seen_before[key] == outcome(base), "it comes out otherwise without a change"
    if isinstance(other, Refused):
        with pytest.raises(ScsystemsError):
            outcome(base | {argument: other.value})
        return
    assert seen_before[key] != outcome(base | {argument: other})


def seen(value: Any) -> Any:
    """What can be seen of a value, as plain values that compare."""
    if value is None or isinstance(value, (str, int, bool, bytes)):
        return value
    if isinstance(value, float) and not hasattr(value, "groups"):
        return repr(value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)
        if value.dtype == object:
            return [seen(v) for v in value.ravel().tolist()]
        return value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if sparse.issparse(value):
        return seen(value.toarray())
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return value.to_csv()
    if isinstance(value, pd.Index):
        return list(map(str, value))
    if isinstance(value, AnnData):
        parts = (value.X, value.obs, value.var, dict(value.layers), dict(value.obsm), value.uns)
        return [seen(part) for part in parts]
    if isinstance(value, torch.nn.Module):
        return seen(value.state_dict())
    if isinstance(value, Mapping):
        return {str(k): seen(v) for k, v in value.items()}
    if is_dataclass(value):
        return [seen(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, (tuple, list, set, frozenset)):
        return [seen(v) for v in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "figure"):
        return picture(value.figure)
    if hasattr(value, "groups"):  # a score
        return repr(float(value)), repr(value.micro), repr(value.macro), seen(value.groups)
    return repr(value)


def picture(figure) -> Any:
    """The pixels of a figure."""
    figure.canvas.draw()
    return seen(np.asarray(figure.canvas.buffer_rgba()))
