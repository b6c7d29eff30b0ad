"""The package's way on an NVIDIA GPU, with numbers, on the CPU.

What is asked of the device "cuda" the CPU does, and torch.cuda is replaced by what keeps a record.
So every decision that is made of a `torch.device` is made as on a GPU: where cells lie, pinned
memory, events, the recording of steps. `stand_in` is for decisions that are made of a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from stand_in import everywhere
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from scsystems.nn import device as ways
from scsystems.train.step import Steps

GIB = 2**30


@dataclass
class Cuda:
    """A GPU, and what has been done with it."""

    free: int = 8 * GIB
    reserved: int = 0
    allocated: int = 0
    log: list[str] = field(default_factory=list)
    # the recording that is being made
    recording: Graph | None = None

    def did(self, what: str) -> Any:
        self.log.append(what)
        return nullcontext()

    def count(self, what: str) -> int:
        return self.log.count(what)


class Graph:
    """A recording of a step: while it is made nothing happens, a replay is the step on the same tensors."""

    def __init__(self, cuda: Cuda):
        self.cuda, self.generator, self.body = cuda, None, None

    def register_generator_state(self, generator) -> None:
        self.generator = generator

    def replay(self) -> None:
        assert self.generator is not None, "a replay would draw the same numbers again"
        self.cuda.did("replay")
        self.body()


class Stream:
    def __init__(self, cuda: Cuda, name: str):
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: Stream) -> None:
        self.cuda.did(f"{self.name} waits for {other.name}")


class Event:
    def __init__(self, cuda: Cuda):
        self.cuda = cuda

    def record(self) -> None:
        self.cuda.did("event")

    def synchronize(self) -> None:
        self.cuda.did("wait for event")


class Generator(torch.Generator):
    """A generator of the CPU, whatever it is asked for."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, _cpu(torch.device(device)))


class OnTheCpu(TorchFunctionMode):
    """What is asked of a GPU is done by the CPU."""

    def __init__(self, cuda: Cuda):
        super().__init__()
        self.cuda = cuda

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.pop("pin_memory", False):
            self.cuda.did("pinned")
        args, kwargs = tree_map_only(torch.device, _cpu, (args, kwargs))
        return func(*args, **kwargs)


def _cpu(device: torch.device) -> torch.device:
    return torch.device("cpu") if device.type == "cuda" else device


@contextmanager
def fake_cuda(cuda: Cuda | None = None) -> Iterator[Cuda]:
    """For the time of the block there is a GPU."""
    cuda = Cuda() if cuda is None else cuda
    step = Steps.step
    side, main = Stream(cuda, "side"), Stream(cuda, "main")

    def maybe_recorded(self, indices):
        if cuda.recording is None:
            step(self, indices)
        else:
            cuda.recording.body = lambda: step(self, indices)

    @contextmanager
    def graph(made: Graph):
        cuda.did("record")
        cuda.recording = made
        yield
        cuda.recording = None

    replaced = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_capability": lambda device=None: (9, 0),
        "mem_get_info": lambda device=None: (cuda.free, 80 * GIB),
        "memory_reserved": lambda device=None: cuda.reserved,
        "memory_allocated": lambda device=None: cuda.allocated,
        "device": lambda device: cuda.did(f"on {device}"),
        "Stream": lambda device=None: side,
        "stream": lambda stream: cuda.did(f"with {stream.name}"),
        "current_stream": lambda device=None: main,
        "Event": lambda: Event(cuda),
        "graph": graph,
    }
    with pytest.MonkeyPatch.context() as patch, OnTheCpu(cuda):
        for name, value in replaced.items():
            patch.setattr(torch.cuda, name, value)
        graphs = type(
            "Graphs", (), {"__new__": lambda cls: Graph(cuda), "register_generator_state": None}
        )
        patch.setattr(torch.cuda, "CUDAGraph", graphs)
        patch.setattr(torch, "Generator", Generator)
        everywhere(patch, ways.on_cpu, lambda where: False)
        patch.setattr(Steps, "step", maybe_recorded)
        yield cuda
