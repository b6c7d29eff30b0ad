"""Files and folders that are replaced whole or not at all, whatever becomes of the process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from .leftovers import working_folder
from .recovery import REPLACED, clean, finish
from .steps import UNCHANGED, exchange, full_path, sync, sync_tree, writing

Writer = Callable[[Path], object]


def replace_file(path: str | Path, write: Writer, kept: str = UNCHANGED) -> None:
    """Write a file under a hidden name beside its place and move it there.

    Parameters
    ----------
    path
        The file; a link is followed. The permissions of an old file stay.
    write
        Called with the hidden path, which ends in the same name.
    kept
        See `writing`.
    """
    with writing(path, kept):
        target = full_path(path).resolve()
        clean(target.parent)
        with working_folder(target.parent, target.name) as folder:
            fresh = folder / target.name
            write(fresh)
            if target.exists():
                shutil.copymode(target, fresh)
            sync(fresh)
            os.replace(fresh, target)
            sync(target.parent)


def replace_tree(
    path: str | Path,
    write: Writer,
    foreign: Callable[[Path], Iterable[Path]],
    kept: str = UNCHANGED,
) -> None:
    """Write a folder under a hidden name beside its place and exchange it with the old one.

    Parameters
    ----------
    path
        The folder; a link is followed.
    write
        Called with the hidden path, which ends in the same name.
    foreign
        What in the old folder is not ours to replace: the new one gets a copy.
    kept
        See `writing`.
    """
    with writing(path, kept):
        target = full_path(path).resolve()
        clean(target.parent)
        with working_folder(target.parent, target.name, finish) as folder:
            fresh = folder / target.name
            write(fresh)
            if target.exists():
                for entry in foreign(target):
                    _copy(entry, fresh / entry.name)
                shutil.copymode(target, fresh)
            sync_tree(fresh)
            if not target.exists():
                os.rename(fresh, target)
            elif not exchange(fresh, target):
                # if the second step is not reached, `finish` takes it
                os.rename(target, folder / REPLACED)
                os.rename(fresh, target)
            sync(target.parent)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
