"""The optimiser that suits a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .adam import FlatAdam

if TYPE_CHECKING:
    from .loop import FitSettings


def make_optimizer(
    vector: nn.Parameter, settings: FitSettings, device: torch.device
) -> torch.optim.Optimizer | FlatAdam:
    """Adam or AdamW in the fastest form for the device."""
    options = {"eps": settings.eps, "weight_decay": settings.weight_decay}
    if device.type == "cpu":
        return FlatAdam(vector, settings.lr, **options, decoupled=settings.optimizer == "AdamW")
    kind = getattr(torch.optim, settings.optimizer)
    if device.type == "cuda":
        # a recorded step reads the learning rate from the GPU, where it can be changed
        lr = torch.tensor(settings.lr, device=device)
        return kind([vector], lr=lr, **options, fused=True, capturable=True)
    return kind([vector], lr=settings.lr, **options)


def set_learning_rate(optimizer: torch.optim.Optimizer | FlatAdam, lr: float) -> None:
    """Change the learning rate, where a recorded step finds it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
