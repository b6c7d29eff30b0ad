"""Arguments of training, from R's words into Python's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scsystems.r.interrupts import jump_is_interrupt


def for_r(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Hand a callback plain numbers, whatever it is called with."""
    callback = jump_is_interrupt(callback)

    def report(epoch: int, max_epochs: int, losses: Mapping[str, float]) -> Any:
        return callback(int(epoch), int(max_epochs), {k: float(v) for k, v in losses.items()})

    return report
