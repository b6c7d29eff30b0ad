import numpy as np
import pandas as pd
import pytest

import scsystems as scs
from scsystems.r import bridge, values


def value(result):
    assert result["error"] is None, result["error"]
    return result["value"]


def frame(parts):
    return pd.DataFrame({name: values.column_from_parts(p) for name, p in parts.items()})


@pytest.fixture(scope="module")
def data():
    return scs.datasets.simulated_by_species(
        n_cells=240, n_genes=450, n_types=3, own_types=False, rare_fraction=0.3, one_to_many=0
    )


@pytest.fixture(scope="module")
def trained(data):
    species, table = data
    return value(
        bridge.train_scspecies(
            {"species1": species["species1"]},
            {"species2": species["species2"]},
            {"species2": table},
            model={
                "context_labels": "cell_type",
                "target_labels": {"species2": "cell_type"},
                "n_latent": 3.0,
                "n_hidden": 8,
                "n_features": 8,
                "n_neighbors": 5.0,
                "eta": [1.0, 2.0],
            },
            train={"max_epochs": 2.0, "batch_size": 60.0},
        )
    )


def test_variable_genes_are_kept_as_counts(data):
    adata = data[0]["species1"]
    chosen = value(bridge.variable_species_genes(adata, "species1", "donor", {"n_top_genes": 50.0}))
    assert chosen.n_vars == 50
    np.testing.assert_array_equal(chosen.X.toarray(), adata[:, chosen.var_names].X.toarray())
    assert (
        value(bridge.variable_species_genes(adata, "species1", None, {"n_top_genes": None}))
        is adata
    )


def test_a_table_may_be_columns_a_path_or_read_already(data):
    table = data[1]
    parts = values.frame_to_parts(table.pairs[list(table.species)])
    read = value(bridge.ortholog_table(parts, "species1", "species2"))
    pd.testing.assert_frame_equal(read, table.pairs[list(table.species)], check_dtype=False)
    assert value(bridge.ortholog_table("a/path", "species1", "species2")) == "a/path"
    assert value(bridge.ortholog_table(table, "species1", "species2")) is table
    options = {"columns": {name: name for name in table.species}}
    read = value(bridge.ortholog_table(parts, "species1", "species2", options))
    assert len(read) == len(table)
    refused = bridge.ortholog_table(parts, "species1", "species2", {"colums": {}})
    assert "InputError" in refused["error"]["kinds"]


def test_pairs_are_those_that_all_species_have(data):
    species, table = data
    first, second = species["species1"], species["species2"]
    few = table.pairs.iloc[:300]
    found = frame(
        value(
            bridge.ortholog_pairs(
                {"species2": table, "other": few.rename(columns={"species2": "other"})},
                {"species1": first},
                {"species2": second, "other": second},
            )
        )
    )
    assert list(found) == ["species1", "species2", "other"]
    assert list(found["species1"]) == list(few["species1"])
    assert list(found["other"]) == list(found["species2"])


def test_results_are_those_of_the_model(trained):
    facts = value(bridge.describe_scspecies(trained))
    assert facts["species"] == ["species1", "species2"]
    assert facts["dims"] == 3
    part = facts["parts"]["species2"]
    assert part["trained"]
    assert not part["interrupted"]
    assert list(part["epoch"]) == [1, 2]
    assert part["label_key"] == "cell_type"
    latent = value(bridge.species_latent(trained, "species2"))
    np.testing.assert_allclose(latent, trained.get_latent_representation("species2"))
    cells = frame(value(bridge.species_labels(trained, "species2", {"n_neighbors": 5.0}, {})))
    expected = trained.transfer_labels("species2", n_neighbors=5)
    assert list(cells["label"]) == list(expected["label"])
    np.testing.assert_allclose(cells["novelty"], trained.novelty("species2")["score"])
    assert list(cells["known"]) == list(trained._targets["species2"].label_names())


def test_long_tables_hold_what_the_wide_ones_do(trained):
    arguments = {"n_samples": 8.0}
    long = frame(value(bridge.species_similarity(trained, "species2", None, arguments)))
    wide = trained.similarity("species2", n_samples=8)
    again = long.pivot(index="target_type", columns="context_type", values="log_ratio")
    np.testing.assert_allclose(again.to_numpy(), wide.loc[again.index, again.columns].to_numpy())
    long = frame(value(bridge.species_relevance(trained, "species1", None, {"n_cells": 5.0})))
    wide = trained.relevance("species1", n_cells=5)
    again = long.pivot(index="gene", columns="cell_type", values="relevance")
    np.testing.assert_allclose(again.loc[wide.index, wide.columns].to_numpy(), wide.to_numpy())
    assert len(frame(value(bridge.species_prototypes(trained, "species2")))) == 2 * 3 * 3


def test_types_that_are_nowhere_in_the_context_have_no_fold_changes(trained):
    found = value(bridge.species_differential(trained, "species2", None, {"n_samples": 10.0}))
    assert set(frame(found)["cell_type"]) <= {"type1", "type2", "rare"}
    n = len(trained._part_of("species2").cell_names)
    assert value(bridge.species_differential(trained, "species2", ["new"] * n, {})) is None


def test_a_saved_model_comes_back_and_takes_a_further_species(trained, data, tmp_path):
    species, table = data
    path = value(bridge.save_model(trained, str(tmp_path / "model")))
    loaded = value(bridge.load_scspecies(path, species))
    pd.testing.assert_frame_equal(
        frame(value(bridge.model_pairs(loaded))), frame(value(bridge.model_pairs(trained)))
    )
    more = value(
        bridge.add_species(
            loaded,
            {"third": species["species2"]},
            {"third": table.pairs.rename(columns={"species2": "third"})[["species1", "third"]]},
            {"third": {"batch_key": "donor", "target_labels": None}},
            train={"max_epochs": 1.0, "batch_size": 60.0},
        )
    )
    assert more.species == ["species1", "species2", "third"]
    cells = frame(value(bridge.species_labels(more, "third", {}, {})))
    assert cells["known"].isna().all()
