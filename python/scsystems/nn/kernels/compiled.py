"""Loops over arrays, compiled by numba, for the CPU.

A hidden layer is a dozen passes over a matrix that fits into the cache, and each torch operation
makes one of them; compiled loops make two or three. On a GPU torch's operations are used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable) -> Callable:
    """Compile a function at its first call; kept on disk for later sessions where that is possible."""
    # no "fast" mathematics but a multiplication and an addition in one instruction
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # nowhere to write
        return numba.njit(function, **options)
