"""Gradients of several minibatches at a time, each from a process forked from this one.

A step on a small minibatch is hundreds of operations of some microseconds. Torch's own threads
have little to share in these, and threads of Python wait for one another at every one
(`benchmarks/NOTES.md`). Processes meet twice in a step: when they take their minibatches, and
when their gradients are there. All gradients are taken at the same weights and then applied one
after the other, so that there are as many steps of the optimiser as without them.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import WorkerError

# (indices of a minibatch, generator) -> losses, having written this process's gradient
Gradient = Callable[[Tensor, torch.Generator], Tensor]

# what a reply begins with: losses follow, or what was raised
DONE, FAILED = b"+", b"-"


def can_fork() -> bool:
    """Whether a process can be forked in the middle of a program: on Linux."""
    return sys.platform == "linux"


class Member(NamedTuple):
    """A forked process, seen from the one that forked it."""

    process: int
    connection: Connection


class Team:
    """A process and those forked from it.

    Parameters
    ----------
    gradient
        What each of them does with a minibatch. It must not use automatic differentiation, which
        torch refuses in forked processes, and no more than one thread.
    members
        The forked processes.
    """

    def __init__(self, gradient: Gradient, members: Sequence[Member]):
        self.gradient, self.members = gradient, members

    def gradients(self, minibatches: Tensor, generator: torch.Generator) -> Tensor:
        """Write the gradient of each minibatch; returns the sum of their losses.

        Parameters
        ----------
        minibatches
            Indices of cells, at most as many minibatches as processes x size.
        generator
            Of this process; the others get seeds that it draws.
        """
        own, *others = minibatches
        busy = self.members[: len(others)]
        seeds = torch.randint(2**62, (len(others), 1), generator=generator)
        for member, seed, indices in zip(busy, seeds, others, strict=True):
            with _understood(member):
                member.connection.send_bytes(torch.cat([seed, indices]).numpy())
        losses = self.gradient(own, generator)
        for member in busy:
            with _understood(member):
                losses = losses + _losses(member.connection.recv_bytes(), losses.dtype)
        return losses


@contextmanager
def forked_team(n: int, gradient: Gradient, prepare: Callable[[int], None]) -> Iterator[Team]:
    """A team of ``n`` for the time of the block.

    Parameters
    ----------
    n
        Number of processes, this one included.
    gradient
        See `Team`.
    prepare
        Called in each new process with its number, from 1.
    """
    with ExitStack() as stack:
        members: list[Member] = []
        for number in range(1, n):
            members.append(_fork(number, gradient, prepare, members))
            stack.callback(_end, members[-1])
        yield Team(gradient, members)


def _fork(
    number: int, gradient: Gradient, prepare: Callable[[int], None], before: Sequence[Member]
) -> Member:
    ours, theirs = Pipe()
    with warnings.catch_warnings():
        # Python warns of forks where there are threads, which may hold locks. The new process
        # only computes, on one thread, and leaves without cleaning up
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        theirs.close()
        return Member(process, ours)
    try:
        # an end that stays open here would keep its process from learning that the team is over
        for connection in (ours, *(member.connection for member in before)):
            connection.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # objects of the program that forked are not this one's to finalise
        gc.disable()
        prepare(number)
        _serve(theirs, gradient)
    finally:
        os._exit(0)


def _serve(connection: Connection, gradient: Gradient) -> None:
    """Answer minibatches with losses until the other end is closed."""
    generator = torch.Generator()
    while True:
        try:
            message = torch.from_numpy(np.frombuffer(connection.recv_bytes(), np.int64).copy())
        except (EOFError, OSError):
            return
        try:
            generator.manual_seed(int(message[0]))
            reply = DONE + gradient(message[1:], generator).numpy().tobytes()
        except Exception:
            reply = FAILED + traceback.format_exc().encode()
        with suppress(OSError):
            connection.send_bytes(reply)


def _losses(reply: bytes, dtype: torch.dtype) -> Tensor:
    if reply.startswith(FAILED):
        raise WorkerError(
            "A process that computed gradients failed. With n_threads=1 everything runs in one process. In it:\n"
            f"{reply[1:].decode()}"
        )
    return torch.frombuffer(bytearray(reply[1:]), dtype=dtype)


@contextmanager
def _understood(member: Member) -> Iterator[None]:
    """Say what it means when the other end has gone."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise WorkerError(
            f"A process that computed gradients (number {member.process}) ended in the middle of training, for "
            "want of memory most likely. Use fewer n_threads; with n_threads=1 everything runs in one process."
        ) from error


def _end(member: Member) -> None:
    member.connection.close()
    # it may be at a minibatch, and something else may have waited for it already
    with suppress(ChildProcessError):
        os.waitpid(member.process, 0)
