"""Latent cycle-consistency: a cell and its counterfactual in another system must agree."""

from __future__ import annotations

import torch
from torch import Tensor

# a collapsed dimension has no spread and no distance either
SMALLEST_STD = 1e-8


def other_system(system: Tensor, n_systems: int, generator: torch.Generator | None) -> Tensor:
    """Draw for each cell a system that is not its own, all others equally likely."""
    if n_systems == 2:
        return 1 - system
    step = torch.randint(1, n_systems, system.shape, device=system.device, generator=generator)
    return (system + step) % n_systems


def cycle_distance(mean: Tensor, mean_cycle: Tensor) -> Tensor:
    """Squared distance of standardized posterior means, B x L and B x L -> B.

    Both are standardized per latent dimension with the mean and standard deviation of the
    concatenation over the minibatch, else the loss would fall by shrinking the latent space.
    The common mean cancels in the difference.
    """
    std = torch.cat([mean, mean_cycle]).std(0)
    return ((mean - mean_cycle) / std.clamp_min(SMALLEST_STD)).square().sum(-1)
