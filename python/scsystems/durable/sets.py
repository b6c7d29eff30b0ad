"""Several files that belong together: replaced as one, read as one.

Beside the files lies a JSON file with their checksums, and its replacement, a single step, is the
moment at which the new ones count: a file that does not have its checksum is looked for in the
hidden folder of the process that was about to put it in place. So whoever reads finds the old
files or the new ones, at any time, and other files in the folder are never touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ModelFileError, WriteError
from .leftovers import is_leftover, made_for, working_folder
from .manifest import AGAIN, checksum, listed, read_record, sealed
from .recovery import clean, finish
from .replace import Writer
from .steps import UNCHANGED, locked, move, sync, writing

# how often files are read again that others replace meanwhile
ATTEMPTS = 50
# how many files of a set may be put in place while one state of it is read
MOVES = 2

Found = TypeVar("Found")


def write_set(
    folder: Path,
    stem: str,
    record: dict[str, Any],
    files: Mapping[str, Writer],
    kept: str = UNCHANGED,
) -> None:
    """Write files and the JSON file that tells of them, in place of earlier ones.

    Parameters
    ----------
    folder
        Where they go. If it does not exist, it appears when all is in it.
    stem
        The JSON file is ``<stem>.json``.
    record
        What it says besides.
    files
        Name -> function that writes it, called with a hidden path that ends in that name.
    kept
        What to say of old and new files in case of an error.

    Raises
    ------
    WriteError
        If anything cannot be written; the old files are as they were.
    """
    with writing(folder, kept):
        place = folder.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            clean(place.parent)
            with working_folder(place.parent, place.name) as fresh:
                _fill(fresh, stem, record, files)
                try:
                    os.rename(fresh, place)
                except OSError:
                    if not place.is_dir():
                        raise
                else:
                    sync(place.parent)
                    return
            # another process has just made it
        clean(place)
        _refuse_foreign(place, stem, files)
        with working_folder(place, stem, finish) as fresh:
            _fill(fresh, stem, record, files)
            with locked(place):
                _publish(fresh, place, stem, files)


def find(folder: Path, name: str, record: dict[str, Any], stem: str) -> Path:
    """Where a file is that belongs to a record.

    Raises
    ------
    ModelFileError
        If it is missing or does not have its checksum.
    """
    wanted = listed(record).get(name)
    hidden = [
        path / name
        for path in folder.iterdir()
        if is_leftover(path.name) and made_for(path.name) == stem
    ]
    # at last once more: it may have been put in place between two looks
    for path in (folder / name, *hidden, folder / name):
        with suppress(OSError):
            # a record of an earlier version has no checksums
            if path.is_file() if wanted is None else checksum(path) == wanted:
                return path
    if (folder / name).exists():
        raise ModelFileError(
            f"{folder / name} is damaged or cut short: it does not have the checksum that {stem}.json gives. {AGAIN}"
        )
    raise ModelFileError(f"{folder} is not a complete {stem} folder: {name} missing. {AGAIN}")


def consistent(folder: Path, stem: str, read: Callable[[], Found]) -> Found:
    """What ``read`` returns of one state of the files; it is called again if they were replaced meanwhile."""
    main = folder / f"{stem}.json"
    failures: list[tuple[int, ...] | None] = []
    for _ in range(ATTEMPTS):
        before = _stamp(main)
        try:
            found = read()
        except ModelFileError:
            # a file may have moved between two looks, each of them once
            failures.append(before)
            if failures.count(before) > MOVES and _stamp(main) == before:
                raise
        else:
            if _stamp(main) == before:
                return found
    raise ModelFileError(
        f"{folder} is replaced all the time: {ATTEMPTS} attempts to read it have failed. Read it when nothing is "
        "saved there."
    )


def holds_set(folder: Path, stem: str) -> bool:
    """Whether the files in a folder that are called ``stem`` are ours to replace."""
    try:
        record = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError, MemoryError):
        record = None
    if isinstance(record, dict) and listed(record):
        return True
    # damaged, or of an earlier version
    return (folder / f"{stem}.safetensors").exists()


def _fill(fresh: Path, stem: str, record: dict[str, Any], files: Mapping[str, Writer]) -> None:
    """All files, complete and on the disk."""
    main = fresh / f"{stem}.json"
    main.touch()
    mode = main.stat().st_mode
    for name, write in files.items():
        write(fresh / name)
        # some libraries write for the owner's eyes only
        os.chmod(fresh / name, mode)
        sync(fresh / name)
    sums = {name: checksum(fresh / name) for name in files}
    main.write_text(json.dumps(sealed(record, main.name, sums), indent=1), encoding="utf-8")
    sync(main)
    sync(fresh)


def _publish(fresh: Path, place: Path, stem: str, files: Mapping[str, Writer]) -> None:
    """Put files in place; once the JSON file is, `finish` would do the rest."""
    main = f"{stem}.json"
    old = _listed(place / main)
    move(fresh / main, place / main)
    sync(place)
    for name in files:
        move(fresh / name, place / name)
    for name in set(old) - set(files):
        (place / name).unlink(missing_ok=True)
    sync(place)


def _refuse_foreign(place: Path, stem: str, files: Mapping[str, Writer]) -> None:
    """A user's file of the same name is not replaced."""
    old = _listed(place / f"{stem}.json")
    for name in files:
        if old and name not in old and (place / name).exists():
            raise WriteError(
                f"{place / name} was not written by this package, so it is not replaced. Move it away, or choose "
                "another folder."
            )


def _listed(main: Path) -> dict[str, str]:
    try:
        return listed(read_record(main))
    except ModelFileError:
        return {}


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
