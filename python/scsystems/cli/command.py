"""A command of the command line: how its arguments are read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

# generators of random numbers take no larger ones
LARGEST_SEED = 2**32 - 1


class Command(argparse.ArgumentParser):
    """A parser that finds the files wherever they stand among the options.

    An option with several values takes all that follows it, the files as well, in
    ``--covariates donor in.h5ad out.h5ad``. What is then missing of the files is taken back from
    the end of such an option, which keeps at least one value.

    Parameters
    ----------
    is_file
        Whether a value at the end of an option may be one of the files.
    options
        Of `argparse.ArgumentParser`.
    """

    def __init__(self, *, is_file: Callable[[str], bool] = lambda value: False, **options: Any):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)
        self._is_file = is_file

    def parse_known_args(self, args=None, namespace=None):
        """As in `argparse`, files first."""
        return super().parse_known_args(
            args if args is None else self._files_first(list(args)), namespace
        )

    def _files_first(self, tokens: list[str]) -> list[str]:
        wanted = sum(not a.option_strings and a.nargs is None for a in self._actions)
        files: list[str] = []
        options: list[list[str]] = []  # each with its values
        room: float = 0
        for at, token in enumerate(tokens):
            if token == "--":
                files += tokens[at + 1 :]
                break
            if token.startswith("-") and not _is_number(token):
                options.append([token])
                room = self._room(token)
            elif room:
                options[-1].append(token)
                room -= 1
            else:
                files.append(token)
        taken: list[str] = []
        for option in reversed(options):
            several = self._room(option[0]) == math.inf
            while several and len(option) > 2 and self._is_file(option[-1]):
                if len(files) + len(taken) >= wanted:
                    break
                taken.insert(0, option.pop())
        if not taken:
            return tokens
        return [*(token for option in options for token in option), "--", *files, *taken]

    def _room(self, token: str) -> float:
        """How many values an option takes: 0, 1 or any number."""
        known = self._option_string_actions
        found = [token] if token in known else [name for name in known if name.startswith(token)]
        if len(found) != 1 or "=" in token or known[found[0]].nargs == 0:
            return 0
        return math.inf if known[found[0]].nargs == "+" else 1


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def whole(at_least: int, at_most: int | None = None) -> Callable[[str], int]:
    """What turns the value of an option into a whole number."""
    limits = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = at_least - 1
        if value < at_least or (at_most is not None and value > at_most):
            raise argparse.ArgumentTypeError(f"{text!r}. Expected a whole number {limits}.")
        return value

    return read


def weight(text: str) -> float:
    """What turns the value of an option into a weight."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a number of at least 0.")
    return value


def path(text: str) -> Path:
    """What turns the value of an option into a path; ``~`` is the user's home."""
    try:
        if not text:
            raise RuntimeError("it is empty")
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}. Expected a path ({error}).") from error
