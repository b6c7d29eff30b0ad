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
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import WorkerError

# (indices of a minibatch, generator) -> losses, having written this process's gradient
Gradient = Callable[[Tensor, torch.Generator], Tensor]
# (number of the process, number of gradients, learning rate): this process's part of the steps
Update = Callable[[int, int, float], None]

# what a message to a process begins with: a seed and indices follow, or `NUMBERS`
MINIBATCH, STEP = b"m", b"s"
# number of gradients and learning rate
NUMBERS = struct.Struct("<qd")
# what its reply begins with: losses follow, or what was raised
DONE, FAILED = b"+", b"-"

ENDED = (
    "A process that computed gradients ended in the middle of training, for want of memory most likely. Use fewer "
    "n_threads; with n_threads=1 everything runs in one process."
)


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
    gradient, update
        What each of them does with a minibatch, and then for the steps of the optimiser. They must
        not use automatic differentiation, which torch refuses in forked processes, and no more
        than one thread.
    members
        The forked processes.
    """

    def __init__(self, gradient: Gradient, update: Update, members: Sequence[Member]):
        self.gradient, self.update, self.members = gradient, update, members

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
            _send(member, MINIBATCH + torch.cat([seed, indices]).numpy().tobytes())
        losses = self.gradient(own, generator)
        for member in busy:
            reply = bytearray(_receive(member))
            losses = losses + torch.frombuffer(reply, dtype=losses.dtype)
        return losses

    def step(self, n_gradients: int, lr: float) -> None:
        """Steps along so many gradients, every process those of its part of the parameters."""
        for member in self.members:
            _send(member, STEP + NUMBERS.pack(n_gradients, lr))
        self.update(0, n_gradients, lr)
        for member in self.members:
            _receive(member)


@contextmanager
def forked_team(
    n: int, gradient: Gradient, update: Update, prepare: Callable[[int], None]
) -> Iterator[Team]:
    """A team of ``n`` for the time of the block.

    Parameters
    ----------
    n
        Number of processes, this one included.
    gradient, update
        See `Team`.
    prepare
        Called in each new process with its number, from 1.
    """
    with ExitStack() as stack:
        members: list[Member] = []
        for number in range(1, n):

            def serve(connection: Connection, number: int = number) -> None:
                prepare(number)
                _serve(connection, gradient, partial(update, number))

            members.append(_fork(serve, members))
            stack.callback(_end, members[-1])
        yield Team(gradient, update, members)


def _fork(serve: Callable[[Connection], None], before: Sequence[Member]) -> Member:
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
        serve(theirs)
    finally:
        os._exit(0)


def _serve(
    connection: Connection, gradient: Gradient, update: Callable[[int, float], None]
) -> None:
    """Do what is asked until the other end is closed."""
    generator = torch.Generator()
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        kind, content = message[:1], bytearray(message[1:])
        try:
            if kind == STEP:
                update(*NUMBERS.unpack(content))
                reply = DONE
            else:
                seed, *_ = numbers = torch.frombuffer(content, dtype=torch.int64)
                generator.manual_seed(int(seed))
                reply = DONE + gradient(numbers[1:], generator).numpy().tobytes()
        except Exception:
            reply = FAILED + traceback.format_exc().encode()
        with suppress(OSError):
            connection.send_bytes(reply)


def _send(member: Member, message: bytes) -> None:
    try:
        member.connection.send_bytes(message)
    except OSError as error:
        raise WorkerError(ENDED) from error


def _receive(member: Member) -> bytes:
    """What a member answers."""
    try:
        reply = member.connection.recv_bytes()
    except (EOFError, OSError) as error:
        raise WorkerError(ENDED) from error
    if reply.startswith(FAILED):
        raise WorkerError(
            "A process that computed gradients failed. With n_threads=1 everything runs in one process. In it:\n"
            f"{reply[1:].decode()}"
        )
    return reply[1:]


def _end(member: Member) -> None:
    member.connection.close()
    # it may be at a minibatch, and something else may have waited for it already
    with suppress(ChildProcessError):
        os.waitpid(member.process, 0)
