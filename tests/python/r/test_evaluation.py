import json

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


def test_metrics_are_those_of_the_package(adata):
    space = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    arguments = {"system_key": "system", "label_key": "cell_type", "metrics": ["pcr"], "k": 10.0}
    found = frame(value(bridge.evaluate(adata, {"x": space}, ["x"], arguments)))
    adata.obsm["x"] = space.astype(np.float32)
    expected = scs.metrics.evaluate(
        adata, ["x"], "system", "cell_type", metrics=["pcr"], verbose=False
    )
    np.testing.assert_allclose(found["value"], expected["value"])
    assert list(found["embedding"]) == list(expected["embedding"])


def test_batch_strength_arrives_as_tables(adata):
    space = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    keys = {"system_key": "system", "label_key": "cell_type", "sample_key": "donor"}
    found = value(bridge.batch_strength(adata, space, {**keys, "min_cells": 5.0}))
    assert not found["substantial"]
    assert set(frame(found["tests"])["label"]) == {"a", "b", "c"}
    assert {"kind", "distance"} <= set(found["distances"])
    computed = value(bridge.batch_strength(adata, None, {**keys, "min_cells": 5.0}))
    assert computed["verdict"].startswith("Substantial")


@pytest.fixture
def tuned(adata, tmp_path):
    said = []
    result = value(
        bridge.tune(
            adata,
            {"batch_key": "system", "categorical_covariate_keys": ["donor"]},
            {"z_distance_cycle_weight": [0.0, 5.0], "n_hidden": 8.0, "n_latent": 3.0},
            {
                "seeds": [1, 2],
                "label_key": "cell_type",
                "max_epochs": 1.0,
                "moran_min_cells": 5.0,
                "folder": str(tmp_path),
                "n_jobs": 1.0,
            },
            callback=lambda *args: said.append(args),
        )
    )
    return result, said, tmp_path


def test_a_search_reports_and_ranks(tuned):
    result, said, folder = tuned
    assert [args[:2] for args in said] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert said[0][2] == "z_distance_cycle_weight=0, seed 1"
    ranking = frame(result["ranking"])
    assert result["best"]["name"] == ranking["setting"][0]
    assert result["best"]["model"] == {"n_hidden": 8, "n_latent": 3}
    assert result["best"]["train"] == {"max_epochs": 1}
    assert set(result["best"]["plan"]) == {"z_distance_cycle_weight"}
    assert "accelerator" not in result["best"]["parameters"]
    assert result["embedding"].shape == (240, 3)
    kept = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert len(kept) == 4


def test_unknown_parameters_are_refused(adata):
    refused = bridge.tune(adata, {"batch_key": "system"}, [{"cycle": 1.0}], {"seeds": [1]})
    assert "InputError" in refused["error"]["kinds"]
    assert "cycle" in refused["error"]["message"]
