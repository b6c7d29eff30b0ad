"""What the trainings of a network leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from ..train.checkpoint import History
from ..train.loop import FitResult

Stopped = Literal["max_epochs", "early_stopping", "interrupted", "callback"]


@dataclass
class Trainings:
    """Losses of all trainings of a network, and how the last one ended; ``None`` before there was one."""

    history: History = field(default_factory=dict)
    stopped: Stopped | None = None

    def add(self, result: FitResult) -> None:
        """Go on with a further training."""
        self.history = joined_history(result.earlier, result.history)
        self.stopped = result.stopped

    def frames(self) -> dict[str, pd.DataFrame]:
        """One frame per quantity, index ``epoch`` (from 0), as scvi-tools gives it."""
        frames = {}
        for name, points in self.history.items():
            index = pd.Index([int(e) for e, _ in points], name="epoch")
            frames[name] = pd.DataFrame({name: [float(v) for _, v in points]}, index=index)
        return frames


def joined_history(earlier: History, latest: History) -> History:
    """The history of two trainings, whose epochs are counted on."""
    n_epochs = 1 + max((epoch for points in earlier.values() for epoch, _ in points), default=-1)
    joined = {name: list(points) for name, points in earlier.items()}
    for name, points in latest.items():
        joined.setdefault(name, []).extend((n_epochs + epoch, value) for epoch, value in points)
    return joined
