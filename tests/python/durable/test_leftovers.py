import os
import subprocess
import sys
import time

from scsystems.durable import leftovers
from scsystems.durable.leftovers import is_leftover, made_for, of_the_dead, owner, working_folder

MAKE = """
import sys, time
from pathlib import Path
from scsystems.durable.leftovers import working_folder
with working_folder(Path(sys.argv[1]), "model") as folder:
    (folder / "part").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


def killed(path):
    """The hidden folder of a process that was killed."""
    with subprocess.Popen([sys.executable, "-c", MAKE, path], stdout=subprocess.PIPE) as process:
        name = process.stdout.readline().decode().strip().rpartition("/")[2]
        assert of_the_dead(path) == []  # it is at work
        process.kill()
    return path / name


def test_the_folder_goes_at_the_end_whatever_happens(tmp_path):
    with working_folder(tmp_path, "model") as folder:
        assert folder.parent == tmp_path
        assert is_leftover(folder.name)
        assert made_for(folder.name) == "model"
        (folder / "a").touch()
    assert not folder.exists()
    try:
        with working_folder(tmp_path, "x" * 300) as folder:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not folder.exists()


def test_a_folder_with_something_that_is_needed_stays(tmp_path):
    with working_folder(tmp_path, "model", lambda folder: not (folder / "needed").exists()) as it:
        (it / "needed").touch()
    assert it.exists()


def test_only_folders_of_dead_processes_are_found(tmp_path):
    with working_folder(tmp_path, "alive"):
        dead = killed(tmp_path)
        (tmp_path / "notes").mkdir()
        (tmp_path / ".model.scsystems").mkdir()
        (tmp_path / f".a-file.{owner().replace(str(os.getpid()), '999999999')}-ab").touch()
        assert of_the_dead(tmp_path) == [dead]
        assert of_the_dead(tmp_path, start=".other") == []
    assert of_the_dead(tmp_path / "nowhere") == []


def test_a_later_process_of_the_same_number_is_another(tmp_path):
    before = owner().rpartition("-")[0]
    folder = tmp_path / f".model.{before}-1-abcd"
    folder.mkdir()
    assert of_the_dead(tmp_path) == [folder]


def test_processes_elsewhere_count_as_dead_after_a_week(tmp_path):
    folder = tmp_path / ".model.scsystems-00000000-1-1-abcd"
    folder.mkdir()
    assert of_the_dead(tmp_path) == []
    old = time.time() - leftovers.SECONDS_ELSEWHERE - 60
    os.utime(folder, (old, old))
    assert of_the_dead(tmp_path) == [folder]


def test_names_of_others_are_not_ours():
    for name in ("model", ".model", ".model.swp", "scsystems-notes", ".scsystems", ".git"):
        assert not is_leftover(name)
