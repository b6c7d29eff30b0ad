"""Tensors that processes forked from this one share with it."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor


def shared_zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Zeros in memory without a file, which goes when the last tensor on it does."""
    n = math.prod(shape)
    memory = mmap.mmap(-1, max(1, n * dtype.itemsize))
    return (
        torch.frombuffer(memory, dtype=dtype, count=n).view(*shape)
        if n
        else torch.zeros(shape, dtype=dtype)
    )
