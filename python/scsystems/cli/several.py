"""One command in several processes, which ``torchrun ... -m scsystems`` has started."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from ..errors import ScsystemsError

# how long a step of training, and reading what it needs, may take one process longer than another
LIMIT = timedelta(minutes=30)


def n_processes() -> int:
    """How many processes run this command."""
    return _number("WORLD_SIZE", 1)


def processes_here() -> int:
    """How many of them on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1) if n_processes() > 1 else 1


def prefix() -> str:
    """What messages of this process begin with."""
    return f"Process {_number('RANK', 0)}: " if n_processes() > 1 else ""


def _number(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name, default))
    except ValueError:
        return default


def _meet() -> None:
    """Make the processes a group."""
    import torch
    import torch.distributed as dist

    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    store, number, n = next(dist.rendezvous("env://", timeout=LIMIT))
    if _number("GROUP_WORLD_SIZE", 1) == 1:
        # torchrun keeps what the processes that it started before have left of addresses, and these could be tried
        # instead of the new ones; of several machines each counts by itself how often it has started them
        attempt = _number("TORCHELASTIC_RESTART_COUNT", 0)
        store = dist.PrefixStore(f"attempt {attempt}", store)
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(backend, timeout=LIMIT, store=store, rank=number, world_size=n)


@contextmanager
def together(options: argparse.Namespace) -> Iterator[None]:
    """For the time of the block, the processes are a group; only the first one reports.

    Raises
    ------
    ScsystemsError
        If the command is one for a single process.
    """
    n = n_processes()
    if n == 1:
        yield
        return
    if not getattr(options, "several", False):
        raise ScsystemsError(
            f"'scsystems {options.command}' runs in one process, but {n} were started. Expected it without torchrun; "
            "'scsystems sysvi' is what several processes can do together."
        )
    import torch.distributed as dist

    from ..train.parallel.distributed import joined

    try:
        _meet()
    except (RuntimeError, ValueError) as error:
        raise ScsystemsError(
            f"The {n} processes could not reach one another ({str(error).splitlines()[0]}). Expected them to be "
            "started by torchrun, with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 if they are to be started again, on "
            "machines that reach one another by the network that GLOO_SOCKET_IFNAME names."
        ) from error
    with joined(patient=True) as group:
        if group is not None and not group.is_first:
            logging.getLogger("scsystems").setLevel(logging.ERROR)
        yield
    # where something failed, the end of the process is what the others wait for
    dist.destroy_process_group()
