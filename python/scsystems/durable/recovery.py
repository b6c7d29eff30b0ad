"""Finish or undo what a process was at when it died, so that nothing is lost and nothing stays behind."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..errors import ModelFileError
from .leftovers import made_for, of_the_dead
from .manifest import checksum, listed, read_record
from .steps import locked, move

# what a folder that was moved out of the way is called, in the folder of the process that did it
REPLACED = "replaced"


def finish(leftover: Path) -> bool:
    """Put in place what was complete; whether the rest may be removed.

    That is files which the JSON file beside ``leftover`` already tells of, and folders that
    were moved out of the way.
    """
    return _finish_set(leftover) and _finish_exchange(leftover)


def clean(folder: Path) -> None:
    """`finish` and remove what dead processes left in ``folder``."""
    for leftover in of_the_dead(folder):
        with suppress(OSError):
            if finish(leftover):
                shutil.rmtree(leftover, ignore_errors=True)


def _finish_set(leftover: Path) -> bool:
    folder, stem = leftover.parent, made_for(leftover.name)
    main = folder / f"{stem}.json"
    if not main.exists():
        return True
    with suppress(OSError), locked(folder):
        try:
            sums = listed(read_record(main))
        except ModelFileError:
            return True  # no file can belong to it
        for name, wanted in sums.items():
            there, here = folder / name, leftover / name
            if here.is_file() and not _is(there, wanted) and _is(here, wanted):
                move(here, there)
        return True
    return False


def _finish_exchange(leftover: Path) -> bool:
    old = leftover / REPLACED
    if not old.exists():
        return True
    fresh = [path for path in leftover.iterdir() if path != old]
    name = fresh[0].name if fresh else made_for(leftover.name)
    target = leftover.parent / name
    for complete in (*fresh, old):
        if not target.exists():
            with suppress(OSError):
                os.rename(complete, target)
    return target.exists()


def _is(path: Path, wanted: str) -> bool:
    return path.is_file() and checksum(path) == wanted
