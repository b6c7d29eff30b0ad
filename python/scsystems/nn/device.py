"""Which of two ways to the same result a device takes."""

from __future__ import annotations

import torch
from torch import Tensor

# devices on which the hand-written steps take the place of automatic differentiation
HAND_WRITTEN = ("cpu", "cuda")


def on_cpu(where: Tensor | torch.device) -> bool:
    """Whether numbers are the CPU's.

    There loops compiled by numba take the place of chains of torch operations, temporaries should
    fit into a cache, and to look at values is cheap. A GPU waits when its values are looked at.
    """
    device = where.device if isinstance(where, Tensor) else where
    return device.type == "cpu"


def is_hand_written(where: Tensor) -> bool:
    """Whether `scsystems.nn.sysvi.gradients` are for the device of a tensor."""
    return where.device.type in HAND_WRITTEN
