"""Preparation of cells on disk against the same in memory."""

from types import SimpleNamespace

import numpy as np
import pytest

from scsystems.data import datasets, prepare_store
from scsystems.data.matrix import stays_on_disk
from scsystems.data.preprocess import prepare
from scsystems.errors import InputError, StoreError

SETTINGS = {"min_cells": 20, "n_top_genes": 300}


@pytest.fixture(scope="module")
def counts():
    """Two systems with three samples each, their cells in random order."""
    adata = datasets.simulated(n_cells=700, n_genes=800, n_types=4, depth=800, seed=1)
    return adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()


@pytest.fixture(scope="module")
def species():
    return datasets.simulated_by_species(n_cells=600, n_genes=600, n_types=4, depth=800, seed=2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(prepare_store, "ROWS", 128)


def assert_same(got, expected):
    assert list(got.var_names) == list(expected.var_names)
    assert list(got.obs_names) == list(expected.obs_names)
    np.testing.assert_array_equal(got.X[:].toarray(), expected.X.toarray())
    np.testing.assert_array_equal(
        got.layers["counts"][:].toarray(), expected.layers["counts"].toarray()
    )
    keys = ("n_cells", "n_genes", "n_expressed", "n_shared", "n_variable", "n_selected", "kept")
    for key in keys:
        assert got.uns["preparation"][key] == expected.uns["preparation"][key], key


@pytest.mark.parametrize("batch_key", [None, "donor"])
def test_one_file_gives_what_cells_in_memory_give(counts, tmp_path, batch_key):
    counts.write_h5ad(tmp_path / "in.h5ad")
    expected = prepare(counts, "system", batch_key, **SETTINGS)
    got = prepare(tmp_path / "in.h5ad", "system", batch_key, **SETTINGS, out=tmp_path / "out.h5ad")
    assert stays_on_disk(got)
    assert stays_on_disk(got, "counts")
    assert_same(got, expected)
    assert list(got.obs["donor"]) == list(counts.obs["donor"])


@pytest.mark.parametrize("batch_key", [None, "donor"])
def test_genes_are_joined_by_rank_and_kept_alike(counts, tmp_path, batch_key):
    counts.write_h5ad(tmp_path / "in.h5ad")
    plain = prepare(counts, "system", batch_key, hvg_merge="joint", **SETTINGS)
    assert plain.n_vars == 300
    keep = [counts.var_names[~counts.var_names.isin(plain.var_names)][0], plain.var_names[0]]
    options = {"hvg_merge": "joint", "keep": keep, **SETTINGS}
    expected = prepare(counts, "system", batch_key, **options)
    assert set(keep) <= set(expected.var_names)
    got = prepare(tmp_path / "in.h5ad", "system", batch_key, **options, out=tmp_path / "out.h5ad")
    assert_same(got, expected)
    assert got.uns["preparation"]["settings"] == expected.uns["preparation"]["settings"]
    got.file.close()
    with pytest.raises(InputError, match="features and keep"):
        prepare(tmp_path / "in.h5ad", features=keep, keep=keep, out=tmp_path / "other.h5ad")


def test_files_of_species_with_their_own_genes(species, tmp_path):
    species, table = species
    files = {name: tmp_path / f"{name}.h5ad" for name in species}
    for name, adata in species.items():
        adata.write_h5ad(files[name])
    options = {"orthologs": table, "names_from": "species2", **SETTINGS}
    expected = prepare(species, batch_key="donor", **options)
    got = prepare(files, batch_key="donor", out=tmp_path / "out.h5ad", **options)
    assert_same(got, expected)
    assert list(got.obs["system"]) == list(expected.obs["system"])
    assert got.uns["preparation"]["orthologs"] == expected.uns["preparation"]["orthologs"]
    for name in species:
        assert list(got.var[f"gene_{name}"]) == list(expected.var[f"gene_{name}"])


def test_small_samples_have_no_say_either(counts, tmp_path):
    few = counts.obs["donor"].astype(str).to_numpy()
    few[np.flatnonzero(counts.obs["system"] == "species1")[:7]] = "tiny"
    adata = counts.copy()
    adata.obs["donor"] = few
    adata.write_h5ad(tmp_path / "in.h5ad")
    expected = prepare(adata, "system", "donor", **SETTINGS)
    got = prepare(tmp_path / "in.h5ad", "system", "donor", **SETTINGS, out=tmp_path / "out.h5ad")
    assert_same(got, expected)


def test_given_genes_and_a_layer(counts, tmp_path):
    adata = counts.copy()
    adata.layers["raw"] = adata.X.copy()
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "in.h5ad")
    genes = list(counts.var_names[[5, 3, 9]])
    expected = prepare(counts, "system", features=genes, min_cells=0)
    got = prepare(
        tmp_path / "in.h5ad",
        "system",
        features=genes,
        min_cells=0,
        layer="raw",
        out=tmp_path / "out.h5ad",
    )
    assert_same(got, expected)


def test_what_is_wrong_is_said_before_or_at_the_first_pass(counts, tmp_path, monkeypatch):
    adata, file, out = counts.copy(), tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    adata.write_h5ad(file)
    with pytest.raises(InputError, match="and `out`"):
        prepare(file, "system")
    with pytest.raises(InputError, match="holds the counts that are prepared"):
        prepare(file, "system", out=file, overwrite=True)
    with pytest.raises(InputError, match="target_sum=None"):
        prepare(file, "system", out=out, target_sum=None)
    with pytest.raises(InputError, match="needs all cells in memory"):
        prepare(file, "system", out=out, flavor="seurat")
    with pytest.raises(InputError, match="'nope' is not a column"):
        prepare(file, "nope", out=out)
    with pytest.raises(InputError, match="out is for cells on disk"):
        prepare(adata, "system", out=out)
    monkeypatch.setattr(prepare_store.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(StoreError, match=r"needs some .* GiB, but its disk has 0.0 GiB left"):
        prepare(file, "system", out=out, **SETTINGS)
    monkeypatch.undo()
    adata.X.data[adata.X.indptr[300]] = 0.5
    adata.write_h5ad(tmp_path / "halves.h5ad")
    first = adata.obs_names[300]
    with pytest.raises(InputError, match=f"does not hold raw counts.*{first}"):
        prepare(tmp_path / "halves.h5ad", "system", out=out)
    assert not out.exists()
