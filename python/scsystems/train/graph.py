"""A training step recorded as a CUDA graph: one launch instead of hundreds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# steps before recording: libraries choose their kernels and allocate workspaces then
WARM_UP = 3


def can_record(device: torch.device) -> bool:
    """Whether steps on this device can be recorded, random numbers included (torch 2.4 on)."""
    return device.type == "cuda" and hasattr(torch.cuda.CUDAGraph, "register_generator_state")


class RecordedStep:
    """Run a step on a GPU from a recording of it.

    The first calls run as they are, on a stream of their own, as CUDA asks for before a
    recording; they are steps like all others. The next call records, and all from then on
    replay with their own indices. A step must have fixed shapes, no decisions that depend on
    values, and draw random numbers from ``generator`` only.

    Parameters
    ----------
    step
        Takes the indices of a minibatch, a fixed number of them, and returns nothing.
    generator
        Generator of the GPU.
    """

    def __init__(self, step: Callable[[Tensor], None], generator: torch.Generator):
        self.step, self.generator = step, generator
        self.stream = torch.cuda.Stream(generator.device)
        self.n_calls = 0

    def __call__(self, indices: Tensor) -> None:
        """One step on the cells at ``indices``."""
        self.n_calls += 1
        if self.n_calls <= WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.step(indices)
            torch.cuda.current_stream().wait_stream(self.stream)
            return
        if self.n_calls == WARM_UP + 1:
            self._record(indices)
        self.indices.copy_(indices)
        self.graph.replay()

    def _record(self, indices: Tensor) -> None:
        self.indices = indices.clone()
        self.graph = torch.cuda.CUDAGraph()
        # without this a replay would draw the same numbers again
        self.graph.register_generator_state(self.generator)
        with torch.cuda.graph(self.graph):
            self.step(self.indices)
