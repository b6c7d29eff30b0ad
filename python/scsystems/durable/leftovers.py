"""Hidden folders that a process works in, and how to tell those of processes that died.

A folder's name says whose it is: ``.<what>.scsystems-<place>-<process>-<start>-<token>``. The
place tells machines (and containers) apart, within which numbers of processes mean something;
the start tells a process from a later one of the same number.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"scsystems-([0-9a-f]{8})-(\d+)-(\d+)-\w+$")
# a process elsewhere cannot be looked at; nothing is in the making for that long
SECONDS_ELSEWHERE = 7 * 86400


def owner() -> str:
    """What names this process in the name of a folder."""
    return f"scsystems-{_place()}-{os.getpid()}-{_started(os.getpid()) or 0}"


@contextmanager
def working_folder(
    parent: Path, what: str, finish: Callable[[Path], bool] | None = None
) -> Iterator[Path]:
    """A hidden folder of this process, removed at the end of the block.

    Parameters
    ----------
    parent
        Where it is made.
    what
        Beginning of its name, see `made_for`.
    finish
        Called with the folder at the end, however the block ends; the folder stays if it returns
        ``False``: there is something in it that is needed.
    """
    folder = parent / f".{what[:80]}.{owner()}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        if finish is None or finish(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_leftover(name: str) -> bool:
    """Whether a name is that of a hidden folder of ours, of whatever process."""
    return name.startswith(".") and _NAME.search(name) is not None


def made_for(name: str) -> str:
    """The ``what`` of a `working_folder` by its name."""
    return _NAME.split(name)[0][1:-1]


def of_the_dead(folder: Path, start: str = ".") -> list[Path]:
    """Our folders in ``folder`` that processes left behind which are no more.

    Parameters
    ----------
    folder
        Where to look; it need not exist.
    start
        What their names begin with.
    """
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        found = [Path(e.path) for e in entries if e.name.startswith(start) and _is_dead(e)]
    return found


def _is_dead(entry: os.DirEntry) -> bool:
    named = _NAME.search(entry.name)
    if named is None or not entry.is_dir(follow_symlinks=False):
        return False
    place, process, start = named.groups()
    if place == _place() and os.name != "nt":
        return not _is_alive(int(process), start)
    try:
        return time.time() - entry.stat().st_mtime > SECONDS_ELSEWHERE
    except OSError:
        return False


def _place() -> str:
    """Hash of what tells this machine, or the container on it, from others."""
    where = [platform.node()]
    with suppress(OSError):
        where.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256(" ".join(where).encode()).hexdigest()[:8]


def _is_alive(process: int, start: str) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # there is one, of another user
    now = _started(process)
    return now is None or now == start


def _started(process: int) -> str | None:
    """When a process started, "ended" if nobody has asked yet how; ``None`` if it is not known."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    # after the name, which is in brackets and may hold anything
    facts = stat.rpartition(")")[2].split()
    return "ended" if facts[0] in "ZX" else facts[19]
