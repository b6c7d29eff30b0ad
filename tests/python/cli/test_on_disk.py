"""``scsystems sysvi`` on cells that stay on disk gives what it gives of cells in memory."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad, read_zarr

from scsystems import load
from scsystems.cli import on_disk as command
from scsystems.data import datasets, size
from scsystems.data.matrix import plain
from scsystems.data.preprocess import prepare

BASE = ("--system", "system", "--covariates", "donor", "--epochs", 1, "--genes", 60)


@pytest.fixture(scope="module")
def counts():
    return datasets.simulated(n_cells=300, n_genes=200, n_types=3, depth=600, seed=1)


@pytest.fixture
def counts_file(counts, tmp_path):
    counts.obsm["X_old"] = np.ones((counts.n_obs, 2))
    counts.write_h5ad(tmp_path / "counts.h5ad")
    return tmp_path / "counts.h5ad"


def nothing_is_read(monkeypatch):
    def read(*_):
        raise AssertionError("a whole matrix was read")

    monkeypatch.setattr("scsystems.data.containers.read_anndata", read)


def files_in(folder):
    return {p.name for p in folder.iterdir()}


def test_the_result_is_that_of_cells_in_memory(run, counts_file, tmp_path, monkeypatch):
    assert run("sysvi", counts_file, tmp_path / "a.h5ad", *BASE, "--in-memory") == 0
    nothing_is_read(monkeypatch)
    store, model = tmp_path / "store.h5ad", tmp_path / "model"
    options = ("--on-disk", "--store", store, "--model", model)
    assert run("sysvi", counts_file, tmp_path / "b.h5ad", *BASE, *options) == 0
    a, b = read_h5ad(tmp_path / "a.h5ad"), read_h5ad(tmp_path / "b.h5ad")
    np.testing.assert_array_equal(b.obsm["X_sysvi"], a.obsm["X_sysvi"])
    np.testing.assert_array_equal(b.obsm["X_old"], a.obsm["X_old"])
    assert (a.X != b.X).nnz == 0
    pd.testing.assert_frame_equal(a.obs, b.obs)
    assert files_in(tmp_path) == {"counts.h5ad", "a.h5ad", "b.h5ad", "store.h5ad", "model"}
    np.testing.assert_array_equal(load(model, store).get_latent_representation(), b.obsm["X_sysvi"])
    # what was kept is an input of later runs, with its genes
    assert run("sysvi", store, tmp_path / "c.h5ad", *BASE[:-2], "--on-disk") == 0
    np.testing.assert_array_equal(read_h5ad(tmp_path / "c.h5ad").obsm["X_sysvi"], a.obsm["X_sysvi"])


def test_what_takes_more_memory_than_there_is_stays_on_disk(
    run, counts_file, tmp_path, monkeypatch, capsys
):
    needed = size.needed_memory(counts_file)
    x = read_h5ad(counts_file).X
    assert needed == size.TIMES * (x.data.nbytes + x.indices.nbytes)
    monkeypatch.setattr(size, "available_memory", lambda: needed - 1)
    nothing_is_read(monkeypatch)
    assert run("sysvi", counts_file, tmp_path / "out.h5ad", *BASE) == 0
    assert "they stay on disk" in capsys.readouterr().err
    assert files_in(tmp_path) == {"counts.h5ad", "out.h5ad"}


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_names_of_cells_are_added_to_the_copy(run, counts, counts_file, tmp_path, suffix):
    if suffix == "zarr":
        pytest.importorskip("zarr", reason="zarr is not installed: zarr stores are NOT tested here")
        counts_file = tmp_path / "counts.zarr"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Writing zarr v2")
            counts.write_zarr(counts_file)
    options = (*BASE, "--labels", "cell_type")
    results = []
    for where in ("--in-memory", "--on-disk"):
        out = tmp_path / f"out{where}.{suffix}"
        assert run("sysvi", counts_file, out, *options, where) == 0
        results.append((read_h5ad if suffix == "h5ad" else read_zarr)(out).obs)
    a, b = results
    assert list(b.columns) == list(a.columns)
    for name in a:
        assert b[name].tolist() == a[name].tolist()
    # and to the embedding alone
    if suffix == "h5ad":
        table = tmp_path / "out.csv"
        assert run("sysvi", counts_file, table, *options, "--on-disk", "--embedding-only") == 0
        found = pd.read_csv(table, index_col=0)
        assert found["predicted.cell_type"].tolist() == a["predicted.cell_type"].tolist()


def test_a_zarr_store_and_a_layer(run, counts, tmp_path):
    pytest.importorskip("zarr", reason="zarr is not installed: zarr stores are NOT tested here")
    adata = counts.copy()
    adata.layers["counts"], adata.X = adata.X, np.zeros(adata.shape, np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Writing zarr v2")
        adata.write_zarr(tmp_path / "in.zarr")
    options = ("--layer", "counts", "--all-genes", "--epochs", 1, "--system", "system", "--on-disk")
    assert run("sysvi", tmp_path / "in.zarr", tmp_path / "out.zarr", *options) == 0
    found = read_zarr(tmp_path / "out.zarr")
    assert found.obsm["X_sysvi"].shape == (counts.n_obs, 15)
    assert (plain(found.layers["counts"], "") != counts.X).nnz == 0


# what anndata 0.11.0 says of a file that has no genes
@pytest.mark.filterwarnings("ignore:Transforming to str index")
@pytest.mark.parametrize("where", ["--on-disk", "--in-memory"])
def test_the_embedding_alone(run, counts_file, tmp_path, where):
    def written(name):
        out = tmp_path / name
        assert run("sysvi", counts_file, out, *BASE, where, "--embedding-only") == 0
        return out

    cells = read_h5ad(written("z.h5ad"))
    assert cells.X is None
    assert list(cells.obs.columns) == list(read_h5ad(counts_file).obs.columns)
    # after an option that takes any number of values, too
    out, last = tmp_path / "last.csv", BASE[2:4]
    assert run("sysvi", counts_file, *BASE[:2], *BASE[4:], "--embedding-only", *last, out) == 0
    assert out.exists()
    for name in ("z.csv", "z.csv.gz"):
        table = pd.read_csv(written(name), index_col=0)
        np.testing.assert_allclose(table, cells.obsm["X_sysvi"], rtol=1e-5)
        assert list(table.index) == list(cells.obs_names)


def test_what_cannot_be_done_is_said_before_training(
    run, file, counts_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "out.h5ad"
    (tmp_path / "there.csv").write_text("mine")
    cases = {
        "genes of cells on disk are chosen from counts": (file, out),
        "ends in .h5ad": (counts_file, tmp_path / "out.zarr"),
        "ends in one of .h5ad, .parquet": (counts_file, tmp_path / "z.txt", "--embedding-only"),
        "pip install pyarrow": (counts_file, tmp_path / "z.parquet", "--embedding-only"),
        "exists already": (counts_file, tmp_path / "there.csv", "--embedding-only"),
        "--raw needs --in-memory": (counts_file, out, "--raw"),
        "does not exist": (counts_file, tmp_path / "none" / "z.csv", "--embedding-only"),
        "holds the cells": (counts_file, counts_file, "--embedding-only"),
    }
    before = files_in(tmp_path)
    for message, (source, target, *options) in cases.items():
        assert run("sysvi", source, target, *BASE, "--on-disk", *options) == 1
        assert message in capsys.readouterr().err
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--genes", 60), "--genes: the genes of"),
        (("--keep", "Gene1"), "--keep: the genes of"),
        (("--hvg-merge", "joint"), "--hvg-merge: the genes of"),
        (("--fractional",), "--fractional is for counts"),
        (("--store", "again.h5ad"), "--store keeps what is made of counts"),
    ],
)
def test_what_would_do_nothing_to_prepared_cells_is_refused(
    run, counts_file, tmp_path, monkeypatch, capsys, option, message
):
    monkeypatch.chdir(tmp_path)
    prepare(counts_file, "system", "donor", n_top_genes=60, out="store.h5ad")
    before = files_in(tmp_path)
    assert run("sysvi", "store.h5ad", "out.h5ad", *BASE[:-2], "--on-disk", *option) == 1
    assert message in capsys.readouterr().err
    assert files_in(tmp_path) == before


def test_a_disk_without_room_for_a_copy_is_refused(run, counts_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        command.shutil, "disk_usage", lambda _: command.shutil._ntuple_diskusage(9, 9, 0)
    )
    assert run("sysvi", counts_file, tmp_path / "out.h5ad", *BASE, "--on-disk") == 1
    assert "0.0 GiB left" in capsys.readouterr().err
