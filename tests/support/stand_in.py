"""A GPU for tests that no machine has to have: nothing is computed, everything that is asked of it is seen.

Tensors are fake: they have shapes and devices and no values. `GPU` is a device that is not the CPU,
so the package goes the ways that it goes on a GPU. A build of torch for CPUs can differentiate on
the device "lazy" and tells it from the CPU; with "cuda" the process would end.

`StandIn` finds tensors that were left on the CPU. `Watch` finds what would make a GPU wait for the
computer within a step, what a recording of the step would not repeat, and random numbers that no
seed decides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scsystems.nn import device as ways
from scsystems.train import device as devices
from scsystems.train.step import Steps

GPU = torch.device("lazy", 0)
# what seeds of its generators have and others have not
MARK = 2**62
aten = torch.ops.aten


class Waits(AssertionError):
    """A step on a GPU would wait for the computer, or do other things when it is replayed."""


class StandIn(FakeTensorMode):
    """Within it tensors are fake, also those on the CPU; every number that is read is 1.

    Where the shape of a result depends on values it is the largest there can be.
    """

    def __init__(self):
        # what was made before is real
        super().__init__(allow_non_fake_inputs=True)

    def __deepcopy__(self, memo):
        # copies of tensors are of the same mode
        return self

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return torch.ones((), dtype=args[0].dtype).numpy().item()
        if func is aten.nonzero.default:
            return args[0].new_zeros((args[0].numel(), args[0].dim()), dtype=torch.int64)
        if func is aten.bincount.default:
            return args[0].new_zeros(args[2])
        if func is aten._unique2.default:
            flat = args[0].flatten()
            return flat, torch.zeros_like(args[0]), flat.new_zeros(0)
        return super().__torch_dispatch__(func, types, args, kwargs or {})


@dataclass
class Seen:
    """What has been watched: steps, and operations in them; while ``aside`` nobody watches."""

    steps: int = 0
    operations: int = 0
    aside: bool = False


class Watch(TorchDispatchMode):
    """Within it runs what a GPU has to do on its own."""

    def __init__(self, seen: Seen | None = None):
        super().__init__()
        self.seen = Seen() if seen is None else seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.seen.aside:
            return func(*args, **(kwargs or {}))
        given = tree_leaves([args, kwargs])
        complain(func, before(func, given))
        out = func(*args, **(kwargs or {}))
        complain(func, after(given, tree_leaves(out)))
        self.seen.operations += 1
        return out


def complain(func, what: str | None) -> None:
    if what is not None:
        raise Waits(f"{func} {what}")


def before(func, given: list) -> str | None:
    """What is wrong with an operation on what it is given, if anything is."""
    tensors = [t for t in given if isinstance(t, Tensor)]
    there = [t for t in tensors if on_gpu(t)]
    # a single number of the CPU travels with the launch, but not in a copy
    here = [t for t in tensors if not on_gpu(t) and (t.dim() or func is aten.copy_.default)]
    if there and here:
        return "takes tensors of both devices"
    if torch.Tag.nondeterministic_seeded in func.tags:
        if not any(isinstance(g, torch._C.Generator) for g in given):
            return "draws from the global generator"
    if not there:
        return None
    if torch.Tag.data_dependent_output in func.tags:
        return "reads a value"
    if func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
        # what is read or written comes first
        masks = any(t.dtype in (torch.bool, torch.uint8) for t in tensors[1:])
        return "has a mask for an index" if masks and func is aten.index.Tensor else None
    if torch.Tag.dynamic_output_shape in func.tags:
        return "has a shape that depends on values"
    return None


def after(given: list, made: list) -> str | None:
    """What is wrong with an operation that made this of that."""
    tensors = [t for t in given if isinstance(t, Tensor)]
    results = [t for t in made if isinstance(t, Tensor)]
    if any(map(on_gpu, tensors)) and not all(map(on_gpu, results)):
        return "copies to the CPU"
    if tensors and not any(map(on_gpu, tensors)) and any(map(on_gpu, results)):
        return "copies from the CPU"
    drawn_by = [g for g in given if isinstance(g, torch._C.Generator)]
    if drawn_by and any(on_gpu(t) != bool(drawn_by[0].initial_seed() & MARK) for t in results):
        return "draws from a generator of another device"
    return None


def on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type == GPU.type


class Generator(torch.Generator):
    """Says that it is where it was asked to be."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls, "cpu")
        made.asked = torch.device(device)
        return made.manual_seed(0)

    @property
    def device(self):
        return self.asked

    def manual_seed(self, seed):
        return super().manual_seed(seed | MARK if self.asked.type == GPU.type else seed)


def everywhere(patch: pytest.MonkeyPatch, original, stand_in) -> None:
    """Put something in the place of a function wherever the package has imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("scsystems"):
            for key, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, key, stand_in)


@contextmanager
def gpu() -> Iterator[Seen]:
    """For the time of the block a GPU is there, and all that trains trains on it; steps are watched."""
    seen, step = Seen(), Steps.step

    def watched(self, indices):
        with Watch(seen):
            step(self, indices)
        seen.steps += 1

    with pytest.MonkeyPatch.context() as patch, StandIn():
        everywhere(patch, devices.choose_device, lambda *_: GPU)
        patch.setattr(ways, "HAND_WRITTEN", (*ways.HAND_WRITTEN, GPU.type))
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(FakeTensor, "numpy", _numpy, raising=False)
        patch.setattr(FakeTensor, "tolist", lambda t: np.ones(t.shape).tolist(), raising=False)
        patch.setattr(nn.Module, "to", _moved)
        patch.setattr(Steps, "step", watched)
        yield seen


def _numpy(tensor: Tensor) -> np.ndarray:
    if on_gpu(tensor):
        raise TypeError("numpy() of a tensor on a GPU")
    return np.zeros(tensor.shape, str(tensor.dtype).removeprefix("torch."))


def _moved(net: nn.Module, device) -> nn.Module:
    """A network with its tensors elsewhere; torch cannot do this to fake parameters."""
    for module in net.modules():
        for name, p in module._parameters.items():
            if p is not None:
                moved = nn.Parameter(p.detach().to(device), p.requires_grad)
                module._parameters[name] = moved
        for name, b in module._buffers.items():
            module._buffers[name] = None if b is None else b.to(device)
    return net
