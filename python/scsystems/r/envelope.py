"""The envelope around whatever goes back to R, and the check of arguments that come from there."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from scsystems.collected import collected
from scsystems.errors import InputError
from scsystems.words import argument, spoken_by

# arguments that mean nothing in R, or that R gives itself
PYTHON_ONLY = {
    "self", "adata", "devices", "verbose", "enable_progress_bar", "silent", "layer", "preset",
    "batch_key", "categorical_covariate_keys", "continuous_covariate_keys", "system_key",
    "embedding_kwargs", "context_labels", "target_labels", "inplace", "reference_model",
}  # fmt: skip


def guarded(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Wrap a function so that it never raises into R.

    Errors would arrive there as text in a form that depends on the version of reticulate.
    The result is a dictionary: ``value``, ``error`` (None, or ``kinds``, ``message`` and
    ``traceback``) and ``warnings`` (messages).
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> dict[str, Any]:
        value, error = None, None
        with collected() as messages:
            try:
                with spoken_by("r"):
                    value = function(*args, **kwargs)
            except BaseException as raised:
                error = {
                    "kinds": [kind.__name__ for kind in type(raised).__mro__],
                    "message": str(raised) or type(raised).__name__,
                    "traceback": "".join(traceback.format_exception(raised)),
                }
        return {"value": value, "error": error, "warnings": messages.texts()}

    return call


def keyword_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check R's arguments against a signature and give whole numbers the type it expects.

    R writes counts as ``15``, a double; Python's signatures want ``int`` there. What R has an argument of
    its own for, by another name, is not among the further arguments that a message lists.
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in given if name not in parameters]
    if unknown and not takes_any:
        known = [n for n in parameters if n not in PYTHON_ONLY and argument(n) == n]
        apart = [argument(n) for n in parameters if n not in PYTHON_ONLY and argument(n) != n]
        what = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
        raise InputError(
            f"unknown argument{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))} "
            f"of {what}; further arguments there are {', '.join(known)}"
            + (f". Others are given by themselves: {', '.join(apart)}" if apart else "")
        )
    return {name: _whole(value, parameters.get(name)) for name, value in given.items()}


def _whole(value: Any, parameter: inspect.Parameter | None) -> Any:
    wants_float = parameter is not None and (
        isinstance(parameter.default, float) or str(parameter.annotation).startswith("float")
    )
    if isinstance(value, float) and value.is_integer() and not wants_float:
        return int(value)
    return value
