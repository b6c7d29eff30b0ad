"""The stand-in for a GPU sees the faults it is there for."""

import re

import numpy as np
import pytest
import torch
from stand_in import GPU, Generator, StandIn, Waits, Watch, gpu
from torch import nn


def x(*shape):
    return torch.ones(*(shape or (4, 3)), device=GPU)


def index(device=GPU):
    return torch.zeros(2, dtype=torch.int64, device=device)


def on_cpu():
    return torch.ones(4, 3)


def generator(device=GPU):
    return Generator(device).manual_seed(0)


LINEAR = nn.Linear(3, 2)
FAULTS = {
    "a value is read": (lambda: x().sum().item(), "reads a value"),
    "float()": (lambda: float(x().sum()), "reads a value"),
    "a decision": (lambda: bool(x().any()), "reads a value"),
    "comparison": (lambda: torch.equal(x(), x()), "reads a value"),
    "nonzero": (lambda: x().nonzero(), "has a shape"),
    "where with one argument": (lambda: torch.where(x() > 0), "has a shape"),
    "mask": (lambda: x()[x() > 0], "has a mask"),
    "mask of rows": (lambda: x()[x()[:, 0] > 0], "has a mask"),
    "masked_select": (lambda: x().masked_select(x() > 0), "has a shape"),
    "unique": (lambda: x().unique(), "has a shape"),
    "bincount": (lambda: torch.bincount(index()), "has a shape"),
    "repeat_interleave": (lambda: x(2, 3).repeat_interleave(index(), 0), "has a shape"),
    "to the CPU": (lambda: x().cpu(), "copies to the CPU"),
    "from the CPU": (lambda: on_cpu().to(GPU), "copies from the CPU"),
    "copy_": (lambda: x().copy_(on_cpu()), "takes tensors of both devices"),
    "copy_ of a number": (lambda: x().copy_(torch.ones(())), "takes tensors of both devices"),
    "a constant": (lambda: torch.tensor([1.0, 2.0], device=GPU), "copies from the CPU"),
    "product of both": (lambda: x() @ torch.ones(3, 2), "takes tensors of both devices"),
    "sum of both": (lambda: x() + on_cpu(), "takes tensors of both devices"),
    "index on the CPU": (lambda: x()[index("cpu")], "takes tensors of both devices"),
    "codes on the CPU": (
        lambda: nn.functional.embedding(index("cpu"), x()),
        "takes tensors of both devices",
    ),
    "weights on the CPU": (lambda: LINEAR(x()), "takes tensors of both devices"),
    "noise without a generator": (
        lambda: torch.randn(4, device=GPU),
        "draws from the global generator",
    ),
    "noise like another": (lambda: torch.rand_like(x()), "draws from the global generator"),
    "dropout of torch": (lambda: nn.functional.dropout(x()), "draws from the global generator"),
    "generator of the CPU": (
        lambda: x().normal_(generator=generator("cpu")),
        "draws from a generator of another device",
    ),
}
FINE = {
    "a number of the CPU": lambda: x() * torch.tensor(2.0),
    "an index": lambda: x()[index()],
    "writing at an index": lambda: x().index_put_((index(),), x(2, 3)),
    "writing by a mask": lambda: x().masked_fill_(x() > 0, 0.0),
    "noise": lambda: x().normal_(generator=generator()),
    "on the CPU alone": lambda: on_cpu().sum().item(),
    "gradient": lambda: (x().requires_grad_() @ x(3, 2)).sum().backward(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_seen(name):
    fault, message = FAULTS[name]
    with StandIn(), Watch(), pytest.raises(Waits, match=re.escape(message)):
        fault()


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_passes(name):
    with StandIn(), Watch():
        FINE[name]()


def test_numpy_of_a_tensor_on_a_gpu():
    with gpu():
        assert np.array_equal(on_cpu().numpy(), np.zeros((4, 3)))
        with pytest.raises(TypeError, match="on a GPU"):
            x().numpy()


def test_mixes_are_seen_outside_of_steps_too():
    with StandIn(), pytest.raises(Exception, match="two devices, lazy:0 and cpu"):
        x() + on_cpu()
