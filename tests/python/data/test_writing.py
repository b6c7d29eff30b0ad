import os
from contextlib import nullcontext

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad, read_zarr

from scsystems.data import writing
from scsystems.data.containers import check_target, open_cells
from scsystems.data.writing import check_name, is_store, write_anndata, write_cells
from scsystems.errors import InputError, WriteError

pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2")
READ = {".h5ad": read_h5ad, ".zarr": read_zarr}


def test_names_that_a_file_can_hold():
    for name in ("X_sysvi", "my emb", "a.b-c", "é", "CD4+", "_x"):
        check_name(name)
    for name, why in {
        "a/b": "holds /",
        "/": "holds /",
        "": "is empty",
        ".": "is reserved",
        "..": "is reserved",
        "_index": "is reserved",
        "__x": "is reserved",
        "a\0b": "zero byte",
        "x" * 300: "longer than",
    }.items():
        with pytest.raises(InputError, match=why):
            check_name(name)
    with pytest.raises(InputError, match=r"^The column cannot be called 'a/b'"):
        check_name("a/b", "The column")


@pytest.mark.parametrize("suffix", READ)
def test_names_are_refused_before_training_and_when_they_are_added(adata, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_anndata(adata, path)
    check_target(path, path, True, ["X_new", "predicted"])
    with pytest.raises(InputError, match="'a/b'"):
        check_target(path, path, True, ["X_new", "a/b"])
    check_target("a.rds", tmp_path / "b.rds", True, ["a/b"])  # R does not mind
    cells = open_cells(path)
    with pytest.raises(InputError, match=r"embedding cannot be called 'a/b'"):
        cells.add_embedding("a/b", np.zeros((adata.n_obs, 2)))
    with pytest.raises(InputError, match=r"column cannot be called 'a/b'"):
        cells.add_column("a/b", np.zeros(adata.n_obs))
    assert "a/b" not in cells.adata.obsm


def put(part, key, value):
    def change(adata):
        getattr(adata, part)[key] = value(adata) if callable(value) else value

    return change


UNWRITABLE = {
    r"adata.obs\['mixed'\]": put("obs", "mixed", lambda a: np.resize(np.array([1, "a"], object), a.n_obs)),
    r"adata.obs\['date'\]": put("obs", "date", lambda a: pd.date_range("2020", periods=a.n_obs)),
    r"adata.obs\['cut'\]": put("obs", "cut", lambda a: pd.cut(np.arange(a.n_obs), 3)),
    r"adata.uns\['a'\]\['b'\]": put("uns", "a", {"b": {1, 2}}),
    "An entry of obsm": put("obsm", "a/b", lambda a: np.zeros((a.n_obs, 2))),
    "A column of obs": put("obs", "", 1),
}  # fmt: skip


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("where", UNWRITABLE)
def test_what_cannot_be_written_is_named(adata, tmp_path, where, suffix):
    UNWRITABLE[where](adata)
    with pytest.raises(InputError, match=where):
        write_anndata(adata, tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", READ)
def test_text_that_may_be_missing_is_written(adata, tmp_path, suffix):
    """As pandas 3 has it, in names and in columns."""
    settings = getattr(anndata, "settings", None)
    if not hasattr(settings, "allow_write_nullable_strings"):
        pytest.skip("this anndata does not know it")
    adata.obs["text"] = pd.array([None, *["a"] * (adata.n_obs - 1)], dtype="string")
    for frame in (adata.obs, adata.var):
        frame.index = frame.index.astype("string")
    write_anndata(adata, tmp_path / f"a{suffix}")
    cells = open_cells(tmp_path / f"a{suffix}")
    cells.add_embedding("X_new", np.ones((adata.n_obs, 2)))
    write_cells(cells, tmp_path / f"a{suffix}")
    again = READ[suffix](tmp_path / f"a{suffix}")
    assert list(again.obs_names) == list(adata.obs_names)
    assert again.obs["text"].isna().sum() == 1
    assert "X_new" in again.obsm
    with settings.override(allow_write_nullable_strings=False), nullcontext():
        write_anndata(adata, tmp_path / f"b{suffix}")
    assert settings.allow_write_nullable_strings is not True


def test_what_others_keep_in_a_store_stays(adata, tmp_path):
    store = tmp_path / "a.zarr"
    write_anndata(adata, store)
    (store / "notes.txt").write_text("mine")
    (store / "figures").mkdir()
    (store / "figures" / "umap.png").write_text("mine")
    (tmp_path / "link.zarr").symlink_to(store)
    cells = open_cells(tmp_path / "link.zarr")
    cells.add_embedding("X_new", np.ones((adata.n_obs, 2)))
    write_cells(cells, tmp_path / "link.zarr")
    assert (tmp_path / "link.zarr").is_symlink()
    assert (store / "notes.txt").read_text() == "mine"
    assert (store / "figures" / "umap.png").read_text() == "mine"
    assert "X_new" in read_zarr(store).obsm
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "link.zarr"]


def test_only_stores_of_cells_are_replaced(adata, tmp_path):
    write_anndata(adata, tmp_path / "a.zarr")
    assert is_store(tmp_path / "a.zarr")
    check_target("in.h5ad", tmp_path / "a.zarr", overwrite=True)
    (tmp_path / "notes.zarr").mkdir()
    check_target("in.h5ad", tmp_path / "notes.zarr", overwrite=True)
    (tmp_path / "notes.zarr" / "thesis.docx").touch()
    for name in ("notes.zarr", "folder.h5ad", "file.zarr"):
        if name.startswith("folder"):
            (tmp_path / name).mkdir()
        elif name.startswith("file"):
            (tmp_path / name).touch()
        with pytest.raises(InputError, match="so it is not replaced"):
            check_target("in.h5ad", tmp_path / name, overwrite=True)


def test_places_that_cannot_be_written_to_are_refused_before_training(tmp_path):
    with pytest.raises(WriteError, match="/proc could not be written"):
        check_target("in.h5ad", "/proc/out.h5ad", overwrite=False)
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "to-be.h5ad")
    check_target("in.h5ad", tmp_path / "link.h5ad", overwrite=False)
    assert sorted(os.listdir(tmp_path)) == ["link.h5ad"]


@pytest.mark.parametrize("suffix", READ)
def test_a_failed_write_leaves_the_old_and_says_why(adata, tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a{suffix}"
    write_anndata(adata, path)
    cells = open_cells(path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_writers", lambda: (full, full))
    with pytest.raises(WriteError, match=r"could not be written \(No space left"):
        write_cells(cells, path)
    assert READ[suffix](path).n_obs == adata.n_obs
    assert os.listdir(tmp_path) == [path.name]


def test_a_store_that_was_moved_out_of_the_way_is_found(adata, tmp_path):
    """By a process that died between two steps, where the system has no single one."""
    from scsystems.durable.leftovers import owner
    from scsystems.durable.recovery import REPLACED

    dead = tmp_path / f".a.zarr.{owner().rpartition('-')[0]}-1-abcd"
    dead.mkdir()
    write_anndata(adata, dead / "a.zarr")
    write_anndata(adata[:10].copy(), dead / "old.zarr")
    (dead / "old.zarr").rename(dead / REPLACED)
    assert open_cells(tmp_path / "a.zarr").adata.n_obs == adata.n_obs
    assert os.listdir(tmp_path) == ["a.zarr"]
