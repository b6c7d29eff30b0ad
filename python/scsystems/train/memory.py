"""Memory in training: the computer's between steps, and a GPU's when it runs out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..data.room import free_memory, in_words
from ..errors import DeviceMemoryError
from ..words import written


def keep_freed_memory(device: torch.device) -> None:
    """Make glibc keep the memory that a step frees for the next step.

    Otherwise it hands tensors of some megabytes back to the system, which clears the pages anew
    in every step: a tenth of a step's time. Freeing one large block, just below glibc's limit
    of 32 MiB, raises its thresholds. At most 64 MiB are kept; other C libraries take no notice.
    """
    if device.type == "cpu":
        torch.empty(31 * 2**20, dtype=torch.uint8)


@contextmanager
def enough_memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Within the block a GPU that runs out of memory ends in an error that says what helps.

    Parameters
    ----------
    device
        Where the block computes.
    batch_size
        Cells at a time, which the user may lower.

    Raises
    ------
    DeviceMemoryError
        In the place of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        message = str(error)
        if "out of memory" not in message and "ALLOC_FAILED" not in message:
            raise
        asked = re.search(r"Tried to allocate ([\d.]+ \w+)", message)
        needed = f" when it needed {asked[1]} more" if asked else ""
        free = f", with {in_words(free_memory(device))} free" if device.type == "cuda" else ""
        raise DeviceMemoryError(
            f"The GPU ran out of memory{needed}{free}. Lower batch_size, which is {batch_size}, end other "
            f"programs on this GPU, choose fewer genes, or use {written('accelerator', 'cpu')}."
        ) from error
