"""Recorded steps; these need a GPU, and say so where there is none."""

from itertools import pairwise

import pytest
import torch

from scsystems.train.graph import WARM_UP, RecordedStep

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no NVIDIA GPU: recorded steps are NOT tested here"
)


@needs_gpu
def test_replays_see_their_own_indices_and_draw_new_random_numbers():
    device = torch.device("cuda")
    generator = torch.Generator(device).manual_seed(0)
    values = torch.arange(100.0, device=device)
    total, noise = torch.zeros((), device=device), torch.zeros(64, device=device)

    def step(indices):
        total.add_(values[indices].sum())
        noise.normal_(generator=generator)

    recorded, seen = RecordedStep(step, generator), []
    for i in range(WARM_UP + 5):
        recorded(torch.arange(i, i + 4, device=device))
        seen.append(noise.clone())
    assert float(total) == sum(4 * i + 6 for i in range(WARM_UP + 5))
    assert all(not torch.equal(a, b) for a, b in pairwise(seen))
