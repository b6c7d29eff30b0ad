"""What is in the folder of a model, and what of it is believed."""

import json
import os
import shutil
import time
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import scsystems as scs
from scsystems import SysVI
from scsystems.durable.manifest import SUMS, checksum, sealed
from scsystems.errors import InputError, ModelFileError, NonFiniteError, WriteError

SETUP = {"categorical_covariate_keys": ["donor"], "continuous_covariate_keys": ["score"]}


@pytest.fixture
def model(train):
    return train(setup=SETUP, epochs=1)


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "m")
    return tmp_path / "m"


def forge(folder, change):
    """Change the description, with checksums that fit."""
    main = folder / "model.json"
    record = json.loads(main.read_text())
    sums = record.pop(SUMS)
    change(record)
    del sums[main.name]
    sums = {name: checksum(folder / name) for name in sums}
    main.write_text(json.dumps(sealed(record, main.name, sums)))


def at(*place):
    """A function that puts a value there."""

    def put(record, value):
        for key in place[:-1]:
            record = record[key]
        record[place[-1]] = value

    return put


FORGED = [
    (at("arguments", "n_hidden"), 30_000, "do not fit"),
    (at("arguments", "n_hidden"), 10**15, "network that cannot be"),
    (at("arguments", "n_hidden"), -1, "n_hidden=-1"),
    (at("arguments", "n_hidden"), "64", "whole number"),
    (at("arguments", "n_layers"), 10**9, "layers"),
    (at("arguments", "n_prior_components"), 10**12, "do not fit"),
    (at("arguments", "dropout_rate"), 3, "dropout_rate"),
    (at("arguments", "seed"), 10**40, "seed"),
    (at("arguments", "prior"), ["vamp"], "one of"),
    (at("arguments", "prior"), "flat", "one of"),
    (at("arguments", "arithmetic"), "other", "arithmetic"),
    (at("arguments", "adversarial"), True, "do not fit"),
    (at("arguments", "x"), 1, "'x'"),
    (at("schema", "genes"), ["g"], "do not fit|contradicts"),
    (at("schema", "genes"), [], "empty"),
    (at("schema", "genes"), ["g0"] * 40, "twice"),
    (at("schema", "genes"), "abc", "a list"),
    (at("schema", "systems"), [1, 2], "text"),
    (at("schema", "categories"), [], "categorical_covariate_keys"),
    (at("schema", "center"), [0.0, 1.0], "center"),
    (at("schema", "scale"), [0.0], "not positive"),
    (at("schema", "gene_means"), [1.0], "gene_means"),
    (at("schema", "setup"), None, "named entries"),
    (at("schema"), {}, "lacks the entry"),
    (at("history"), {"train_loss": [[0]]}, "2 values"),
    (at("history"), {"train_loss": 3}, "a list"),
    (at("stopped"), "tired", "one of"),
    (at("n_cells"), "many", "whole number"),
    (at("query"), {"new_rows": "all"}, "a list"),
    (at("class"), "ScSpecies", "ScSpecies"),
    (at("class"), ["SysVI"], "holds a"),
    (at("more"), 1, "'more'"),
]  # fmt: skip


@pytest.mark.parametrize(("put", "value", "message"), FORGED)
def test_no_entry_is_believed(folder, put, value, message):
    forge(folder, lambda record: put(record, value))
    start = time.perf_counter()
    with pytest.raises(ModelFileError, match=message):
        SysVI.load(folder)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("key", ["schema", "arguments", "history", "stopped", "n_cells"])
def test_every_entry_has_to_be_there(folder, key):
    forge(folder, lambda record: record.pop(key))
    with pytest.raises(ModelFileError, match=f"lacks the entry '{key}'"):
        SysVI.load(folder)


def test_a_single_changed_digit_is_noticed(folder):
    main = folder / "model.json"
    text = main.read_text()
    place = text.index("center") + 20
    digit = next(i for i in range(place, len(text)) if text[i].isdigit())
    main.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
    with pytest.raises(ModelFileError, match="was changed after it was saved"):
        SysVI.load(folder)


CHANGED = {
    "shape": (lambda t: t[:, :1].contiguous(), "of shape"),
    "type": (lambda t: t.long(), "of type"),
    "NaN": (lambda t: t * float("nan"), "NaN"),
}


@pytest.mark.parametrize("how", CHANGED)
def test_tensors_are_looked_at(folder, how):
    change, message = CHANGED[how]
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.hidden.layers.0.weight"
    save_file(tensors | {name: change(tensors[name])}, folder / "model.safetensors")
    forge(folder, lambda record: None)
    with pytest.raises(ModelFileError, match=f"{message}|{name}"):
        SysVI.load(folder)


def test_variances_below_zero_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.hidden.layers.0.norm.running_var"
    save_file(tensors | {name: -tensors[name]}, folder / "model.safetensors")
    forge(folder, lambda record: None)
    with pytest.raises(ModelFileError, match=f"{name} below zero"):
        SysVI.load(folder)


def test_a_model_that_failed_is_not_saved(model, tmp_path):
    with torch.no_grad():
        model.net.encoder.mean.bias[0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"encoder.mean.bias"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# ---- cells beside the model ------------------------------------------------------------------


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_cells_are_saved_with_the_model_and_go_with_it(model, tmp_path):
    folder = tmp_path / "m"
    model.save(folder, save_anndata=True)
    assert names(folder) == ["adata.h5ad", "model.json", "model.safetensors"]
    z = model.get_latent_representation()
    np.testing.assert_allclose(SysVI.load(folder).get_latent_representation(), z, atol=1e-6)
    # cells of another model than the one that is there would be a silent mistake
    model.save(folder, overwrite=True)
    assert names(folder) == ["model.json", "model.safetensors"]
    assert SysVI.load(folder).adata is None


def test_cells_that_lie_there_by_chance_are_neither_read_nor_replaced(model, adata, tmp_path):
    folder = tmp_path / "m"
    model.save(folder)
    adata[:10].copy().write_h5ad(folder / "adata.h5ad")
    assert SysVI.load(folder).adata is None
    with pytest.raises(WriteError, match=r"adata.h5ad was not written by this package"):
        model.save(folder, overwrite=True, save_anndata=True)
    model.save(folder, overwrite=True)
    assert anndata.read_h5ad(folder / "adata.h5ad").n_obs == 10


def test_cells_that_cannot_be_written_leave_no_half_a_model(model, tmp_path):
    folder = tmp_path / "m"
    model.adata.obs["mixed"] = np.resize(np.array([1, "a"], dtype=object), model.adata.n_obs)
    with pytest.raises(InputError, match=r"adata.obs\['mixed'\] cannot be written"):
        model.save(folder, save_anndata=True)
    assert list(tmp_path.iterdir()) == []
    model.save(folder)
    before = (folder / "model.json").read_bytes()
    with pytest.raises(InputError, match="mixed"):
        model.save(folder, save_anndata=True, overwrite=True)
    assert (folder / "model.json").read_bytes() == before
    assert names(folder) == ["model.json", "model.safetensors"]
    assert SysVI.load(folder).is_trained


@pytest.mark.parametrize("part", ["obsm", "layers"])
def test_names_that_make_a_file_unreadable_are_refused(model, tmp_path, part):
    adata = model.adata
    getattr(adata, part)["a/b"] = np.zeros(adata.shape, np.float32)
    with pytest.raises(InputError, match="'a/b'"):
        model.save(tmp_path / "m", save_anndata=True)
    assert list(tmp_path.iterdir()) == []


def test_damaged_cells_are_an_error_and_deleted_ones_are_not(model, tmp_path, caplog):
    folder = tmp_path / "m"
    model.save(folder, save_anndata=True)
    cells = folder / "adata.h5ad"
    whole = cells.read_bytes()
    cells.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match=r"adata.h5ad is damaged or cut short"):
        SysVI.load(folder)
    cells.unlink()
    assert SysVI.load(folder).adata is None
    assert "the cells that were saved with the model are gone" in caplog.text


def test_a_folder_of_an_earlier_version_has_cells_without_a_word(model, tmp_path):
    folder = tmp_path / "m"
    model.save(folder, save_anndata=True)
    record = json.loads((folder / "model.json").read_text())
    del record[SUMS]
    (folder / "model.json").write_text(json.dumps(record))
    assert SysVI.load(folder).adata is not None
    model.save(folder, overwrite=True, save_anndata=True)
    assert SysVI.load(folder).adata is not None


def test_paths_are_as_the_user_means_them(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model.save("~/m")
    assert names(tmp_path) == ["m"]
    assert SysVI.load("~/m").is_trained
    assert scs.load("~/m").is_trained


def test_what_is_saved_over_a_model_of_scvi_tools_is_refused_and_own_files_come_first(
    model, tmp_path
):
    source = Path(__file__).parents[3] / "data" / "scvi_sysvi" / "vamp"
    shutil.copytree(source, tmp_path / "m")
    with pytest.raises(ModelFileError, match="not a model folder"):
        model.save(tmp_path / "m", overwrite=True)
    model.save(tmp_path / "own")
    shutil.copy(source / "model.pt", tmp_path / "own")
    assert SysVI.load(tmp_path / "own").schema.genes == model.schema.genes


def test_a_reader_without_rights_to_write_can_read(folder):
    os.chmod(folder, 0o555)
    try:
        assert SysVI.load(folder).is_trained
    finally:
        os.chmod(folder, 0o755)
