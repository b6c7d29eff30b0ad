"""The errors that this package raises, and the one way to warn and to ask for an optional dependency.

Every message says what was found, what was expected and the way out. The classes also
derive from the built-in error a Python user would expect, and the R package turns each
into a condition class of the same name.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType


class ScsystemsError(Exception):
    """Base of all errors of this package."""


class InputError(ScsystemsError, ValueError):
    """Data or an argument is not what the method needs."""


class NotTrainedError(ScsystemsError, RuntimeError):
    """A result was asked of a model that has not been trained."""


class NonFiniteError(ScsystemsError, ArithmeticError):
    """NaN or infinity turned up in the data or in the loss."""


class ModelFileError(ScsystemsError, OSError):
    """A saved model is incomplete, damaged, or does not match the data."""


class StoreError(ScsystemsError, OSError):
    """Cells on disk cannot be read, or have changed meanwhile."""


class WriteError(ScsystemsError, OSError):
    """A file or folder could not be written; what was there is as it was."""


class NotSupportedError(ScsystemsError, NotImplementedError):
    """What was asked for is left out on purpose; the message says why."""


class WorkerError(ScsystemsError, RuntimeError):
    """A process that trains, or helps to, failed."""


class DeviceMemoryError(ScsystemsError, MemoryError):
    """The memory of a GPU does not suffice."""


class MissingExtraError(ScsystemsError, ImportError):
    """An optional dependency is not installed."""


def warn(message: str) -> None:
    """Warn the user, at the line of the program that called this package."""
    # decorators of the package are partly contextlib's
    ours, level, frame = (str(Path(__file__).parent), contextlib.__file__), 1, sys._getframe()
    while frame.f_code.co_filename.startswith(ours) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def require_extra(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it.

    Parameters
    ----------
    module
        The module to import, for example ``"scib_metrics"``.
    extra
        The extra of this package that installs it, for example ``"metrics"``.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"'{module}' is needed here but could not be imported ({error}). "
            f"Install it with: pip install 'scsystems[{extra}]'"
        ) from error
