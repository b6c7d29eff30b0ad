import errno
import os
import subprocess
import sys

import pytest

from scsystems.durable import steps
from scsystems.durable.steps import (
    check_writable,
    exchange,
    full_path,
    locked,
    move,
    reason,
    sync,
    sync_tree,
    writing,
)
from scsystems.errors import InputError, ModelFileError, WriteError


def test_paths_as_a_user_means_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert full_path("~/a") == tmp_path / "a"
    assert full_path(tmp_path / "b") == tmp_path / "b"
    assert str(full_path("~nosuchuser/a")) == "~nosuchuser/a"
    for path in (3, None, "a\0b"):
        with pytest.raises(InputError, match="is not a path"):
            full_path(path)


def test_whatever_goes_wrong_in_writing_is_one_error_in_words():
    with (
        pytest.raises(WriteError, match=r"^a/b could not be written \(No space left on device\)"),
        writing("a/b"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(WriteError, match=r"\(TypeError: bad\)\. It is kept\."),
        writing("x", "It is kept."),
    ):
        raise TypeError("bad\nin detail")
    with pytest.raises(ModelFileError, match=r"^own$"), writing("x"):
        raise ModelFileError("own")
    with pytest.raises(KeyboardInterrupt), writing("x"):
        raise KeyboardInterrupt


def test_reasons_in_one_line():
    error = ValueError("what\nand more")
    error.__notes__ = ["of the entry 'a'"]
    assert reason(error) == "ValueError: what of the entry 'a'"
    assert reason(ValueError()) == "ValueError"
    assert reason(OSError("said by a library")) == "said by a library"


def test_places_that_cannot_be_written_to(tmp_path):
    check_writable(tmp_path / "deep" / "down")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="is not a folder"):
        check_writable(tmp_path / "file" / "m")
    if sys.platform == "linux":
        # even root cannot make anything there
        with pytest.raises(WriteError, match="/proc/m could not be written"):
            check_writable(steps.Path("/proc/m"))


def test_moving_follows_links_also_to_another_file_system(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    real = tmp_path / "there" / "real"
    real.write_text("old")
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "new").write_text("new")
    move(tmp_path / "new", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert real.read_text() == "new"
    replace = os.replace

    def other_system(source, target):
        if os.path.dirname(source) != os.path.dirname(target) and ".scsystems-" not in str(source):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", other_system)
    (tmp_path / "new").write_text("newer")
    move(tmp_path / "new", tmp_path / "link")
    assert real.read_text() == "newer"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["link", "real", "there"]


def test_syncing_files_folders_and_trees(tmp_path):
    (tmp_path / "a").write_text("x")
    sync(tmp_path / "a")
    sync(tmp_path)
    sync_tree(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


def test_folders_change_places_in_one_step(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()
    assert not exchange(tmp_path / "a", tmp_path / "none")


HOLD = """
import sys, time
from pathlib import Path
from scsystems.durable.steps import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time_and_never_an_endless_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PATIENCE", 0.1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with (
            pytest.raises(WriteError, match="is being written by another process"),
            locked(tmp_path),
        ):
            pass
        process.kill()
    with locked(tmp_path):  # the lock died with its owner
        pass
