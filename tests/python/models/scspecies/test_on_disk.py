"""ScSpecies on cells that stay in files, against the same cells in memory."""

import dataclasses
import os
import sys
import warnings

import h5py
import numpy as np
import pytest
import torch
from anndata import read_h5ad
from scipy import sparse

from scsystems import ScSpecies, load, open_anndata
from scsystems.data import blocks, disk, neighbors
from scsystems.data.datasets import simulated_by_species
from scsystems.data.scale import judge, rows
from scsystems.data.species_genes import species_genes
from scsystems.errors import InputError, StoreError
from scsystems.models.scspecies import prototypes, training
from scsystems.nn.scspecies import alignment

SIZES = {"n_hidden": 16, "n_features": 20, "n_latent": 4, "n_neighbors": 8}


@pytest.fixture(scope="module")
def species(tmp_path_factory):
    """Two species in memory, and the files with them: counts dense and sparse, samples, a layer."""
    folder = tmp_path_factory.mktemp("species")
    cells, table = simulated_by_species(
        n_cells=420, n_genes=160, n_types=3, own_types=False, depth=500.0
    )
    paths = {}
    for name, adata in cells.items():
        adata.layers["dense"] = adata.X.toarray()
        paths[name] = folder / f"{name}.h5ad"
        adata.write_h5ad(paths[name])
    return cells, table, paths


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks an epoch, and cells that never fit into memory."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 140 * 100)
    monkeypatch.setattr(blocks, "CPU_DENSE_LIMIT", 0)
    monkeypatch.setattr(blocks, "CHUNK", 16)
    monkeypatch.setattr(disk, "ROWS", 64)
    monkeypatch.setattr(disk, "GAP", 1)
    monkeypatch.setattr(neighbors, "DISK_BLOCK", 60)
    monkeypatch.setattr(training, "SLAB", 50)
    monkeypatch.setattr(training, "INFERENCE_CHUNK", 50)
    monkeypatch.setattr(sys.modules["scsystems.tools.novelty"], "CHUNK", 50)
    monkeypatch.setattr(sys.modules["scsystems.tools.similarity"], "PAIRS", 600)
    monkeypatch.setattr(rows, "DISK_ROWS", 64)
    monkeypatch.setattr(rows, "BLOCK_VALUES", 1)
    monkeypatch.setattr(judge, "LARGEST_SAMPLE", 10)


@pytest.fixture
def reads(monkeypatch):
    """Numbers of cells that were read together; a whole species is too many."""
    found = []
    read = disk.DiskMatrix._read

    def counted(self, start, stop):
        found.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(disk.DiskMatrix, "_read", counted)
    return found


def made(cells, table, **options):
    context, target = ({name: cells[name]} for name in ("species1", "species2"))
    return ScSpecies(context, target, "cell_type", table, **SIZES, **options)


def fitted(cells, table, max_epochs=2, **options):
    model = made(cells, table, **options)
    model.train(max_epochs, verbose=False, accelerator="cpu")
    return model


@pytest.mark.parametrize("options", [{}, {"batch_key": "donor"}, {"layer": "dense"}])
def test_cells_that_fit_give_the_same_as_in_memory(species, options):
    cells, table, paths = species
    options = {"n_top_genes": 140, **options}
    expected, found = (fitted(c, table, **options) for c in (cells, paths))
    for name in cells:
        assert found._part_of(name).species == expected._part_of(name).species
        np.testing.assert_array_equal(
            found.get_latent_representation(name), expected.get_latent_representation(name)
        )
    assert found.transfer_labels().equals(expected.transfer_labels())


@pytest.mark.parametrize("batch_key", [None, "donor"])
@pytest.mark.parametrize(("n", "min_cells"), [(60, 3), (120, 30), (150, 100), (None, 3), (500, 3)])
def test_genes_are_those_chosen_in_memory(species, small_blocks, n, min_cells, batch_key):
    cells, _, paths = species
    for name, adata in cells.items():
        # a cell without counts, and few cells of a sample
        adata = adata.copy()
        adata.X.data[adata.X.indptr[3] : adata.X.indptr[4]] = 0
        adata.X.eliminate_zeros()
        adata.obs["donor"] = adata.obs["donor"].astype(str).where(np.arange(adata.n_obs) > 9, "few")
        path = paths[name].with_name(f"few_{name}.h5ad")
        adata.write_h5ad(path)
        expected = species_genes(name, adata, n, min_cells, batch_key=batch_key)
        found = species_genes(name, open_anndata(path), n, min_cells, batch_key=batch_key)
        assert list(found) == list(expected)


@pytest.mark.parametrize(
    "options",
    [{}, {"search_every": 1}, {"preset": "paper", "batch_key": "donor"}, {"alignment": "latent"}],
)
def test_training_in_blocks_reads_pieces_and_gives_the_same_again(
    species, small_blocks, reads, options
):
    cells, table, paths = species
    options = {"n_top_genes": 140, **options}
    first = fitted(paths, table, **options)
    n = min(adata.n_obs for adata in cells.values())
    assert 0 < max(reads) < n
    again = fitted(paths, table, **options)
    for name in cells:
        np.testing.assert_array_equal(
            first.get_latent_representation(name), again.get_latent_representation(name)
        )
        in_memory = made(cells, table, **options)._part_of(name)
        assert first._part_of(name).species == in_memory.species
        assert first._part_of(name).fingerprint == in_memory.fingerprint
    # results that look at counts again
    n_reads = len(reads)
    assert np.isfinite(first.novelty()["score"]).all()
    assert np.isfinite(first.similarity(n_samples=5).to_numpy()).all()
    assert len(first.transfer_labels(n_neighbors=3, n_candidates=6)) == cells["species2"].n_obs
    assert len(first.differential_expression(n_samples=10))
    assert max(reads[n_reads:]) < n


def test_what_is_measured_before_training_is_that_of_memory(species, small_blocks):
    cells, table, paths = species
    options = {"n_top_genes": 140, "batch_key": "donor"}
    expected, found = (made(c, table, **options) for c in (cells, paths))
    for name in cells:
        a, b = expected._part_of(name), found._part_of(name)
        assert (a.cells.x != b.cells.x[:]).nnz == 0
        for key, value in a.net.state_dict().items():
            np.testing.assert_allclose(b.net.state_dict()[key], value, rtol=1e-5)
        assert b.net.sizes.homologous_fraction == pytest.approx(
            a.net.sizes.homologous_fraction, rel=1e-5
        )
    neighborhoods = []
    for model in (expected, found):
        model._context.embedded = "there"
        neighborhoods.append(model._find_neighbors(model._targets["species2"], "cpu"))
    for name in ("index", "label", "agreement", "kept"):
        np.testing.assert_array_equal(*(getattr(n, name) for n in neighborhoods))


def test_neighbors_on_disk_are_those_in_memory(species, monkeypatch):
    _, _, paths = species
    monkeypatch.setattr(neighbors, "DISK_BLOCK", 37)
    x = disk.DiskMatrix.open(paths["species1"])
    y = disk.DiskMatrix.open(paths["species2"])[:, np.arange(x.shape[1])]
    expected = neighbors.nearest(y[:], x[:], 9, "cosine")
    for query, reference in ((y, x), (y[:], x), (y, x[:])):
        found = neighbors.nearest(query, reference, 9, "cosine")
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
        assert (found[0] == expected[0]).mean() > 0.99


def test_training_in_blocks_learns_as_in_memory(species, small_blocks, monkeypatch):
    cells, table, paths = species
    losses = {"species1": [], "species2": []}
    for source in (cells, paths):
        model = fitted(source, table, max_epochs=5, n_top_genes=140)
        for name, found in losses.items():
            found.append(model.history[name]["train_loss"].iloc[-1, 0])
    assert losses["species1"][1] == pytest.approx(losses["species1"][0], rel=0.02)
    # what is aligned to it differs more between seeds
    assert losses["species2"][1] == pytest.approx(losses["species2"][0], rel=0.15)


def test_every_cell_is_searched_for_and_embedded_as_in_memory(species, small_blocks, monkeypatch):
    _, table, paths = species
    # without noise, whose draws depend on the order of the cells
    monkeypatch.setattr(alignment, "draw", lambda mean, std, generator: mean)
    model = fitted(paths, table, n_top_genes=140)
    part = model._targets["species2"]
    found = []

    class Stop(Exception):
        pass

    def fit(aligned, objective, *_, **__):
        aligned.chosen.zero_()
        objective._visit(aligned.search, objective.kept, 20, None)
        everyone = torch.arange(len(part.cells))
        objective._visit(aligned.embed, everyone, 30, None)
        found.append((aligned.chosen.clone(), aligned.latent.clone()))
        raise Stop

    monkeypatch.setattr(training, "fit", fit)
    for x in (part.cells.x, part.cells.x[:]):
        part.cells = dataclasses.replace(part.cells, x=x)
        with pytest.raises(Stop):
            model._fit(part, torch.device("cpu"), None, False, [])
    (chosen, latent), (expected, wanted) = found
    assert (chosen != 0).sum() > 20
    assert torch.equal(chosen, expected)
    torch.testing.assert_close(latent, wanted)


def test_a_run_is_resumed_to_the_identical_result(species, small_blocks, tmp_path):
    _, table, paths = species
    options = {"n_top_genes": 140}
    expected = fitted(paths, table, max_epochs=4, **options)

    def cut_off(epoch, max_epochs, losses):
        if epoch == 2:
            raise RuntimeError("power cut")

    model = made(paths, table, **options)
    more = {"checkpoint_dir": tmp_path, "checkpoint_every": 1, "verbose": False}
    with pytest.raises(RuntimeError, match="power cut"):
        model.train(4, callbacks=cut_off, accelerator="cpu", **more)
    model = made(paths, table, **options)
    model.train(4, resume=True, accelerator="cpu", **more)
    for name in paths:
        np.testing.assert_array_equal(
            model.get_latent_representation(name), expected.get_latent_representation(name)
        )


def test_saved_models_know_their_cells_on_disk(species, small_blocks, tmp_path):
    cells, table, paths = species
    model = fitted(paths, table, n_top_genes=140)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model", paths)
    assert isinstance(loaded._part_of("species2").cells.x, disk.DiskMatrix)
    np.testing.assert_allclose(loaded.novelty()["score"], model.novelty()["score"], atol=1e-5)
    other = cells["species2"].copy()
    other.X.data[0] += 1
    other.write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(InputError, match="not those that the saved model was trained on"):
        load(tmp_path / "model", {"species2": tmp_path / "other.h5ad"})
    with pytest.raises(InputError, match="dictionary of data by species name"):
        ScSpecies.load(tmp_path / "model", paths["species2"])
    loaded.add_target("third", paths["species2"], table.pairs.rename(columns={"species2": "third"}))
    loaded.train(1, verbose=False, accelerator="cpu")
    assert loaded.get_latent_representation("third").shape == (other.n_obs, 4)


def test_backed_and_opened_cells_and_zarr_stores(species, small_blocks, reads, tmp_path):
    cells, table, paths = species
    expected = fitted(paths, table, n_top_genes=140).get_latent_representation()
    kinds = [
        {name: read_h5ad(path, backed="r") for name, path in paths.items()},
        {name: open_anndata(path) for name, path in paths.items()},
    ]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Writing zarr v2")
            cells["species2"].write_zarr(tmp_path / "two.zarr")
        kinds.append(paths | {"species2": tmp_path / "two.zarr"})
    except ImportError:
        pass
    for kind in kinds:
        found = fitted(kind, table, n_top_genes=140).get_latent_representation()
        np.testing.assert_array_equal(found, expected)
    assert max(reads) < cells["species2"].n_obs


def test_cells_by_genes_are_read(species, tmp_path):
    cells, table, paths = species
    adata = cells["species2"].copy()
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "genes.h5ad")
    found = fitted(paths | {"species2": tmp_path / "genes.h5ad"}, table, n_top_genes=140)
    expected = fitted(cells, table, n_top_genes=140)
    np.testing.assert_allclose(
        found.get_latent_representation(), expected.get_latent_representation(), atol=1e-4
    )


def test_the_median_of_many_cells_is_that_of_some(species, small_blocks, monkeypatch):
    _, table, paths = species
    part = made(paths, table, n_top_genes=140)._context
    n = len(part.species.labels)
    _, exact, _ = prototypes.prototypes(part.cells, part.label, n)
    monkeypatch.setattr(prototypes, "MOST_CELLS", 40)
    _, some, _ = prototypes.prototypes(part.cells, part.label, n)
    assert 0 < np.abs(some - exact).max() < 30
    assert np.corrcoef(some.ravel(), exact.ravel())[0, 1] > 0.95


# --- what is wrong ---------------------------------------------------------------------------


def test_what_a_file_lacks_is_named(species, tmp_path):
    _, table, paths = species
    with pytest.raises(InputError, match="does not exist"):
        made(paths | {"species2": tmp_path / "none.h5ad"}, table)
    with pytest.raises(InputError, match="umis"):
        made(paths, table, layer="umis")
    with pytest.raises(InputError, match="lane"):
        made(paths, table, batch_key="lane")


def test_other_values_than_counts_are_found_in_a_file(species, small_blocks, tmp_path):
    cells, table, paths = species
    adata = cells["species2"].copy()
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "logs.h5ad")
    for n_top_genes in (140, None):
        with pytest.raises(InputError, match="does not hold raw counts"):
            made(paths | {"species2": tmp_path / "logs.h5ad"}, table, n_top_genes=n_top_genes)


def test_a_truncated_store_is_refused(species, tmp_path):
    _, table, paths = species
    path = tmp_path / "cut.h5ad"
    content = paths["species2"].read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=r"cut\.h5ad could not be read"):
        made(paths | {"species2": path}, table)


def test_cells_that_cannot_be_read_are_named(species, small_blocks, tmp_path):
    cells, table, paths = species
    path = tmp_path / "cells.h5ad"
    cells["species2"].write_h5ad(path)
    with h5py.File(path, "r+") as file:
        data = file["X/data"]
        kept = data[:-50]
        del file["X/data"]
        file["X/data"] = kept
    with pytest.raises(StoreError, match=r"cells .* could not be read"):
        made(paths | {"species2": path}, table)


def test_a_store_that_changes_during_training_ends_it(species, small_blocks, tmp_path):
    cells, table, paths = species
    path = tmp_path / "cells.h5ad"
    cells["species1"].write_h5ad(path)
    model = made(paths | {"species1": path}, table, n_top_genes=140)

    def touch(epoch, max_epochs, losses):
        os.utime(path, ns=(1, 1))

    with pytest.raises(StoreError, match="has changed since it was opened"):
        model.train(3, callbacks=touch, verbose=False, accelerator="cpu")
    assert not model.is_trained
