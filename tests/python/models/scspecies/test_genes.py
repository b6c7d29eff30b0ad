"""A model trains on the most variable genes of every species; orthologs are taken among them."""

import logging

import numpy as np
import pytest

import scsystems as scs
from scsystems.data.species_genes import species_genes
from scsystems.errors import InputError

NET = {"n_features": 8, "n_hidden": 8, "n_latent": 3, "n_neighbors": 5}
FIT = {"max_epochs": 1, "accelerator": "cpu", "verbose": False}


@pytest.fixture(scope="module")
def data():
    return scs.datasets.simulated_by_species(
        n_cells=200, n_genes=400, n_types=3, own_types=False, one_to_many=0, depth=600
    )


def made(data, **options):
    cells, table = data
    return scs.ScSpecies(
        {"species1": cells["species1"]},
        {"species2": cells["species2"]},
        "cell_type",
        table,
        **{**NET, **options},
    )


def genes_of(model):
    return {part.name: set(part.species.genes) for part in model._parts()}


def chosen(data, n, **options):
    return {name: set(species_genes(name, adata, n, **options)) for name, adata in data[0].items()}


def test_genes_and_pairs_are_those_chosen(data, caplog):
    with caplog.at_level(logging.INFO, "scsystems"):
        model = made(data, n_top_genes=250, batch_key="donor")
    expected = chosen(data, 250, batch_key="donor")
    assert genes_of(model) == expected
    pairs = {
        (a, b)
        for a, b in data[1].pairs[["species1", "species2"]].itertuples(index=False)
        if a in expected["species1"] and b in expected["species2"]
    }
    names = [model._part_of(name).species.genes for name in ("species1", "species2")]
    assert {(names[0][i], names[1][j]) for i, j in model._part_of("species2").pairs} == pairs
    assert f"250 and 250 genes, {len(pairs)} pairs of orthologs among them" in caplog.text


def test_all_genes_by_none_and_a_number_per_species(data):
    everything = {name: set(adata.var_names) for name, adata in data[0].items()}
    assert genes_of(made(data, n_top_genes=None)) == everything
    mixed = genes_of(made(data, n_top_genes={"species1": None, "species2": 300}))
    assert mixed == everything | {"species2": chosen(data, 300)["species2"]}
    assert genes_of(made(data, n_top_genes=300, min_cells=10)) == chosen(data, 300, min_cells=10)
    with pytest.raises(InputError, match="n_top_genes has no entry for 'species2'"):
        made(data, n_top_genes={"species1": 5})
    with pytest.raises(InputError, match=r"(?s)share .* one-to-one genes.*n_top_genes"):
        made(data, n_top_genes=20)


def test_the_chosen_genes_are_kept_with_the_model(data, tmp_path):
    cells, table = data
    model = made(data, n_top_genes=250)
    model.train(**FIT)
    model.add_target("third", cells["species2"], table_of_third(table), n_top_genes=260)
    assert genes_of(model)["third"] == chosen(data, 260)["species2"]
    model.train(**FIT)
    model.save(tmp_path / "model")
    # cells with all of their genes
    loaded = scs.ScSpecies.load(tmp_path / "model", {**cells, "third": cells["species2"]})
    assert genes_of(loaded) == genes_of(model)
    np.testing.assert_allclose(
        loaded.get_latent_representation("third", give_mean=True),
        model.get_latent_representation("third"),
        atol=1e-6,
    )
    assert loaded._part_of("species1").cells.x.shape == (cells["species1"].n_obs, 250)


def table_of_third(table):
    return table.pairs[["species1", "species2"]].rename(columns={"species2": "third"})


def test_the_data_stay_as_they_are(data):
    before = {name: adata.copy() for name, adata in data[0].items()}
    made(data, n_top_genes=250)
    for name, adata in data[0].items():
        assert adata.shape == before[name].shape
        assert (adata.X != before[name].X).nnz == 0
