"""Which of two ways to the same result a device takes."""

from __future__ import annotations

from torch import Tensor


def compiles_loops(tensor: Tensor) -> bool:
    """Whether loops compiled by numba take the place of chains of torch operations: on the CPU."""
    return tensor.device.type == "cpu"
