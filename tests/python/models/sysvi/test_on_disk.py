"""SysVI on cells that stay in a file, against the same cells in memory."""

import os
import warnings

import h5py
import numpy as np
import pytest
from anndata import read_h5ad
from scipy import sparse

from scsystems import SysVI, load, open_anndata
from scsystems.data import blocks, disk, schema, spread
from scsystems.data.scale import judge, record, rows
from scsystems.errors import InputError, StoreError

SETUP = {"categorical_covariate_keys": ["donor"], "continuous_covariate_keys": ["score"]}
SMALL = {"n_hidden": 16, "n_latent": 4}


@pytest.fixture(params=["h5ad", "zarr"])
def path(request, adata, tmp_path):
    """The cells of the fixture ``adata`` in a file, in X and, as a layer, dense."""
    adata.layers["dense"] = adata.X.toarray()
    place = tmp_path / f"cells.{request.param}"
    if request.param == "zarr":
        pytest.importorskip("zarr", reason="zarr is not installed: zarr stores are NOT tested here")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Writing zarr v2")
            adata.write_zarr(place)
    else:
        adata.write_h5ad(place)
    return place


@pytest.fixture
def h5ad(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def small_blocks(monkeypatch, adata):
    """Several blocks an epoch, and cells that never fit into memory."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * adata.n_vars * 100)
    monkeypatch.setattr(blocks, "CPU_DENSE_LIMIT", 0)
    monkeypatch.setattr(blocks, "IN_ORDER", 50)
    monkeypatch.setattr(disk, "ROWS", 64)
    monkeypatch.setattr(rows, "DISK_ROWS", 64)
    monkeypatch.setattr(rows, "BLOCK_VALUES", 1)
    monkeypatch.setattr(schema, "BLOCK", 64)
    # for which cells are drawn at random
    monkeypatch.setattr(judge, "LARGEST_SAMPLE", 10)
    monkeypatch.setattr(record, "SAMPLE", 10)
    monkeypatch.setattr(spread, "MOST_CELLS", 10)
    monkeypatch.setattr(disk, "GAP", 1)


def fitted(cells, setup=SETUP, model=SMALL, **options):
    SysVI.setup_anndata(cells, "system", **setup)
    made = SysVI(cells, **model)
    made.train(**{"max_epochs": 2, "batch_size": 64, "verbose": False} | options)
    return made


def reads(monkeypatch):
    """The numbers of cells that are read at a time, from now on."""
    sizes = []
    read = disk.DiskMatrix._read

    def counted(self, start, stop):
        sizes.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(disk.DiskMatrix, "_read", counted)
    return sizes


@pytest.mark.parametrize("layer", [None, "dense"])
def test_cells_that_fit_give_the_same_as_in_memory(adata, path, layer):
    setup = SETUP | {"layer": layer}
    expected, got = fitted(adata, setup), fitted(path, setup)
    np.testing.assert_allclose(got.schema.gene_means, expected.schema.gene_means, rtol=1e-6)
    assert got.schema.expression_scale == expected.schema.expression_scale
    assert got._fingerprint == expected._fingerprint
    np.testing.assert_array_equal(
        got.get_latent_representation(), expected.get_latent_representation()
    )
    assert got._past.history == expected._past.history


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"preset": "paper"},
        {"prior": "gmm"},
        {"prior": "standard_normal", "adversarial": True},
        {"embed_categorical_covariates": True},
    ],
    ids=str,
)
def test_every_variant_trains_in_blocks_and_the_same_again(h5ad, small_blocks, model, monkeypatch):
    sizes = reads(monkeypatch)
    plan = {"adversary_weight": 1} if model.get("adversarial") else None
    first, second = (
        fitted(h5ad, model=SMALL | model, plan_kwargs=plan, train_size=0.8, early_stopping=True)
        for _ in range(2)
    )
    assert max(sizes) <= 128, "more cells were held than a block has"
    assert {"train_loss", "validation_loss"} <= set(first.history)
    assert all(np.isfinite(v).all().all() for v in first.history.values())
    np.testing.assert_array_equal(
        first.get_latent_representation(), second.get_latent_representation()
    )


def test_inference_from_disk_is_that_in_memory(adata, path, small_blocks, monkeypatch):
    model = fitted(path)
    sizes = reads(monkeypatch)
    in_memory = model.get_latent_representation(adata, batch_size=50)
    np.testing.assert_array_equal(model.get_latent_representation(batch_size=50), in_memory)
    np.testing.assert_array_equal(model.get_latent_representation(path, batch_size=50), in_memory)
    at = np.r_[-1, 7:90, 3]
    np.testing.assert_allclose(
        model.get_latent_representation(indices=at, batch_size=50), in_memory[at], atol=1e-5
    )
    assert max(sizes) <= 128
    np.testing.assert_allclose(model.get_elbo(seed=0), model.get_elbo(adata, seed=0), rtol=1e-6)


def test_training_in_blocks_learns_as_in_memory(make, tmp_path, small_blocks, monkeypatch):
    adata = make(300, 60)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(blocks, "CHUNK", 10)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 60 * 140)
    long = {"max_epochs": 10, "batch_size": 32, "plan_kwargs": {"lr": 3e-3}}
    in_memory, in_blocks = fitted(adata, {}, **long), fitted(tmp_path / "cells.h5ad", {}, **long)
    ends = [m.history["train_loss"]["train_loss"].iloc[-5:].mean() for m in (in_memory, in_blocks)]
    start = in_memory.history["train_loss"]["train_loss"].iloc[0]
    assert abs(ends[0] - ends[1]) < 0.05 * (start - ends[0])


def test_a_run_from_disk_is_resumed_to_the_identical_result(h5ad, small_blocks, tmp_path):
    whole = fitted(h5ad, max_epochs=4)
    options = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 1}
    fitted(h5ad, max_epochs=2, **options)
    resumed = fitted(h5ad, max_epochs=4, resume=True, **options)
    np.testing.assert_array_equal(
        resumed.get_latent_representation(), whole.get_latent_representation()
    )
    with pytest.raises(InputError, match="checkpoint"):
        fitted(h5ad, max_epochs=4, resume=True, storage="dense", **options)


def test_what_is_small_is_read_or_left_as_asked(h5ad, monkeypatch):
    read, left = fitted(h5ad, storage="sparse"), fitted(h5ad, storage="disk")
    assert not np.array_equal(read.get_latent_representation(), left.get_latent_representation())
    with pytest.raises(InputError, match=r"storage='disk'.*in memory"):
        fitted(read_h5ad(h5ad), storage="disk")


def test_a_model_finds_its_cells_again(h5ad, tmp_path, small_blocks):
    model = fitted(h5ad)
    model.save(tmp_path / "model")
    names = {p.name for p in (tmp_path / "model").iterdir()}
    assert names == {"model.safetensors", "model.json"}
    loaded = load(tmp_path / "model", h5ad)
    assert loaded._fingerprint == model._fingerprint
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    model.save(tmp_path / "both", save_anndata=True)
    np.testing.assert_array_equal(
        load(tmp_path / "both").get_latent_representation(), model.get_latent_representation()
    )


def test_new_samples_are_mapped_from_disk(make, tmp_path, small_blocks):
    adata = make(300, 40)
    new = adata[adata.obs["donor"] == adata.obs["donor"].iloc[0]].copy()
    reference = adata[~adata.obs_names.isin(new.obs_names)].copy()
    # genes in another order, and more of them
    new = new[:, ::-1].copy()
    new.write_h5ad(tmp_path / "new.h5ad")
    model = fitted(reference, model=SMALL | {"encode_covariates": True})
    mapped = SysVI.load_query_data(tmp_path / "new.h5ad", model)
    same = SysVI.load_query_data(new, model)
    np.testing.assert_array_equal(
        mapped.get_latent_representation(), same.get_latent_representation()
    )
    before = mapped.get_latent_representation()
    mapped.train(max_epochs=2, verbose=False)
    assert not np.array_equal(mapped.get_latent_representation(), before)
    named = mapped.transfer_labels("cell_type", reference, tmp_path / "new.h5ad", n_neighbors=5)
    assert list(named.index) == list(new.obs_names)


def test_backed_and_opened_cells_stay_on_disk(h5ad, small_blocks, monkeypatch):
    expected = fitted(h5ad).get_latent_representation()
    sizes = reads(monkeypatch)
    backed = read_h5ad(h5ad, backed="r")
    from_backed, from_opened = fitted(backed), fitted(open_anndata(h5ad))
    assert max(sizes) <= 128
    np.testing.assert_array_equal(from_backed.get_latent_representation(), expected)
    np.testing.assert_array_equal(from_opened.get_latent_representation(), expected)
    backed.file.close()


def test_cells_by_genes_are_read(adata, tmp_path):
    adata.X = adata.X.tocsc()
    adata.write_h5ad(tmp_path / "genes.h5ad")
    np.testing.assert_array_equal(
        fitted(tmp_path / "genes.h5ad").get_latent_representation(),
        fitted(adata).get_latent_representation(),
    )


# ---- what is wrong is said before anything is computed ----------------------------------------


def test_a_path_must_be_set_up_and_again_when_it_changes(adata, h5ad):
    with pytest.raises(InputError, match="has not been set up"):
        SysVI(h5ad)
    SysVI.setup_anndata(h5ad, "system")
    SysVI(h5ad, **SMALL)
    adata[:100].write_h5ad(h5ad)
    with pytest.raises(InputError, match="has not been set up"):
        SysVI(h5ad)


def test_what_a_file_lacks_is_named(h5ad):
    for arguments, message in (
        ({"batch_key": "species"}, r"'species' is not a column"),
        ({"batch_key": "system", "layer": "logs"}, r"layer='logs' is not in adata.layers"),
        ({"batch_key": "system", "categorical_covariate_keys": ["x"]}, "'x' is not a column"),
    ):
        with pytest.raises(InputError, match=message):
            SysVI.setup_anndata(h5ad, **arguments)
    with pytest.raises(InputError, match=r"other.h5ad does not exist"):
        SysVI.setup_anndata(h5ad.with_name("other.h5ad"), "system")


def test_counts_and_nan_are_found_in_a_file(adata, tmp_path):
    adata.X = sparse.csr_matrix(np.rint(np.expm1(adata.X.toarray())).astype(np.float32))
    adata.write_h5ad(tmp_path / "counts.h5ad")
    with pytest.raises(InputError, match="looks like raw counts"):
        SysVI.setup_anndata(tmp_path / "counts.h5ad", "system")


def test_a_truncated_file_is_refused(h5ad):
    content = h5ad.read_bytes()
    h5ad.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=r"cells.h5ad could not be read"):
        SysVI.setup_anndata(h5ad, "system")


def test_cells_that_cannot_be_read_are_named(h5ad, small_blocks):
    with h5py.File(h5ad, "a") as file:
        values = file["X/data"][:]
        del file["X/data"]
        file["X/data"] = values[: len(values) // 2]
    with pytest.raises(StoreError, match=r"cells \d+ to \d+ .*of X could not be read"):
        SysVI.setup_anndata(h5ad, "system")


def test_a_file_that_changes_during_training_ends_it(h5ad, small_blocks):
    SysVI.setup_anndata(h5ad, "system")
    model = SysVI(h5ad, **SMALL)

    def touch(epoch, max_epochs, losses):
        os.utime(h5ad, ns=(1, 1))

    with pytest.raises(StoreError, match="has changed since it was opened"):
        model.train(max_epochs=5, callbacks=touch, verbose=False)
    assert not model.is_trained
