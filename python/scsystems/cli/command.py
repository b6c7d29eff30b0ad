"""A command of the command line: how its arguments are read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ScsystemsError

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
    instead
        Options with which other arguments need not be given: ``{"--input": ("input",)}``.
    options
        Of `argparse.ArgumentParser`.
    """

    def __init__(
        self,
        *,
        is_file: Callable[[str], bool] = lambda value: False,
        instead: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)
        self._is_file = is_file
        self._instead = dict(instead or {})

    def parse_known_args(self, args=None, namespace=None):
        """As in `argparse`, files first."""
        if args is None:
            return super().parse_known_args(args, namespace)
        with self._without_what_is_given_instead(args):
            return super().parse_known_args(self._files_first(list(args)), namespace)

    @contextmanager
    def _without_what_is_given_instead(self, args: Sequence[str]) -> Iterator[None]:
        """For the time of the block, take nothing for missing that another option is there for."""
        given = {name for token in args for name in self._named(token.partition("=")[0])}
        spared = {n for option in given & set(self._instead) for n in self._instead[option]}
        actions, required = self._actions, [a.required for a in self._actions]
        positional = [a for a in actions if not a.option_strings and a.dest in spared]
        try:
            self._actions = [a for a in actions if a not in positional]
            for action in self._actions:
                action.required = action.required and not spared & set(action.option_strings)
            yield
        finally:
            self._actions = actions
            for action, was in zip(actions, required, strict=True):
                action.required = was

    def _named(self, token: str) -> list[str]:
        """The options that a token may mean."""
        known = self._option_string_actions
        if token in known:
            return [token]
        return [name for name in known if token.startswith("--") and name.startswith(token)]

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
        known, found = self._option_string_actions, self._named(token)
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


def named_files(given: Sequence[str], argument: str) -> dict[str, Path]:
    """``NAME=FILE`` entries as a dictionary."""
    found: dict[str, Path] = {}
    for entry in given:
        name, equals, file = entry.partition("=")
        if not (name and equals and file) or "/" in name:
            raise ScsystemsError(
                f"{argument} has {entry!r}. Expected NAME=FILE, such as mouse=mouse.h5ad."
            )
        if name in found:
            raise ScsystemsError(f"{argument} names {name!r} twice. Expected every species once.")
        found[name] = path(file)
    return found
