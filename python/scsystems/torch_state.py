"""Torch as it is when nothing has been changed, for the time in which this package uses it.

A program may have set torch for its own networks: another default dtype or device, autocast,
inference mode, gradients off, products of lower precision. Here a tensor without a dtype is
float32 and on the CPU, gradients are wanted, and how precise products are is an argument of
``train``. So every door of the package that leads to torch puts these settings aside and puts them
back in the end. The number of threads is left as it is, and kept (`scsystems.threads`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

from .threads import torch_threads_kept

T = TypeVar("T", bound=type)

# where autocast can be on
_DEVICES = ("cpu", "cuda", "mps")


@contextmanager
def usual_torch() -> Iterator[None]:
    """Within a block, or a function decorated with it, torch is as if it had just been imported."""
    with ExitStack() as stack:
        stack.enter_context(torch_threads_kept())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for device in _DEVICES:
            if _autocasts(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.tensor(0.0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        dtype = torch.get_default_dtype()
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        precision = _precision_of_products()
        if precision != "highest":
            torch.set_float32_matmul_precision("highest")
            stack.callback(torch.set_float32_matmul_precision, precision)
        yield


def usual_torch_inside(model: T) -> T:
    """Decorator of a class: its public methods, inherited ones included, run in `usual_torch`."""
    for name in dir(model):
        if name.startswith("_") and name != "__init__":
            continue
        member = inspect.getattr_static(model, name)
        if isinstance(member, (classmethod, staticmethod)):
            setattr(model, name, type(member)(_inside(member.__func__)))
        elif inspect.isfunction(member):
            setattr(model, name, _inside(member))
    return model


def _inside(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with usual_torch():
            return function(*args, **kwargs)

    return inside


def _autocasts(device: str) -> bool:
    if hasattr(torch, "get_autocast_dtype"):  # from torch 2.4 on it is told by device
        return torch.is_autocast_enabled(device)
    return {"cpu": torch.is_autocast_cpu_enabled, "cuda": torch.is_autocast_enabled}.get(
        device, lambda: False
    )()


def _precision_of_products() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # the program has set it for each library by itself; that stays
        return "highest"
