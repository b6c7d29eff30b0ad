"""What a ScSpecies model says of itself."""

import numpy as np
import pandas as pd
import pytest

import scsystems as scs
from scsystems.errors import InputError

CELLS, TABLE = scs.datasets.simulated_by_species(
    n_cells=90, n_genes=200, n_types=3, own_types=False, rare_fraction=0.3, seed=0
)
SIZES = {"n_hidden": 8, "n_features": 8, "n_latent": 3, "n_neighbors": 5, "n_top_genes": None}


def make(**options):
    one, two = (CELLS[name].copy() for name in ("species1", "species2"))
    return scs.ScSpecies(
        {"species1": one},
        {"species2": two},
        "cell_type",
        TABLE,
        **{**SIZES, "min_cells": 1, **options},
    )


def test_settings_are_a_copy():
    model = make(seed=4)
    assert model.settings["seed"] == 4
    assert model.settings["n_latent"] == 3
    model.settings["seed"] = 5
    assert model.settings["seed"] == 4


def test_a_species_is_described():
    model = make()
    found, adata = model.describe("species1"), CELLS["species1"]
    assert model.species == ["species1", "species2"]
    assert found["cells"] == list(adata.obs_names)
    assert set(found["genes"]) <= set(adata.var_names)
    assert found["label_key"] == "cell_type"
    assert sorted(found["labels"]) == sorted(adata.obs["cell_type"].unique())
    assert not found["trained"]
    assert not found["interrupted"]
    assert not found["prototypes"]
    assert model.describe("species2")["labels"] == []
    with pytest.raises(InputError, match=r"species='pig'.*Expected one of"):
        model.describe("pig")


def test_labels_that_cells_came_with():
    model = make(target_labels="cell_type")
    for name in model.species:
        np.testing.assert_array_equal(
            model.labels_of(name), CELLS[name].obs["cell_type"].astype(str)
        )
    assert make().labels_of("species2") is None


def test_orthologs_are_the_pairs_of_the_table_whose_genes_both_have():
    model = make()
    pairs = TABLE.pairs
    once = ~pairs["species1"].duplicated(keep=False) & ~pairs["species2"].duplicated(keep=False)
    measured = pairs["species1"].isin(CELLS["species1"].var_names) & pairs["species2"].isin(
        CELLS["species2"].var_names
    )
    expected = pairs.loc[once & measured, ["species1", "species2"]]
    found = model.orthologs()
    assert list(found) == ["species1", "species2"]
    pd.testing.assert_frame_equal(
        found.sort_values("species1", ignore_index=True),
        expected.sort_values("species1", ignore_index=True).astype(object),
        check_dtype=False,
    )
    n = model.describe("species1")["n_homologous"]
    assert len(found) == n
