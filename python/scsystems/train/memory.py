"""Memory of the computer between training steps."""

from __future__ import annotations

import torch


def keep_freed_memory(device: torch.device) -> None:
    """Make glibc keep the memory that a step frees for the next step.

    Otherwise it hands tensors of some megabytes back to the system, which clears the pages anew
    in every step: a tenth of a step's time. Freeing one large block, just below glibc's limit
    of 32 MiB, raises its thresholds. At most 64 MiB are kept; other C libraries take no notice.
    """
    if device.type == "cpu":
        torch.empty(31 * 2**20, dtype=torch.uint8)
