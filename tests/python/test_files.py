import json
import os
import resource
import signal
import tempfile
import traceback
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scsystems import files
from scsystems.durable.leftovers import owner
from scsystems.durable.manifest import sealed
from scsystems.errors import ModelFileError, NonFiniteError, WriteError
from scsystems.files import check_folder, misfits, read_facts, read_folder, write_folder

from .durable.killing import fork

TENSORS = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(3)}


def write(path, version=1, overwrite=False, tensors=TENSORS):
    return write_folder(path, "model", tensors, {"v": version}, overwrite)


def names(path):
    return sorted(os.listdir(path))


def test_round_trip(tmp_path):
    write_folder(tmp_path / "deep" / "m", "model", TENSORS, {"x": [1, "é", None]}, overwrite=False)
    tensors, record = read_folder(tmp_path / "deep" / "m", "model")
    assert record == {"x": [1, "é", None]}
    assert all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)
    assert names(tmp_path / "deep") == ["m"]
    assert names(tmp_path / "deep" / "m") == ["model.json", "model.safetensors"]
    # others read the weights by their name
    assert torch.equal(load_file(tmp_path / "deep" / "m" / "model.safetensors")["a"], TENSORS["a"])


def test_existing_folder_needs_overwrite(tmp_path):
    write(tmp_path / "m")
    with pytest.raises(ModelFileError, match="overwrite=True"):
        write(tmp_path / "m", 2)
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 1}
    write(tmp_path / "m", 2, overwrite=True)
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 2}
    assert names(tmp_path) == ["m"]


def test_a_users_files_in_the_folder_stay(tmp_path):
    write(tmp_path / "m")
    (tmp_path / "m" / "figures").mkdir()
    (tmp_path / "m" / "figures" / "umap.png").write_text("mine")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    write(tmp_path / "m", 2, overwrite=True)
    assert (tmp_path / "m" / "figures" / "umap.png").read_text() == "mine"
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"


def test_foreign_folder_is_never_written_into(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    for refuse in (write, check_folder):
        with pytest.raises(ModelFileError, match="not a model folder"):
            refuse(tmp_path, overwrite=True)
    with pytest.raises(ModelFileError, match="exists already"):
        check_folder(tmp_path)
    with pytest.raises(ModelFileError, match=r"thesis.docx is a file"):
        check_folder(tmp_path / "thesis.docx", overwrite=True)
    assert names(tmp_path) == ["thesis.docx"]
    # a model.json that somebody else's program wrote
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text('{"layers": 3}')
    with pytest.raises(ModelFileError, match="not a model folder"):
        write(tmp_path / "other", overwrite=True)
    assert json.loads((tmp_path / "other" / "model.json").read_text()) == {"layers": 3}


def test_folders_that_are_as_good_as_empty_will_do(tmp_path):
    for name in (".DS_Store", f".m.{owner()}-abcd"):
        (tmp_path / name).mkdir()
    assert check_folder(str(tmp_path)) == tmp_path
    write(tmp_path)
    assert read_folder(tmp_path, "model")[1] == {"v": 1}


def test_checking_leaves_nothing_behind_and_says_what_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_folder("~/deep/m") == tmp_path / "deep" / "m"
    assert names(tmp_path) == []
    with pytest.raises(WriteError, match=r"/proc/nowhere/m could not be written"):
        check_folder("/proc/nowhere/m")


def test_a_folder_of_ones_own_under_one_of_others():
    """Nothing may be made beside it, as beside a volume that is mounted."""
    with tempfile.TemporaryDirectory() as name:
        mine = Path(name) / "mine"
        mine.mkdir()
        process = fork()
        if process == 0:
            if os.geteuid() == 0:
                Path(name).chmod(0o755)
                os.chown(mine, 65534, 65534)
                os.seteuid(65534)
            else:
                Path(name).chmod(0o555)
            try:
                write(mine)
                write(mine, 2, overwrite=True)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
        Path(name).chmod(0o755)
        assert read_folder(mine, "model")[1] == {"v": 2}


def test_a_failed_write_leaves_the_old_model_and_no_rubbish(tmp_path, monkeypatch):
    write(tmp_path / "m")

    def full_disk(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "save_file", full_disk)
    for path in (tmp_path / "m", tmp_path / "new"):
        with pytest.raises(WriteError, match=r"could not be written \(No space"):
            write(path, 2, overwrite=True)
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 1}
    assert names(tmp_path) == ["m"]


def test_a_full_disk_is_said_in_words(tmp_path):
    """The system itself refuses to write more than some bytes."""
    write(tmp_path / "m")
    here, there = os.pipe()
    process = fork()
    if process == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            write(tmp_path / "m", 2, overwrite=True, tensors={"a": torch.zeros(100_000)})
        except BaseException as error:
            os.write(there, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(there)
    os.waitpid(process, 0)
    said = os.read(here, 10_000).decode()
    os.close(here)
    assert said.startswith(f"WriteError: {tmp_path}/m could not be written (")
    assert "File too large" in said
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 1}
    assert names(tmp_path) == ["m"]


def test_colleagues_can_read_what_the_mask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        for overwrite in (False, True):
            write(tmp_path / "m", overwrite=overwrite)
            modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "m").iterdir()}
            assert modes == {"model.json": 0o644, "model.safetensors": 0o644}
    finally:
        os.umask(before)


def test_links_are_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    weights = tmp_path / "disk" / "model.safetensors"
    weights.rename(tmp_path / "far.safetensors")
    weights.symlink_to(tmp_path / "far.safetensors")
    write(tmp_path / "link", 2, overwrite=True, tensors={"a": torch.ones(2)})
    assert weights.is_symlink()
    assert list(load_file(tmp_path / "far.safetensors")) == ["a"]
    assert read_folder(tmp_path / "link", "model")[1] == {"v": 2}


def test_what_is_not_finite_is_neither_written_nor_read(tmp_path):
    bad = {"fine": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])}
    with pytest.raises(NonFiniteError, match="NaN or infinity in bad"):
        write(tmp_path / "m", tensors=bad)
    assert names(tmp_path) == []
    write(tmp_path / "m")
    save_file({"a": torch.tensor([float("inf")])}, tmp_path / "m" / "model.safetensors")
    (tmp_path / "m" / "model.json").write_text("{}")  # as an earlier version wrote it
    with pytest.raises(ModelFileError, match="holds NaN or infinity in a"):
        read_folder(tmp_path / "m", "model")


def test_damaged_folders_are_named(tmp_path):
    folder = write(tmp_path / "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + b"x", b""):
        weights.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"model.safetensors is damaged or cut short"):
            read_folder(folder, "model")
    weights.unlink()
    with pytest.raises(
        ModelFileError, match=r"not a complete model folder: model.safetensors missing"
    ):
        read_folder(folder, "model")
    weights.write_bytes(whole)
    (folder / "model.json").write_text(json.dumps({"a": 1})[:-1])
    with pytest.raises(ModelFileError, match=r"model.json is damaged"):
        read_folder(folder, "model")
    (folder / "model.json").unlink()
    with pytest.raises(ModelFileError, match=r"not a complete model folder: model.json missing"):
        read_folder(folder, "model")
    with pytest.raises(ModelFileError, match="is not a folder"):
        read_folder(tmp_path / "nowhere", "model")


def test_folders_of_earlier_versions_have_no_checksums(tmp_path):
    folder = write(tmp_path / "m")
    (folder / "model.json").write_text(json.dumps({"v": 1}))
    tensors, record = read_folder(folder, "model")
    assert record == read_facts(folder, "model") == {"v": 1}
    assert torch.equal(tensors["a"], TENSORS["a"])
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelFileError, match=r"model.safetensors is damaged or cut short"):
        read_folder(folder, "model")


def test_a_header_that_lies_about_sizes_is_refused(tmp_path):
    folder = write(tmp_path / "m")
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}})
    weights = folder / "model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    record = sealed({}, "model.json", {})
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match="is damaged or cut short"):
        read_folder(folder, "model")


def test_weights_that_are_not_those_of_a_network():
    own = {"a": torch.ones(2), "n": torch.tensor(1), "running_var": torch.ones(2)}
    assert misfits(own, {k: v.clone() for k, v in own.items()}) == []
    saved = {
        "a": torch.ones(3), "n": torch.tensor(1.0), "running_var": -torch.ones(2), "x": torch.ones(1)
    }  # fmt: skip
    assert misfits(own, saved) == [
        "x unknown",
        "a of shape (3,) instead of (2,)",
        "n of type torch.float32 instead of torch.int64",
        "running_var below zero",
    ]
    assert misfits(own, {}) == ["a missing", "n missing", "running_var missing"]
