"""Gradients of several minibatches at a time, each from a process forked from this one.

A step on a small minibatch is hundreds of operations of some microseconds. Torch's own threads
have little to share in these, and threads of Python wait for one another at every one
(`benchmarks/NOTES.md`). Processes meet twice in a step: when they take their minibatches, and
when their gradients are there. All gradients are taken at the same weights and then applied one
after the other, so that there are as many steps of the optimizer as without them.

Nothing waits for ever: a process that hangs or dies is ended, and the first one does its work,
what it was at included.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter, thread_time
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import WorkerError
from .channel import Patience, Silence, channel, receive, send
from .pace import Pace
from .quiet import quiet_moment

logger = logging.getLogger(__name__)

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

# a process hangs that has not answered for so many seconds, and for so many times what the first
# process took for its own part, after this was done
SECONDS, TIMES = 10.0, 5.0
# asks Linux for a signal when the process that forked this one ends
PR_SET_PDEATHSIG = 1
# seconds that processes have to leave by themselves
LEAVE = 2.0

HANGS = (
    "A process that computed gradients did not answer in time and was ended. It hung, most likely at a lock that "
    "another thread of the program held when it began."
)
DIED = "A process that computed gradients has ended, for want of memory most likely."
NOT_STARTED = "A process to compute gradients in could not be started ({})."
INSTEAD = (
    "The first process does its part from now on: the result is the same, training takes longer. With n_threads=1 "
    "everything runs in one process."
)


def can_fork() -> bool:
    """Whether a process can be forked in the middle of a program: on Linux."""
    return sys.platform == "linux"


class Worker(NamedTuple):
    """A forked process, seen from the one that forked it; ``number`` is that of its minibatch and part."""

    number: int
    process: int
    connection: socket.socket


class Workers:
    """A process and those forked from it.

    What is computed does not depend on which of them does it: where waiting for the others does
    not pay, the first does it all for a while, and it does what those leave that are lost.

    Parameters
    ----------
    n
        Number of processes that share the work.
    gradient, update
        What there is to do with a minibatch, and then for the steps of the optimizer. They must
        not use automatic differentiation, which torch refuses in forked processes, and no more
        than one thread. Where a process is lost, the first calls them with the same arguments
        again: what they have begun must not matter then.
    others
        The forked processes; those that are lost are taken out.
    """

    def __init__(self, n: int, gradient: Gradient, update: Update, others: list[Worker]):
        self.n, self.gradient, self.update, self.others = n, gradient, update, others
        self.pace, self.together = Pace(), True

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
        tasks = dict(enumerate(map(torch.cat, zip(seeds, others, strict=True)), 1))
        together = self.others and self.pace.together()
        start, used = perf_counter(), thread_time()
        messages = {i: MINIBATCH + task.numpy().tobytes() for i, task in tasks.items()}
        asked = self._ask(messages if together else {})
        self.together = bool(asked)
        losses = self.gradient(0, first, generator, False)
        used = thread_time() - used
        answers = self._answers(asked, perf_counter() - start)
        if asked and len(answers) == len(tasks):
            # alone it would not compete with the others for a core: what it has worked counts
            self.pace.note(perf_counter() - start, used * len(minibatches))
        for i, task in tasks.items():
            if i in answers:
                more = torch.frombuffer(answers[i], dtype=losses.dtype)
            else:
                more = _seeded(self.gradient, i, task, same_weights=True)
            losses = losses + more
        return losses

    def step(self, n_gradients: int, n_steps: int, lr: float) -> None:
        """Steps along so many gradients, after ``n_steps`` before them."""
        start, others = perf_counter(), range(1, self.n)
        message = STEP + NUMBERS.pack(n_gradients, n_steps, lr)
        asked = self._ask(dict.fromkeys(others, message) if self.together else {})
        self.update(0, n_gradients, n_steps, lr)
        answers = self._answers(asked, perf_counter() - start)
        for part in others:
            if part not in answers:
                self.update(part, n_gradients, n_steps, lr)

    def _ask(self, messages: Mapping[int, bytes]) -> list[Worker]:
        """Send messages by number; returns the processes that have got theirs."""
        asked = []
        for worker in [m for m in self.others if m.number in messages]:
            with self._losing(worker):
                send(worker.connection, messages[worker.number], Patience(SECONDS))
                asked.append(worker)
        return asked

    def _answers(self, asked: Sequence[Worker], own: float) -> dict[int, bytearray]:
        """What they answer, by number, after so many seconds in which the first did its own part."""
        answers, patience = {}, Patience(SECONDS + TIMES * own)
        for worker in asked:
            with self._losing(worker):
                answers[worker.number] = receive(worker.connection, patience)
        for i, answer in answers.items():
            if answer.startswith(FAILED):
                raise WorkerError(
                    "A process that computed gradients failed. With n_threads=1 everything runs in one process. "
                    f"In it:\n{answer[len(FAILED) :].decode()}"
                )
            answers[i] = answer[len(DONE) :]
        return answers

    @contextmanager
    def _losing(self, worker: Worker) -> Iterator[None]:
        """If the process hangs or has died in the block, it is ended and no longer takes part."""
        try:
            yield
        except (Silence, OSError) as lost:
            self.others.remove(worker)
            worker.connection.close()
            _kill(worker.process)
            logger.warning("%s %s", HANGS if isinstance(lost, Silence) else DIED, INSTEAD)


@contextmanager
def forked_workers(n: int, gradient: Gradient, update: Update) -> Iterator[Workers]:
    """``n`` processes, this one included, for the time of the block; see `Workers`."""
    others: list[Worker] = []
    try:
        try:
            for number in range(1, n):
                _fork(number, gradient, update, others)
        except OSError as error:
            logger.warning("%s %s", NOT_STARTED.format(error), INSTEAD)
        yield Workers(n, gradient, update, others)
    finally:
        _end_all(others)


def _fork(number: int, gradient: Gradient, update: Update, others: list[Worker]) -> None:
    """Fork a process and add it to the others."""
    own = os.getpid()
    set_attribute = ctypes.CDLL(None).prctl
    ours, theirs = channel()
    # an interrupt that reached the new process before it ignores them would make it a second copy
    # of the program; one that reached this process would make it forget the new one
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings(), quiet_moment():
            # Python (and jax, where it is loaded) warn of forks where there are threads, which may
            # hold locks. The new process only computes, on one thread, and leaves without cleaning up
            warnings.simplefilter("ignore")
            process = os.fork()
        if process:
            others.append(Worker(number, process, ours))
            theirs.close()
            return
    except OSError:
        ours.close()
        theirs.close()
        raise
    finally:
        # in the new process interrupts stay blocked
        if os.getpid() == own:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        # it must not outlive the program, not even where it hangs
        set_attribute(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != own:
            os._exit(0)
        # an end that stays open here would keep its process from learning that the work is over
        for connection in (ours, *(worker.connection for worker in others)):
            connection.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # objects of the program that forked are not this one's to finalize
        gc.disable()
        _serve(number, gradient, update, theirs)
    finally:
        os._exit(0)


def _serve(number: int, gradient: Gradient, update: Update, end: socket.socket) -> None:
    """Do what is asked until the other end is closed."""
    while True:
        try:
            message = receive(end)
        except OSError:
            return
        kind, content = bytes(message[:1]), message[1:]
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
            send(end, reply)


def _seeded(gradient: Gradient, number: int, task: Tensor, same_weights: bool) -> Tensor:
    """The gradient of a task: a seed, and the indices of cells."""
    generator = torch.Generator().manual_seed(int(task[0]))
    return gradient(number, task[1:], generator, same_weights)


def _end_all(others: Sequence[Worker]) -> None:
    """End processes: by themselves if they can."""
    for worker in others:
        worker.connection.close()
    try:
        end = perf_counter() + LEAVE
        while not all(_has_left(m.process) for m in others) and perf_counter() < end:
            time.sleep(0.001)
    finally:
        for worker in others:
            _kill(worker.process)


def _has_left(process: int) -> bool:
    try:
        return os.waitpid(process, os.WNOHANG)[0] != 0
    except ChildProcessError:
        # something else may have waited for it already
        return True


def _kill(process: int) -> None:
    """End a process that may hang; as long as nothing has waited for it, the number is its own."""
    if not _has_left(process):
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
