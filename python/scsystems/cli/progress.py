"""Progress: a bar where somebody watches, a line now and then where output goes into a file."""

from __future__ import annotations

import logging
import sys
from typing import Any

logger = logging.getLogger(__name__)

# lines per training
LINES = 10


def is_watched() -> bool:
    """Whether messages go to a terminal."""
    return sys.stderr.isatty()


def training_progress(quiet: bool) -> dict[str, Any]:
    """Arguments of a model's ``train()``."""
    watched = is_watched()
    return {
        "verbose": watched and not quiet,
        "callbacks": None if watched or quiet else _say,
    }


def _say(epoch: int, max_epochs: int, losses: dict[str, float]) -> None:
    if epoch * LINES // max_epochs > (epoch - 1) * LINES // max_epochs:
        logger.info("epoch %d of %d, loss %.4g", epoch, max_epochs, losses["train_loss"])


class Messages(logging.StreamHandler):
    """Messages that do not run into a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message above the bar, if there is one."""
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)
