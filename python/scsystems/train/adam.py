"""Adam on the one vector of parameters, for the CPU: a compiled loop.

``torch.optim`` does the same, but its first step imports a compiler for two seconds, and each step
goes through some 0.2 ms of bookkeeping.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..nn.kernels.compiled import compiled
from .parallel.journal import Journal
from .parallel.shared import shared_zeros

BETAS = (0.9, 0.999)


class FlatAdam:
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) with ``decoupled`` decay.

    ``param_groups`` and ``state_dict`` are as those of ``torch.optim.Adam``.

    Parameters
    ----------
    vector
        All parameters, with ``grad`` in place.
    lr, eps, weight_decay
        As of ``torch.optim.Adam``.
    """

    def __init__(
        self, vector: nn.Parameter, lr: float, eps: float, weight_decay: float, decoupled: bool
    ):
        self.vector, self.decoupled = vector, decoupled
        self.param_groups = [{"lr": lr, "eps": eps, "weight_decay": weight_decay}]
        self.n_steps = 0
        self.mean = torch.zeros_like(vector, requires_grad=False)
        self.square = torch.zeros_like(vector, requires_grad=False)

    def share(self, n_processes: int) -> None:
        """Keep the state where so many processes, those that are forked from now on, see it."""
        self.mean, self.square = (
            shared_zeros(t.shape, t.dtype).copy_(t) for t in (self.mean, self.square)
        )
        self.journal = Journal(n_processes, 3, self.vector.dtype)

    def step(self) -> None:
        """One step along the vector's gradient."""
        arrays = [
            t.numpy() for t in (self.vector.grad, self.vector.detach(), self.mean, self.square)
        ]
        adam_pass(*arrays, self._next_numbers())

    def steps(self, gradients: Tensor, number: int, part: slice) -> None:
        """Steps of a part of the vector along several gradients, each of the whole vector.

        A process that dies in the middle of them leaves what another one can finish.

        Parameters
        ----------
        gradients
            A gradient a row.
        number, part
            The part, one for each process, and where in the vector it is.
        """
        n_before = self.n_steps
        along = [(g, self._next_numbers()) for g in gradients.numpy()[:, part]]
        arrays = [t.numpy()[part] for t in (self.vector.detach(), self.mean, self.square)]
        for block in self.journal.blocks(number, n_before, arrays):
            changed = [a[block] for a in arrays]
            for gradient, numbers in along:
                adam_pass(gradient[block], *changed, numbers)

    def _next_numbers(self) -> np.ndarray:
        """What `adam_pass` needs to know of the next step."""
        self.n_steps += 1
        group = self.param_groups[0]
        lr, decay = group["lr"], group["weight_decay"]
        corrections = [1 - beta**self.n_steps for beta in BETAS]
        numbers = (
            1 - lr * decay if self.decoupled else 1.0,
            0.0 if self.decoupled else decay,
            *BETAS,
            *(1 - beta for beta in BETAS),
            lr / corrections[0],
            corrections[1] ** -0.5,
            group["eps"],
        )
        return np.array(numbers, self.mean.numpy().dtype)

    def state_dict(self) -> dict[str, Any]:
        """Number of steps and running means."""
        state = {
            "step": torch.tensor(float(self.n_steps)),
            "exp_avg": self.mean,
            "exp_avg_sq": self.square,
        }
        return {"state": {0: state} if self.n_steps else {}, "param_groups": self.param_groups}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.param_groups = [dict(group) for group in saved["param_groups"]]
        if saved["state"]:
            state = saved["state"][0]
            self.n_steps = int(state["step"])
            self.mean.copy_(state["exp_avg"])
            self.square.copy_(state["exp_avg_sq"])


@compiled
def adam_pass(gradients, values, mean, square, numbers):
    """One step; ``numbers`` are in the order in which they are taken apart here."""
    shrink, decay, beta_1, beta_2, rest_1, rest_2, size, correction, eps = numbers
    for i in range(len(values)):
        value = values[i] * shrink
        g = gradients[i] + decay * values[i]
        mean[i] = beta_1 * mean[i] + rest_1 * g
        square[i] = beta_2 * square[i] + rest_2 * g * g
        values[i] = value - size * mean[i] / (np.sqrt(square[i]) * correction + eps)
