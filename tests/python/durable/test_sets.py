import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scsystems.durable import sets
from scsystems.durable.leftovers import is_leftover, owner
from scsystems.durable.manifest import read_record
from scsystems.durable.recovery import clean
from scsystems.durable.sets import consistent, find, holds_set, write_set
from scsystems.errors import ModelFileError, WriteError

from .killing import at_every_step

FILES = ("m.bin", "more.txt")


def write(folder, version, files=FILES):
    text = str(version) * 1000
    write_set(folder, "m", {"v": version}, {name: lambda p: p.write_text(text) for name in files})


def read(folder):
    """The version that is there, the same in all files."""

    def once():
        record = read_record(folder / "m.json")
        texts = set()
        for name in record["sha256"]:
            try:
                texts.add(find(folder, name, record, "m").read_text())
            except FileNotFoundError as error:  # put in place since it was found
                raise ModelFileError(name) from error
        return record["v"], texts

    version, texts = consistent(folder, "m", once)
    assert texts == {str(version) * 1000}
    return version


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_files_appear_together_and_are_replaced_together(tmp_path):
    folder = tmp_path / "deep" / "down"
    write(folder, 1)
    assert read(folder) == 1
    (folder / "notes.txt").write_text("mine")
    (folder / "figures").mkdir()
    write(folder, 2)
    assert read(folder) == 2
    assert (folder / "notes.txt").read_text() == "mine"
    assert names(folder) == ["figures", "m.bin", "m.json", "more.txt", "notes.txt"]
    write(folder, 3, FILES[:1])  # a file that is no longer part of them
    assert names(folder) == ["figures", "m.bin", "m.json", "notes.txt"]


def test_a_users_file_of_the_same_name_is_not_replaced(tmp_path):
    write(tmp_path, 1, FILES[:1])
    (tmp_path / "more.txt").write_text("mine")
    with pytest.raises(WriteError, match=r"more.txt was not written by this package"):
        write(tmp_path, 2)
    assert read(tmp_path) == 1
    assert (tmp_path / "more.txt").read_text() == "mine"


def test_a_failed_write_changes_nothing(tmp_path):
    def full(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    folder = tmp_path / "m"
    with pytest.raises(WriteError, match="No space left"):
        write_set(folder, "m", {}, {"a": full})
    assert names(tmp_path) == []
    write(folder, 1)
    with pytest.raises(WriteError, match="No space left"):
        write_set(folder, "m", {"v": 2}, {"m.bin": lambda p: p.write_text("2"), "more.txt": full})
    assert read(folder) == 1
    assert names(folder) == ["m.bin", "m.json", "more.txt"]
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("there", [False, True])
def test_killed_at_any_step_the_old_or_the_new_is_there(tmp_path, there):
    folder = tmp_path / "m"
    seen = set()

    def check():
        if any(is_leftover(path.name) for path in tmp_path.rglob(".*")):
            seen.add("leftover")
        if folder.exists():
            seen.add(read(folder))
        else:
            assert not there
        # the next run finds what is there, and leaves nothing behind
        write(folder, 1)
        assert read(folder) == 1
        assert names(folder) == sorted(
            ["m.bin", "m.json", "more.txt", *(["mine"] if there else [])]
        )
        assert names(tmp_path) == ["m"]
        if not there:
            shutil.rmtree(folder)

    if there:
        write(folder, 1)
        (folder / "mine").touch()
    n = at_every_step(lambda: write(folder, 2), check)
    assert n > 8
    assert seen == {1, 2, "leftover"} if there else {2, "leftover"}


@pytest.mark.parametrize("wrong", ["cut", "other"])
def test_files_without_their_checksum_are_refused(tmp_path, wrong):
    write(tmp_path, 1)
    (tmp_path / "m.bin").write_text("1" if wrong == "cut" else "2" * 1000)
    with pytest.raises(ModelFileError, match=r"m.bin is damaged or cut short"):
        read(tmp_path)
    (tmp_path / "m.bin").unlink()
    with pytest.raises(ModelFileError, match=r"not a complete m folder: m.bin missing"):
        read(tmp_path)


def test_an_interrupt_after_the_moment_of_replacement_loses_nothing(tmp_path, monkeypatch):
    write(tmp_path, 1)
    move = sets.move

    def interrupted(source, target):
        if target.name == "m.bin":
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(sets, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2)
    assert read(tmp_path) == 2
    assert names(tmp_path) == ["m.bin", "m.json", "more.txt"]


def test_what_is_needed_of_a_leftover_is_read_and_put_in_place(tmp_path):
    """A process that died between the JSON file and the files: here the files are in its folder still."""
    write(tmp_path, 1)
    other = tmp_path / "other"
    write(other, 2)
    dead = tmp_path / f".m.{owner().rpartition('-')[0]}-1-abcd"
    dead.mkdir()
    for name in FILES:
        os.replace(other / name, dead / name)
    os.replace(other / "m.json", tmp_path / "m.json")
    other.rmdir()
    assert read(tmp_path) == 2
    clean(tmp_path)
    assert names(tmp_path) == ["m.bin", "m.json", "more.txt"]
    assert read(tmp_path) == 2


def test_savers_and_readers_at_the_same_time(tmp_path):
    folder = tmp_path / "m"
    write(folder, 0)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
        "from scsystems.durable.sets import write_set\n"
        "for i in range(40):\n"
        "    text = sys.argv[3] * 1000\n"
        "    write_set(Path(sys.argv[2]), 'm', {'v': int(sys.argv[3])}, "
        "{n: lambda p: p.write_text(text) for n in ('m.bin', 'more.txt')})\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parents[3] / "python"), str(folder), v]
        )
        for v in "12"
    ]
    seen = set()
    while any(w.poll() is None for w in writers):
        seen.add(read(folder))
    assert [w.returncode for w in writers] == [0, 0]
    assert seen & {1, 2}
    assert names(folder) == ["m.bin", "m.json", "more.txt"]
    assert names(tmp_path) == ["m"]


def test_threads_of_one_process_do_not_mix(tmp_path):
    write(tmp_path, 0)
    threads = [
        threading.Thread(target=lambda v=v: [write(tmp_path, v) for _ in range(10)]) for v in (1, 2)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert read(tmp_path) in (0, 1, 2)
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["m.bin", "m.json", "more.txt"]


def test_reading_what_is_replaced_all_the_time_ends(tmp_path):
    write(tmp_path, 0)

    def read_slowly():
        write(tmp_path, 1)
        return 1

    with pytest.raises(ModelFileError, match="is replaced all the time"):
        consistent(tmp_path, "m", read_slowly)


def test_files_follow_the_mask_and_links(tmp_path):
    before = os.umask(0o027)
    try:

        def for_my_eyes(path):
            path.write_text("x")
            path.chmod(0o600)

        write_set(tmp_path / "m", "m", {}, {"a": for_my_eyes})
        assert {p.stat().st_mode & 0o777 for p in (tmp_path / "m").iterdir()} == {0o640}
        assert (tmp_path / "m").stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(before)
    (tmp_path / "link").symlink_to(tmp_path / "m")
    (tmp_path / "elsewhere.json").write_text((tmp_path / "m" / "m.json").read_text())
    (tmp_path / "m" / "m.json").unlink()
    (tmp_path / "m" / "m.json").symlink_to(tmp_path / "elsewhere.json")
    write_set(tmp_path / "link", "m", {"v": 2}, {"a": for_my_eyes})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "m" / "m.json").is_symlink()
    assert json.loads((tmp_path / "elsewhere.json").read_text())["v"] == 2
    (tmp_path / "to-be").symlink_to(tmp_path / "new")
    write_set(tmp_path / "to-be", "m", {"v": 3}, {"a": for_my_eyes})
    assert (tmp_path / "to-be").is_symlink()
    assert read_record(tmp_path / "new" / "m.json")["v"] == 3


def test_whose_files_they_are(tmp_path):
    assert not holds_set(tmp_path, "m")
    for text, ours in (('{"a": 1}', False), ("{", False), ("[]", False)):
        (tmp_path / "m.json").write_text(text)
        assert holds_set(tmp_path, "m") is ours
    (tmp_path / "m.safetensors").touch()  # of an earlier version, or damaged
    assert holds_set(tmp_path, "m")
    write(tmp_path / "n", 1)
    assert holds_set(tmp_path / "n", "m")
