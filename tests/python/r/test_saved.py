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


@pytest.fixture
def trained(adata):
    return value(
        bridge.train_sysvi(
            adata,
            setup={"batch_key": "system"},
            model={"n_latent": 3.0, "n_hidden": 8.0, "seed": 1.0},
            train={"max_epochs": 1.0},
        )
    )


def test_a_model_is_read_and_described(trained, adata, tmp_path):
    path = value(bridge.save_model(trained, str(tmp_path / "model")))
    facts = value(bridge.describe_model(value(bridge.load_model(path))))
    assert facts["genes"] == list(adata.var_names)
    assert facts["system"] == "system"
    assert set(facts["systems"]) == set(adata.obs["system"])
    assert facts["dims"] == 3
    assert facts["trained"]
    assert facts["cells"] == adata.n_obs


def test_what_r_notes_is_kept_with_the_model(trained, tmp_path):
    given = {"object": "Seurat", "assay": "soupx", "normalized": True, "target_sum": 2e5}
    notes = {"made": 12.5, "input": {**given, "base": np.nan}}
    path = value(bridge.save_model(trained, str(tmp_path / "model"), notes=notes))
    facts = value(bridge.describe_model(value(bridge.load_model(path))))
    assert facts["notes"] == {"made": 12.5, "input": {**given, "base": None}}


@pytest.mark.parametrize(
    "notes", [{"made": "today"}, {"input": {"object": 1}}, {"input": {"object": "x", "genes": []}}]
)
def test_notes_that_r_cannot_have_written_are_refused(trained, notes):
    trained.notes = notes
    assert "ModelFileError" in bridge.describe_model(trained)["error"]["kinds"]


def test_only_folders_of_models_are_replaced(trained, tmp_path):
    path = tmp_path / "model"
    value(bridge.save_model(trained, str(path)))
    assert value(bridge.holds_model(str(path)))
    (tmp_path / "notes.txt").write_text("mine")
    assert not value(bridge.holds_model(str(tmp_path)))
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "model.json").write_text("{}")
    assert not value(bridge.holds_model(str(tmp_path / "json")))


def test_a_damaged_or_missing_folder_is_an_error_of_its_own_kind(trained, tmp_path):
    path = tmp_path / "model"
    value(bridge.save_model(trained, str(path)))
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    for folder in (path, tmp_path / "absent"):
        assert "ModelFileError" in bridge.load_model(str(folder))["error"]["kinds"]


def test_query_without_new_levels_is_embedded_as_the_reference_does(trained, adata):
    query = adata[:20].copy()
    mapped = value(bridge.map_query(trained, query, {}, {"max_epochs": 1.0}))
    np.testing.assert_array_equal(
        mapped.get_latent_representation(), trained.get_latent_representation(query)
    )
    assert not mapped.history


def test_labels_decoded_values_and_comparisons_are_those_of_the_model(trained, adata):
    adata.obs["half"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    found = frame(value(bridge.transfer_labels(trained, "half", adata, 5, 0.0)))
    expected = trained.transfer_labels("half", adata, n_neighbors=5)
    assert list(found["label"]) == list(expected["label"])
    systems = sorted(set(adata.obs["system"]))
    decoded = value(bridge.decode(trained, adata, systems[:1], list(adata.var_names[:4])))
    direct = trained.get_normalized_expression(
        adata, transform_batch=systems[0], gene_list=list(adata.var_names[:4])
    )
    np.testing.assert_allclose(decoded["dense"], direct.to_numpy().T)
    assert decoded["genes"] == list(direct.columns)
    table = frame(
        value(
            bridge.differential_expression(
                trained, adata, {"groupby": "half", "mode": "change", "n_samples_overall": 200.0}
            )
        )
    )
    direct = trained.differential_expression(
        adata, groupby="half", mode="change", n_samples_overall=200, silent=True
    )
    assert list(table["gene"]) == list(direct.index)
    np.testing.assert_allclose(table["lfc_mean"], direct["lfc_mean"])
    assert isinstance(trained, scs.SysVI)
