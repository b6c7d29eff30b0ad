"""What the package says while a block runs, kept for somebody else to say."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LOGGER = logging.getLogger("scsystems")


@dataclass
class Messages:
    """Warnings of a block.

    Attributes
    ----------
    logged
        Logger's name, level and text of what was logged as a warning or worse.
    warned
        Texts of `UserWarning`; other libraries' deprecations are not the user's concern.
    """

    logged: list[tuple[str, int, str]] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Every text once, logged ones first."""
        return list(dict.fromkeys([*(text for *_, text in self.logged), *self.warned]))


class _Handler(logging.Handler):
    def __init__(self, messages: Messages):
        super().__init__(level=logging.WARNING)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.logged.append((record.name, record.levelno, record.getMessage()))


@contextmanager
def collected() -> Iterator[Messages]:
    """Within the block, warnings go to the `Messages` that it yields, complete at its end."""
    messages = Messages()
    handler = _Handler(messages)
    LOGGER.addHandler(handler)
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield messages
    finally:
        LOGGER.removeHandler(handler)
        messages.warned += [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
