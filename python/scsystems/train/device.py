"""Choice of the training device."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from ..errors import InputError
from ..words import written
from .parallel.distributed import process_group

logger = logging.getLogger(__name__)

_NAMES = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "mps": "mps"}

# instructions of CPUs that multiply bfloat16, as torch names them
_BFLOAT16_OF_CPUS = ("amx_tile", "avx512_bf16")


def choose_device(
    accelerator: str = "auto", devices: int | str | list[int] = "auto"
) -> torch.device:
    """The device to train on.

    Parameters
    ----------
    accelerator
        ``"auto"`` (an NVIDIA GPU, else an Apple GPU, else the CPU), ``"cpu"``, ``"gpu"`` or
        ``"cuda"``, ``"mps"``; an index may follow, as in ``"cuda:1"``.
    devices
        With several GPUs, the index of the one to use: an integer in a list, as in ``[1]``.
        ``"auto"``, ``-1`` and ``1`` take the first, in a process group that of the process's
        number on its machine (``LOCAL_RANK``). A process trains on one device.
    """
    name, _, index = str(accelerator).partition(":")
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    if name not in _NAMES:
        raise InputError(
            f"{written('accelerator', accelerator)} is not known. Expected 'auto', 'cpu', 'gpu', 'cuda' or 'mps'."
        )
    kind = _NAMES[name]
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"{written('accelerator', accelerator)}, but torch {torch.__version__} sees no NVIDIA GPU. Use "
            f"{written('accelerator', 'auto')} or 'cpu', or install a torch build with CUDA and the NVIDIA driver."
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            f"{written('accelerator', 'mps')}, but torch sees no Apple GPU. Use "
            f"{written('accelerator', 'auto')} or 'cpu'."
        )
    if kind != "cuda":
        return torch.device(kind)
    if not index:
        return torch.device("cuda", _index(devices))
    if not index.isdigit() or int(index) >= torch.cuda.device_count():
        raise InputError(
            f"{written('accelerator', accelerator)}, but there are {torch.cuda.device_count()} GPUs, counted from 0."
        )
    return torch.device("cuda", int(index))


def _index(devices: int | str | list[int]) -> int:
    if isinstance(devices, (list, tuple)):
        if len(devices) != 1:
            raise InputError(
                f"devices={devices!r}: one model trains on one device. Expected a list of one index."
            )
        chosen = int(devices[0])
    else:
        if devices not in ("auto", -1, 1, "-1", "1"):
            raise InputError(
                f"devices={devices!r}: one model trains on one device. Expected 'auto', 1, or a list of one index."
            )
        chosen = _own_gpu()
    if not 0 <= chosen < torch.cuda.device_count():
        raise InputError(
            f"devices={devices!r}, but there are {torch.cuda.device_count()} GPUs, counted from 0."
        )
    return chosen


def _own_gpu() -> int:
    """The first GPU; in a process group there is one for each process of a machine."""
    if process_group() is None:
        return 0
    told = os.environ.get("LOCAL_RANK")
    number = torch.cuda.current_device() if told is None else int(told)
    if number >= torch.cuda.device_count():
        raise InputError(
            f"This is process {number + 1} of the group on this machine, which has {torch.cuda.device_count()} GPUs. "
            f"Expected no more processes a machine (torchrun --nproc-per-node), or {written('accelerator', 'cpu')}."
        )
    return number


@contextmanager
def current(device: torch.device) -> Iterator[None]:
    """Within the block a GPU is the current one: streams, events and recordings are of no other."""
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        yield


def reduced_precision(precision: str, device: torch.device) -> bool:
    """Whether the products over all genes run in bfloat16.

    Parameters
    ----------
    precision
        ``"auto"``: bfloat16 where the hardware multiplies it much faster (CPUs with AMX or
        AVX512_BF16, NVIDIA GPUs from Ampere on), else float32. ``"float32"`` or ``"bfloat16"``
        decide it.
    device
        Where training runs.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(
            f"precision={precision!r} is not known. Expected 'auto', 'float32' or 'bfloat16'."
        )
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and any(_cpu_has(name) for name in _BFLOAT16_OF_CPUS)


def _cpu_has(instructions: str) -> bool:
    """Whether torch sees them; releases that cannot tell count as without."""
    is_supported = getattr(torch.cpu, f"_is_{instructions}_supported", lambda: False)
    return bool(is_supported())
