import json
from dataclasses import dataclass

import numpy as np
import pytest

from scsystems.durable.leftovers import owner
from scsystems.durable.manifest import SUMS, checksum, sealed
from scsystems.errors import ModelFileError, WriteError
from scsystems.tune import store as module
from scsystems.tune.run import Kept
from scsystems.tune.store import RunStore, run_id

EMBEDDING = np.arange(12.0, dtype=np.float32).reshape(4, 3)
RECORD = {"setting": "a", "seed": 0}


@dataclass(frozen=True)
class Facts:
    setting: str
    seed: int


def test_runs_are_kept_in_a_folder_or_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (None, "~/deep/runs"):
        store = RunStore(folder)
        assert store.read("r") is None
        store.write("r", RECORD, EMBEDDING)
        record, embedding = store.read("r")
        assert record == RECORD
        np.testing.assert_array_equal(embedding, EMBEDDING)
    assert sorted(p.name for p in (tmp_path / "deep" / "runs").iterdir()) == ["r.json", "r.npy"]
    assert RunStore("~/deep/runs").read("r")[0] == RECORD


def test_other_files_are_left_alone_and_those_of_dead_searches_are_not(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    dead = tmp_path / f".r.{owner().rpartition('-')[0]}-1-abcd"
    dead.mkdir()
    RunStore(tmp_path).write("r", RECORD, EMBEDDING)
    assert not dead.exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_places_that_cannot_be_written_to_are_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", "/proc/nowhere"):
        with pytest.raises(WriteError, match="could not be written"):
            RunStore(folder)


def test_a_run_that_cannot_be_written_is_kept_in_memory(tmp_path, monkeypatch, caplog):
    store = RunStore(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    store.write("r", RECORD, EMBEDDING)
    assert "No space left on device" in caplog.text
    assert "kept in memory" in caplog.text
    assert store.read("r")[0] == RECORD
    assert list(tmp_path.iterdir()) == []


def forged(folder, record=None, array=None):
    """Change a run, with checksums that fit."""
    RunStore(folder).write("r", RECORD, EMBEDDING)
    if array is not None:
        np.save(folder / "r.npy", array, allow_pickle=True)
    main = folder / "r.json"
    facts = json.loads(main.read_text())
    del facts[SUMS]
    sums = {"r.npy": checksum(folder / "r.npy")}
    main.write_text(json.dumps(sealed(record or facts, main.name, sums)))
    return RunStore(folder, Facts, 4)


ARRAYS = {
    "NaN": np.full((4, 3), np.nan),
    "one dimension": np.ones(12),
    "whole numbers": np.ones((4, 3), int),
    "objects": np.full((4, 3), None),
    "text": np.full((4, 3), "x"),
    "other cells": np.ones((5, 3)),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_embeddings_are_looked_at(tmp_path, what):
    store = forged(tmp_path, array=ARRAYS[what])
    with pytest.raises(ModelFileError, match=r"Delete it .*to have it trained again"):
        store.read("r")


def test_a_header_that_lies_about_sizes_is_refused(tmp_path):
    store = forged(tmp_path)
    path = tmp_path / "r.npy"
    path.write_bytes(path.read_bytes().replace(b"(4, 3)", b"(9**9, 9**9)"))
    with pytest.raises(ModelFileError):
        store.read("r")
    record = json.loads((tmp_path / "r.json").read_text())
    del record[SUMS]
    (tmp_path / "r.json").write_text(json.dumps(record))
    path.write_bytes(path.read_bytes().replace(b"(9**9, 9**9)", b"(9999999999,3)"))
    with pytest.raises(ModelFileError, match="not an array of finite numbers"):
        store.read("r")


@pytest.mark.parametrize("record", [{"setting": "a"}, RECORD | {"seed": "x"}, RECORD | {"x": 1}])
def test_records_are_looked_at(tmp_path, record):
    store = forged(tmp_path, record=record)
    with pytest.raises(ModelFileError, match="is damaged"):
        store.read("r")


def test_damaged_files_are_named(tmp_path):
    store = RunStore(tmp_path)
    store.write("r", RECORD, EMBEDDING)
    whole = (tmp_path / "r.npy").read_bytes()
    (tmp_path / "r.npy").write_bytes(whole[:-1])
    with pytest.raises(ModelFileError, match=r"r.npy is damaged or cut short"):
        store.read("r")
    (tmp_path / "r.npy").unlink()
    with pytest.raises(ModelFileError, match=r"r.npy missing"):
        store.read("r")
    (tmp_path / "r.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"r.json is damaged"):
        store.read("r")


def test_metrics_are_numbers():
    facts = dict.fromkeys(("setting", "device", "version"), "x") | {"seed": 0, "seconds": 1.0}
    facts |= {key: {} for key in ("parameters", "history", "evaluation", "left_out")}
    Kept(**facts, rows=[("r", "ilisi", "batch", "overall", "", float("nan"))])
    for value in ("x", None, [1]):
        with pytest.raises(ModelFileError, match="Expected a number"):
            Kept(**facts, rows=[("r", "ilisi", "batch", "overall", "", value)])


def test_names_of_runs_change_with_their_identity():
    assert run_id({"a": 1, "b": 2}) == run_id({"b": 2, "a": 1})
    assert len({run_id({"a": value}) for value in (1, 2, "1", None)}) == 4
