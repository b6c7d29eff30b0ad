"""Single steps on files: each done or not done, with one error in words."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError, ScsystemsError, WriteError
from .leftovers import working_folder

# seconds to wait for another process that is about to replace the same files
PATIENCE = 30.0

UNCHANGED = "Nothing has changed there."


def full_path(path: str | Path) -> Path:
    """A path as the user means it: ``~`` is the home folder."""
    if not isinstance(path, (str, os.PathLike)) or "\0" in os.fsdecode(path):
        raise InputError(f"{path!r} is not a path. Expected the name of a file or folder.")
    path = Path(os.fsdecode(path))
    with suppress(RuntimeError):  # there is no such user
        return path.expanduser()
    return path


@contextmanager
def writing(path: str | Path, kept: str = UNCHANGED) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a `WriteError` that names the path.

    Parameters
    ----------
    path
        What is being written, as the user named it.
    kept
        What has become of the old and of the new.
    """
    try:
        yield
    except ScsystemsError:
        raise
    except Exception as error:
        # the libraries that write raise errors of many kinds, for a full disk as well
        raise WriteError(f"{path} could not be written ({reason(error)}). {kept}") from error


def reason(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # anndata says there which entry it was about
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
    kind = [] if isinstance(error, OSError) else [f"{type(error).__name__}:"]
    return " ".join([*kind, *lines[:1], *notes[:1]]).strip(" :")


def check_writable(path: Path) -> None:
    """Refuse a place where nothing can be made, before work is done for it.

    Parameters
    ----------
    path
        A folder; what is missing of it counts as to be made in the nearest that exists.
    """
    with writing(path):
        there = path.resolve()
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
        with working_folder(there, "probe"):
            pass


def sync(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder, also after a loss of power."""
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        return  # folders cannot be opened on Windows
    try:
        os.fsync(handle)
    except OSError as error:
        # not every file system knows this of folders
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """`sync` for everything in a folder, in one go where the system can."""
    with suppress(AttributeError, OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(handle) == 0:
                return
        finally:
            os.close(handle)
    for at, _, files in os.walk(folder):
        for name in files:
            sync(Path(at) / name)
        sync(Path(at))


def move(source: Path, target: Path) -> None:
    """Put a file into the place of another, which a link is followed to."""
    target = target.resolve()
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # a link into another file system
        with working_folder(target.parent, target.name) as folder:
            fresh = folder / target.name
            shutil.copy2(source, fresh)
            sync(fresh)
            os.replace(fresh, target)
        source.unlink()


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in a single step; whether the system can."""
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP on macOS
    paths = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return library.renamex_np(*paths, swap) == 0
        return library.renameat2(here, paths[0], here, paths[1], swap) == 0
    except (AttributeError, OSError, TypeError):
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time in the block, where the system and the file system know locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise WriteError(
                        f"{folder} is being written by another process, which has not finished within "
                        f"{PATIENCE:g} seconds. End it, or write into another folder."
                    ) from None
                time.sleep(0.01)
                continue
            except OSError:
                pass  # a file system without locks
            break
        yield
    finally:
        os.close(handle)
