"""Arguments of training, from R's words into Python's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scsystems.errors import InputError
from scsystems.r.interrupts import jump_is_interrupt


def for_r(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Hand a callback plain numbers, whatever it is called with."""
    callback = jump_is_interrupt(callback)

    def report(epoch: int, max_epochs: int, losses: Mapping[str, float]) -> Any:
        return callback(int(epoch), int(max_epochs), {k: float(v) for k, v in losses.items()})

    return report


def device_arguments(device: str) -> dict[str, Any]:
    """Turn torch's way of naming a device into that of ``train``."""
    kind, _, index = device.partition(":")
    if kind not in {"auto", "cpu", "cuda", "gpu", "mps"}:
        raise InputError(
            f"device = {device!r} is not known; use 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'"
        )
    accelerator = "gpu" if kind == "cuda" else kind
    return {"accelerator": accelerator, "devices": [int(index)] if index else "auto"}
