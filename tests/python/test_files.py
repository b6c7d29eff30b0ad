import json
import os

import pytest
import torch

from scsystems import files
from scsystems.errors import ModelFileError
from scsystems.files import read_folder, write_folder

TENSORS = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(3)}


def test_round_trip(tmp_path):
    write_folder(tmp_path / "deep" / "m", "model", TENSORS, {"x": [1, "é", None]}, overwrite=False)
    tensors, record = read_folder(tmp_path / "deep" / "m", "model")
    assert record == {"x": [1, "é", None]}
    assert all(torch.equal(tensors[k], TENSORS[k]) for k in TENSORS)
    assert sorted(os.listdir(tmp_path / "deep")) == ["m"]
    assert sorted(os.listdir(tmp_path / "deep" / "m")) == ["model.json", "model.safetensors"]


def test_existing_folder_needs_overwrite(tmp_path):
    write_folder(tmp_path / "m", "model", TENSORS, {"v": 1}, overwrite=False)
    with pytest.raises(ModelFileError, match="overwrite=True"):
        write_folder(tmp_path / "m", "model", TENSORS, {"v": 2}, overwrite=False)
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 1}
    write_folder(tmp_path / "m", "model", TENSORS, {"v": 2}, overwrite=True)
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 2}
    assert os.listdir(tmp_path) == ["m"]


def test_foreign_folder_is_never_replaced(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(ModelFileError, match="not a model folder"):
        write_folder(tmp_path, "model", TENSORS, {}, overwrite=True)
    assert (tmp_path / "thesis.docx").exists()


def test_a_failed_write_leaves_the_old_model_and_no_rubbish(tmp_path, monkeypatch):
    write_folder(tmp_path / "m", "model", TENSORS, {"v": 1}, overwrite=False)

    def full_disk(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_folder(tmp_path / "m", "model", TENSORS, {"v": 2}, overwrite=True)
    assert read_folder(tmp_path / "m", "model")[1] == {"v": 1}
    assert os.listdir(tmp_path) == ["m"]


def test_damaged_folders_are_named(tmp_path):
    folder = write_folder(tmp_path / "m", "model", TENSORS, {}, overwrite=False)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
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
    with pytest.raises(ModelFileError, match="is not a folder"):
        read_folder(tmp_path / "nowhere", "model")
