"""Processes that torch.distributed has joined train one network, each on minibatches of its own.

They are those of the default process group, which ``torchrun`` and ``init_process_group`` make. A
step takes a minibatch in each of them at the same weights; gradients and what else a minibatch
changes (running statistics of BatchNorm) are averaged in one all-reduce, so that all networks stay
the same. All messages are calls of
torch.distributed, whose time limit is that of the group.

Before a training begins, all processes tell one another what they are about to do. One that fails
until then tells the others, so that none waits for it; one that fails later ends, which ends the
others' waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...data.source import BatchSource, Shard
from ...errors import InputError, NotSupportedError, WorkerError
from ...words import word
from ..flat import FlatParameters
from .statistics import learned_beside

T = TypeVar("T")

# how long processes wait for what only the first one does before training
PATIENCE = timedelta(hours=6)
# characters of a value in a message
SHOWN = 80

LOST = (
    "Another process of the group has ended, or did not answer within the group's time limit ({}). Its own message "
    "says why. Start all of them again; with a folder for checkpoints training goes on from the last one."
)


class Group:
    """The processes that train together, seen from one of them: the ``number``-th of ``n``, from 0.

    Parameters
    ----------
    patient
        Whether processes wait long for one another before training begins.
    """

    def __init__(self, patient: bool = False) -> None:
        self.number, self.n = dist.get_rank(), dist.get_world_size()
        self.shard = Shard(self.number, self.n)
        # whether the others no longer wait to be told what this one is about to do
        self.over = False
        self._channel: Any = None
        if patient:
            with self._reaching():
                self._channel = dist.new_group(timeout=PATIENCE, backend="gloo")

    @property
    def is_first(self) -> bool:
        """Whether it is this process that writes and reports."""
        return self.number == 0

    def tell(self, value: Any, failure: str | None = None) -> list[Any]:
        """What every process tells, by number; values must be such as JSON can hold.

        Raises
        ------
        WorkerError
            If another one has failed.
        """
        answers: list[Any] = [None] * self.n
        with self._reaching():
            message = json.dumps([failure, value], default=str)
            dist.all_gather_object(answers, message, group=self._channel)
        told = [json.loads(answer) for answer in answers]
        for number, (failed, _) in enumerate(told):
            if failed is not None and failure is None:
                self.over = True
                raise WorkerError(f"Process {number} of the group could not begin: {failed}")
        return [said for _, said in told]

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Refuse to train unless all processes are about to do the same.

        Raises
        ------
        InputError
            If they are not, naming what differs.
        """
        everyone = self.tell(dict(facts))
        self.over = True
        first = everyone[0]
        for number, there in enumerate(everyone):
            differs = [key for key in first | there if first.get(key) != there.get(key)]
            if differs:
                pairs = "; ".join(
                    f"{key} is {_shown(first.get(key))} in process 0 and {_shown(there.get(key))} in process {number}"
                    for key in differs[:3]
                )
                raise InputError(
                    f"The processes of the group were not given the same: {pairs}. Expected the same cells and "
                    "arguments in all of them; each takes minibatches of its own from all cells."
                )

    def fail(self, error: Exception) -> None:
        """Tell the others that this process is not going to begin, if they wait for that."""
        if not self.over:
            self.over = True
            with suppress(WorkerError):
                self.tell(None, str(error) or type(error).__name__)

    def first_does(self, work: Callable[[], T]) -> T | None:
        """What the first process does alone; the others wait for it, and have ``None``."""
        done = work() if self.is_first else None
        self.tell(None)
        return done

    def require(self, device: torch.device) -> None:
        """Refuse a device that the group has no way to send from."""
        ways = dist.get_backend_config()
        if f"{device.type}:" not in ways:
            raise InputError(
                f"Training is to run on {device.type}, but the process group can send from {ways} only. Expected "
                f"a group of gloo for CPUs, of nccl for GPUs, or the other device by {word('accelerator')}."
            )

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        with self._reaching():
            dist.all_reduce(tensor)
        return tensor

    def any(self, here: bool, device: torch.device) -> bool:
        """Whether something holds in one process at least."""
        return bool(self.add_up(torch.tensor(float(here), device=device)) > 0)

    def copy_from_first(self, net: nn.Module) -> None:
        """Give all processes the first one's network, which may differ in the last digits on other machines."""
        with self._reaching():
            for tensor in (*net.parameters(), *net.buffers()):
                dist.broadcast(tensor.detach(), 0)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            self.over = True
            raise WorkerError(LOST.format(str(error).splitlines()[0])) from error


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


_joined: ContextVar[Group | None] = ContextVar("group", default=None)


def process_group(patient: bool = False) -> Group | None:
    """The group that this process is in; ``None`` where it trains alone."""
    if (group := _joined.get()) is not None:
        return group
    there = dist.is_available() and dist.is_initialized()
    return Group(patient) if there and dist.get_world_size() > 1 else None


@contextmanager
def joined(patient: bool = False) -> Iterator[Group | None]:
    """Within the block, or a function decorated with it, other processes learn of a failure before training begins."""
    if _joined.get() is not None or (group := process_group(patient)) is None:
        yield _joined.get()
        return
    token = _joined.set(group)
    try:
        yield group
    except Exception as error:
        group.fail(error)
        raise
    finally:
        _joined.reset(token)


def require_one_process(what: str) -> None:
    """Refuse to train what several processes cannot train together."""
    if (group := process_group()) is not None:
        raise NotSupportedError(
            f"{what} trains in one process, and this one is in a process group of {group.n}. Expected it without "
            "torchrun or init_process_group(); SysVI is what several processes train together."
        )


class Replica:
    """The copy of a network that one of the processes of a group trains.

    Parameters
    ----------
    group
        The processes.
    flat
        The parameters, with as many numbers beside their gradient as `learned_beside` has.
    net
        The network.
    generator
        In the same state in all processes, and again after each epoch.
    clip
        Largest norm of the averaged gradient.

    Attributes
    ----------
    noise
        What this process draws its own random numbers from.
    """

    def __init__(
        self,
        group: Group,
        flat: FlatParameters,
        net: nn.Module,
        generator: torch.Generator,
        clip: float | None,
    ):
        self.group, self.vector, self.generator, self.clip = group, flat.vector, generator, clip
        self.sent, self.beside = flat.sent, flat.beside
        self.learned = learned_beside(net)
        self.agreed = self._present()
        self.order = torch.Generator(generator.device)
        self.noise = torch.Generator(generator.device)

    def _present(self) -> Tensor:
        return torch.cat([s.flatten() for s in self.learned] or [self.beside.clone()])

    def epoch(self, cells: BatchSource, batch_size: int) -> Iterator[Tensor]:
        """Blocks of an epoch, those of this process."""
        shape, device = (self.group.n + 1,), self.generator.device
        seeds = torch.randint(2**62, shape, generator=self.generator, device=device).tolist()
        self.order.manual_seed(seeds[-1])
        self.noise.manual_seed(seeds[self.group.number])
        return cells.epoch(batch_size, self.order, self.group.shard)

    @torch.no_grad()
    def average(self) -> None:
        """Average the gradient, and what else the minibatches have changed."""
        torch.sub(self._present(), self.agreed, out=self.beside)
        self.group.add_up(self.sent).div_(self.group.n)
        self.agreed += self.beside
        places = self.agreed.split([s.numel() for s in self.learned])
        for tensor, values in zip(self.learned, places, strict=True):
            tensor.copy_(values.view_as(tensor))
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.vector, self.clip)
