"""The optimizer that suits a device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .adam import FlatAdam


def make_optimizer(
    vector: nn.Parameter,
    kind: Literal["Adam", "AdamW"],
    lr: float,
    eps: float,
    weight_decay: float,
) -> torch.optim.Optimizer | FlatAdam:
    """Adam or AdamW in the fastest form for the device of the parameters."""
    options = {"eps": eps, "weight_decay": weight_decay}
    if vector.device.type == "cpu":
        return FlatAdam(vector, lr, **options, decoupled=kind == "AdamW")
    optimizer = getattr(torch.optim, kind)
    if vector.device.type == "cuda":
        # a recorded step reads the learning rate from the GPU, where it can be changed
        on_device = torch.tensor(lr, device=vector.device)
        return optimizer([vector], lr=on_device, **options, fused=True, capturable=True)
    return optimizer([vector], lr=lr, **options)


def set_learning_rate(optimizer: torch.optim.Optimizer | FlatAdam, lr: float) -> None:
    """Change the learning rate, where a recorded step finds it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
