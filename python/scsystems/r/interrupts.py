"""Ctrl-C while R trains: always a ``KeyboardInterrupt``, wherever it strikes.

Reticulate asks R, in Python's signal handler, whether an interrupt is pending. R may take the
interrupt for itself while it answers, or while it runs a callback. Python then sees an error
without a text instead of an interrupt, and training would be lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# what reticulate says when R jumped out of a call instead of returning or raising an error
JUMPED = "Unknown exception occurred"
# what a callback of R returns when an interrupt came while it ran; as in progress.R
INTERRUPTED = "scsystems: interrupted by the user"


def jump_is_interrupt(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call into R: R jumping out of it, or saying so, is an interrupt by the user."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            value = call(*args, **kwargs)
        except RuntimeError as error:
            if JUMPED in str(error):
                raise KeyboardInterrupt from error
            raise
        if isinstance(value, str) and value == INTERRUPTED:
            raise KeyboardInterrupt
        return value

    return wrapped


@contextmanager
def interrupts_understood() -> Iterator[None]:
    """Within the block reticulate's question to R about interrupts can be jumped out of."""
    # present only inside R; found, not imported, so that nothing of reticulate is started here
    signals: Any = sys.modules.get("rpytools.signals")
    ask = getattr(signals, "_callback", None)
    if ask is None:
        yield
        return
    signals._callback = jump_is_interrupt(ask)
    try:
        yield
    finally:
        signals._callback = ask
