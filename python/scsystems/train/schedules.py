"""Things that change between epochs: early stopping, learning-rate reduction, linear ramps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from .. import checks


def ramp(start: float, stop: float, n_epochs: int, epoch: int) -> float:
    """Linear from ``start`` at epoch 0 to ``stop`` at epoch ``n_epochs``, then constant."""
    if n_epochs <= 0:
        return stop
    return start + (stop - start) * min(1.0, epoch / n_epochs)


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a monitored quantity no longer improves.

    Parameters
    ----------
    monitor
        Key of the history, for example ``"elbo_validation"``.
    min_delta
        Smallest change that counts as an improvement.
    patience
        Checks without improvement before training stops.
    warmup_epochs
        Epochs before the first check counts.
    mode
        Whether smaller (``"min"``) or larger (``"max"``) is better.
    """

    monitor: str = "elbo_validation"
    min_delta: float = 0.0
    patience: int = 45
    warmup_epochs: int = 0
    mode: Literal["min", "max"] = "min"

    def __post_init__(self):
        checks.keep(
            self,
            monitor=checks.name("early_stopping_monitor", self.monitor),
            min_delta=checks.number("early_stopping_min_delta", self.min_delta),
            patience=checks.count("early_stopping_patience", self.patience),
            warmup_epochs=checks.count("early_stopping_warmup_epochs", self.warmup_epochs, 0),
            mode=checks.choice("early_stopping_mode", self.mode, ("min", "max")),
        )


@dataclass
class Plateau:
    """Progress of one monitored quantity: its best value and how long ago that was.

    Serves early stopping and learning-rate reduction; plain numbers, so that a checkpoint
    can hold it.
    """

    best: float = field(default=math.inf)
    waited: int = 0

    def update(self, value: float, min_delta: float, mode: str = "min") -> int:
        """Note a new value; returns the number of checks since the last improvement."""
        value = value if mode == "min" else -value
        if value < self.best - min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited


@dataclass(frozen=True)
class ReduceLearningRate:
    """Multiply the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` checks."""

    monitor: str = "elbo_validation"
    factor: float = 0.6
    patience: int = 30
    threshold: float = 0.0
    minimum: float = 0.0

    def __post_init__(self):
        checks.keep(
            self,
            monitor=checks.name("lr_scheduler_metric", self.monitor),
            factor=checks.fraction("lr_factor", self.factor, zero=False),
            patience=checks.count("lr_patience", self.patience, 0),
            threshold=checks.number("lr_threshold", self.threshold),
            minimum=checks.number("lr_min", self.minimum, at_least=0),
        )
