import os

import pytest

from scsystems.durable import replace
from scsystems.durable.recovery import REPLACED, clean
from scsystems.durable.replace import replace_file, replace_tree
from scsystems.errors import WriteError

from .killing import at_every_step


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def write_tree(text):
    def write(path):
        path.mkdir()
        (path / "a").write_text(text)
        (path / "b").mkdir()
        (path / "b" / "c").write_text(text)

    return write


def foreign(folder):
    return [p for p in folder.iterdir() if p.name not in ("a", "b")]


def read_tree(path):
    found = {(path / "a").read_text(), (path / "b" / "c").read_text()}
    assert len(found) == 1
    return found.pop()


def test_a_file_is_replaced_in_place_links_and_permissions_kept(tmp_path):
    target = tmp_path / "t.h5ad"
    replace_file(target, lambda p: p.write_text("1"))
    assert target.read_text() == "1"
    target.chmod(0o600)
    (tmp_path / "link.h5ad").symlink_to(target)
    replace_file(tmp_path / "link.h5ad", lambda p: p.write_text(p.name))
    assert (tmp_path / "link.h5ad").is_symlink()
    assert target.read_text() == "t.h5ad"  # written under the name it gets
    assert target.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["link.h5ad", "t.h5ad"]


def test_a_failed_write_leaves_the_old(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    (tmp_path / "f").write_text("old")
    with pytest.raises(WriteError, match=r"f could not be written \(No space left"):
        replace_file(tmp_path / "f", fail)
    assert (tmp_path / "f").read_text() == "old"
    with pytest.raises(WriteError):
        replace_file(tmp_path / "nowhere" / "f", lambda p: p.write_text("x"))
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_is_replaced_and_what_is_not_ours_stays(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(replace, "exchange", lambda *_: False)
    target = tmp_path / "s.zarr"
    replace_tree(target, write_tree("1"), foreign)
    assert read_tree(target) == "1"
    (target / "notes").mkdir()
    (target / "notes" / "n.txt").write_text("mine")
    (target / "link").symlink_to("nowhere")
    (tmp_path / "link.zarr").symlink_to(target)
    replace_tree(tmp_path / "link.zarr", write_tree("2"), foreign)
    assert (tmp_path / "link.zarr").is_symlink()
    assert read_tree(target) == "2"
    assert (target / "notes" / "n.txt").read_text() == "mine"
    assert (target / "link").is_symlink()
    assert names(tmp_path) == ["link.zarr", "s.zarr"]


@pytest.mark.parametrize("kind", ["file", "tree", "tree in two steps"])
def test_killed_at_any_step_the_old_or_the_new_is_there(tmp_path, monkeypatch, kind):
    if kind == "tree in two steps":
        monkeypatch.setattr(replace, "exchange", lambda *_: False)
    target = tmp_path / "t"
    seen = set()

    def write(text):
        if kind == "file":
            replace_file(target, lambda p: p.write_text(text))
        else:
            replace_tree(target, write_tree(text), foreign)

    def check():
        if not target.exists():
            assert kind == "tree in two steps"
            clean(tmp_path)
        seen.add(target.read_text() if kind == "file" else read_tree(target))
        write("old")
        assert names(tmp_path) == ["t"]

    write("old")
    assert at_every_step(lambda: write("new"), check) >= 4
    assert seen == {"old", "new"}


def test_if_the_second_of_two_steps_fails_the_old_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(replace, "exchange", lambda *_: False)
    target = tmp_path / "t"
    replace_tree(target, write_tree("old"), foreign)
    rename = os.rename

    def fails(source, goal):
        if str(source).endswith("/t") and str(goal) == str(target):
            raise OSError(5, "Input/output error")
        rename(source, goal)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(WriteError, match="Input/output error"):
        replace_tree(target, write_tree("new"), foreign)
    assert read_tree(target) == "old"
    assert names(tmp_path) == ["t"]
    assert REPLACED not in names(tmp_path)
