"""Gradients of several minibatches at a time, each from a process forked from this one.

A step on a small minibatch is hundreds of operations of some microseconds. Torch's own threads
have little to share in these, and threads of Python wait for one another at every one
(`benchmarks/NOTES.md`). Processes meet twice in a step: when they take their minibatches, and
when their gradients are there. All gradients are taken at the same weights and then applied one
after the other, so that there are as many steps of the optimizer as without them.
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
from time import perf_counter, thread_time
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import WorkerError
from .pace import Pace

# (number of the minibatch, indices of its cells, generator, whether the weights are those of the
# call before) -> losses, having written its gradient
Gradient = Callable[[int, Tensor, torch.Generator, bool], Tensor]
# (number of the part, number of gradients, steps before, learning rate): steps of a part of the
# parameters along all gradients
Update = Callable[[int, int, int, float], None]

# what a message to a process begins with: a seed and indices follow, or `NUMBERS`
MINIBATCH, STEP = b"m", b"s"
# number of gradients, steps before, learning rate
NUMBERS = struct.Struct("<qqd")
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

    What is computed does not depend on which of them does it: where waiting for the others does
    not pay, the first does it all for a while.

    Parameters
    ----------
    gradient, update
        What there is to do with a minibatch, and then for the steps of the optimizer. They must
        not use automatic differentiation, which torch refuses in forked processes, and no more
        than one thread.
    members
        The forked processes.
    """

    def __init__(self, gradient: Gradient, update: Update, members: Sequence[Member]):
        self.gradient, self.update, self.members = gradient, update, members
        self.pace, self.busy = Pace(), members

    def gradients(self, minibatches: Tensor, generator: torch.Generator) -> Tensor:
        """Write the gradient of each minibatch; returns the sum of their losses.

        Parameters
        ----------
        minibatches
            Indices of cells, at most as many minibatches as processes x size.
        generator
            Of this process; the others' minibatches get seeds that it draws.
        """
        first, *others = minibatches
        seeds = torch.randint(2**62, (len(others), 1), generator=generator)
        tasks = [torch.cat(task) for task in zip(seeds, others, strict=True)]
        self.busy = self.members[: len(tasks)] if self.pace.together() else ()
        start, used = perf_counter(), thread_time()
        for member, task in zip(self.busy, tasks, strict=False):
            _send(member, MINIBATCH + task.numpy().tobytes())
        losses = self.gradient(0, first, generator, False)
        used = thread_time() - used
        for member in self.busy:
            reply = bytearray(_receive(member))
            losses = losses + torch.frombuffer(reply, dtype=losses.dtype)
        if self.busy:
            # alone it would not compete with the others for a core: what it has worked counts
            self.pace.note(perf_counter() - start, used * len(minibatches))
        else:
            for number, task in enumerate(tasks, 1):
                losses = losses + _seeded(self.gradient, number, task, same_weights=True)
        return losses

    def step(self, n_gradients: int, n_steps: int, lr: float) -> None:
        """Steps along so many gradients, after ``n_steps`` before them."""
        members = self.members if self.busy else ()
        for member in members:
            _send(member, STEP + NUMBERS.pack(n_gradients, n_steps, lr))
        self.update(0, n_gradients, n_steps, lr)
        if not members:
            for number in range(1, 1 + len(self.members)):
                self.update(number, n_gradients, n_steps, lr)
        for member in members:
            _receive(member)


@contextmanager
def forked_team(n: int, gradient: Gradient, update: Update) -> Iterator[Team]:
    """A team of ``n`` processes, this one included, for the time of the block; see `Team`."""
    with ExitStack() as stack:
        members: list[Member] = []
        for number in range(1, n):
            serve = partial(_serve, number, gradient, update)
            members.append(_fork(serve, members))
            stack.callback(_end, members[-1])
        yield Team(gradient, update, members)


def _fork(serve: Callable[[Connection], None], before: Sequence[Member]) -> Member:
    own = os.getpid()
    ours, theirs = Pipe()
    # an interrupt that reached the new process before it ignores them would make it a second copy
    # of the program
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            # Python (and jax, where it is loaded) warn of forks where there are threads, which may
            # hold locks. The new process only computes, on one thread, and leaves without cleaning up
            warnings.simplefilter("ignore")
            process = os.fork()
        if process:
            theirs.close()
            return Member(process, ours)
    finally:
        # in the new process interrupts stay blocked
        if os.getpid() == own:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        # an end that stays open here would keep its process from learning that the team is over
        for connection in (ours, *(member.connection for member in before)):
            connection.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # objects of the program that forked are not this one's to finalize
        gc.disable()
        serve(theirs)
    finally:
        os._exit(0)


def _serve(number: int, gradient: Gradient, update: Update, connection: Connection) -> None:
    """Do what is asked until the other end is closed."""
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        kind, content = message[:1], bytearray(message[1:])
        try:
            if kind == STEP:
                update(number, *NUMBERS.unpack(content))
                reply = DONE
            else:
                task = torch.frombuffer(content, dtype=torch.int64)
                reply = DONE + _seeded(gradient, number, task, same_weights=False).numpy().tobytes()
        except Exception:
            reply = FAILED + traceback.format_exc().encode()
        with suppress(OSError):
            connection.send_bytes(reply)


def _seeded(gradient: Gradient, number: int, task: Tensor, same_weights: bool) -> Tensor:
    """The gradient of a task: a seed, and the indices of cells."""
    generator = torch.Generator().manual_seed(int(task[0]))
    return gradient(number, task[1:], generator, same_weights)


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
