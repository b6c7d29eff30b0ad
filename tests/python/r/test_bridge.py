import logging
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from scsystems.errors import InputError, NonFiniteError
from scsystems.models.sysvi import presets
from scsystems.r import bridge, values


def parts_of(adata):
    csc = sparse.csc_matrix(adata.X.T)
    return {
        "matrix": {
            "data": csc.data,
            "indices": csc.indices,
            "indptr": csc.indptr,
            "shape": list(csc.shape),
        },
        "obs": values.frame_to_parts(adata.obs),
        "cells": list(adata.obs_names),
        "genes": list(adata.var_names),
    }


def value(result):
    assert result["error"] is None, result["error"]
    return result["value"]


@pytest.fixture
def trained(adata):
    result = bridge.train_sysvi(
        adata,
        setup={"batch_key": "system"},
        model={"n_latent": 3.0, "n_hidden": 8.0, "seed": 1.0},
        train={"max_epochs": 2.0, "plan_kwargs": {"lr": 0.001}},
    )
    return value(result)


def test_anndata_is_what_r_sent(adata):
    made = value(bridge.make_anndata(**parts_of(adata)))
    np.testing.assert_array_equal(made.X.toarray(), adata.X.toarray())
    # which kind of text names are is up to the release of pandas
    pd.testing.assert_frame_equal(
        made.obs.astype(object), adata.obs.astype(object), check_index_type=False
    )
    kinds = [values.dtype.kind for _, values in adata.obs.items()]
    assert [values.dtype.kind for _, values in made.obs.items()] == kinds
    assert list(made.var_names) == list(adata.var_names)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.calls_scanpy
def test_counts_are_normalized_as_scanpy_does(adata, dense):
    import scanpy as sc

    adata.X = adata.layers["counts"].copy()
    parts = parts_of(adata)
    if dense:
        parts["matrix"] = {"dense": np.asfortranarray(adata.X.toarray().T)}
    totals = np.asarray(adata.X.sum(axis=1)).ravel()
    made = value(bridge.make_anndata(**parts, totals=totals, target_sum=1e4, base=np.e))
    assert made.uns["preparation"]["settings"]["target_sum"] == 1e4
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    got = made.X if dense else made.X.toarray()
    np.testing.assert_allclose(got, adata.X.toarray(), rtol=1e-5)


def test_a_cell_without_counts_stays_zero(adata):
    counts = adata.layers["counts"].toarray()
    counts[0] = 0
    adata.X = sparse.csr_matrix(counts)
    totals = np.asarray(adata.X.sum(axis=1)).ravel()
    made = value(bridge.make_anndata(**parts_of(adata), totals=totals, target_sum=1e4, base=2.0))
    assert "preparation" not in made.uns
    expected = np.log2(1 + counts / np.maximum(totals, 1)[:, None] * 1e4)
    assert not expected[0].any()
    np.testing.assert_allclose(made.X.toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.calls_scanpy
def test_counts_in_an_anndata_are_normalized_by_the_totals_of_all_genes(adata, kind):
    import scanpy as sc

    counts = adata.layers["counts"].toarray()
    raw = np.arange(adata.n_obs) % 3 > 0
    normalized = adata.copy()
    normalized.X = sparse.csr_matrix(counts, dtype=np.float32)
    sc.pp.normalize_total(normalized, target_sum=1e4)
    sc.pp.log1p(normalized)
    expected = normalized[:, ["g1", "g5"]].X.toarray()
    adata.X = kind(np.where(raw[:, None], counts, normalized.X.toarray()))
    few = value(bridge.anndata_for_training(adata, None, ["g1", "g5"]))
    value(bridge.scale_anndata(few, adata, None, raw, 1e4, np.e))
    got = few.X.toarray() if sparse.issparse(few.X) else few.X
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert few.uns["preparation"]["settings"]["target_sum"] == 1e4


@pytest.mark.parametrize("kind", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float64])
def test_counts_of_any_type_become_single_precision(adata, kind, dtype):
    counts = adata.layers["counts"].toarray().astype(np.float64)
    totals = counts.sum(1, keepdims=True)
    adata.X = kind(counts.astype(dtype))
    made = value(bridge.anndata_for_training(adata, None, None))
    value(bridge.scale_anndata(made, adata, None, np.ones(adata.n_obs, bool), 500.0, 2.0))
    assert made.X.dtype == np.float32
    got = made.X.toarray() if sparse.issparse(made.X) else made.X
    expected = np.log2(1 + counts / np.maximum(totals, 1) * 500)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_training_takes_r_s_numbers_and_calls_back_each_epoch(adata):
    seen = []
    result = bridge.train_sysvi(
        adata,
        setup={"batch_key": "system", "categorical_covariate_keys": ["donor"]},
        model={"n_latent": 3.0, "n_hidden": 8.0},
        train={"max_epochs": 2.0},
        device="cpu",
        callback=lambda epoch, max_epochs, losses: seen.append((epoch, max_epochs, losses)),
    )
    model = value(result)
    assert [(e, m) for e, m, _ in seen] == [(1, 2), (2, 2)]
    assert all(type(v) is float for _, _, losses in seen for v in losses.values())
    facts = value(bridge.describe(model))
    assert facts["epoch"].tolist() == [1, 2]
    np.testing.assert_allclose(
        facts["history"]["train_loss"], [losses["train_loss"] for _, _, losses in seen]
    )
    assert facts["device"] == "cpu"
    assert facts["genes"] == list(adata.var_names)


def test_a_callback_that_says_false_ends_training(adata):
    result = bridge.train_sysvi(
        adata,
        {"batch_key": "system"},
        {"n_hidden": 8},
        {"max_epochs": 9},
        callback=lambda *_: False,
    )
    assert len(value(bridge.describe(value(result)))["epoch"]) == 1


def test_latent_is_the_model_s_as_doubles_in_columns(trained):
    z = value(bridge.latent(trained))
    assert z.dtype == np.float64
    assert z.flags.f_contiguous
    np.testing.assert_array_equal(z, trained.get_latent_representation().astype(float))


def test_model_is_saved_where_asked_and_never_over_another(trained, tmp_path):
    path = value(bridge.save_model(trained, str(tmp_path / "m")))
    assert (tmp_path / "m" / "model.json").is_file()
    assert path == str((tmp_path / "m").resolve())
    assert bridge.save_model(trained, path)["error"] is not None
    assert value(bridge.save_model(trained, path, overwrite=True)) == path


def test_errors_come_in_the_envelope(adata):
    adata.X.data[0] = np.nan
    result = bridge.train_sysvi(adata, {"batch_key": "system"}, {}, {})
    assert result["value"] is None
    assert NonFiniteError.__name__ in result["error"]["kinds"]
    assert "NaN" in result["error"]["message"]
    assert "Traceback" in result["error"]["traceback"]


def test_interrupts_come_in_the_envelope():
    @bridge.guarded
    def interrupted():
        raise KeyboardInterrupt

    assert "KeyboardInterrupt" in interrupted()["error"]["kinds"]


def test_warnings_of_ours_are_kept_and_deprecations_dropped():
    @bridge.guarded
    def warns():
        logging.getLogger("scsystems.part").warning("logged %d", 1)
        warnings.warn("said", UserWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return 5

    assert warns() == {"value": 5, "error": None, "warnings": ["logged 1", "said"]}


def test_arguments_are_checked_against_the_signature():
    def function(count: int = 3, share: float = 0.5, limit: float | None = None, other=None):
        pass

    made = bridge.keyword_arguments(
        function, {"count": 4.0, "share": 1.0, "limit": 2.0, "other": "x"}
    )
    assert made == {"count": 4, "share": 1.0, "limit": 2.0, "other": "x"}
    assert [type(v) for v in made.values()] == [int, float, float, str]
    with pytest.raises(InputError, match=r"'wrong'.*count, share"):
        bridge.keyword_arguments(function, {"wrong": 1})


def test_limits_given_as_text_annotations_stay_float():
    # scsystems writes its annotations as text
    import scsystems as scs

    made = bridge.keyword_arguments(
        scs.SysVI.train, {"train_size": 1.0, "gradient_clip_val": 5.0, "max_epochs": 7.0}
    )
    assert [type(v) for v in made.values()] == [float, float, int]


def test_unknown_device_is_refused(adata):
    result = bridge.train_sysvi(adata, {"batch_key": "system"}, {}, {}, device="tpu")
    assert "tpu" in result["error"]["message"]


def test_feature_selection_leaves_the_threads_as_they_are(adata):
    import torch

    before = torch.get_num_threads()
    kept = value(
        bridge.select_features(
            adata, {"system_key": "system", "n_top_genes": 20.0, "min_cells": 1.0}
        )
    )
    assert 0 < kept.n_vars <= 20
    assert torch.get_num_threads() == before


def test_the_preset_decides_on_the_number_of_genes(adata, monkeypatch):
    monkeypatch.setattr(presets, "GENES", {"default": 10, "paper": 40})
    chosen = {"system_key": "system", "min_cells": 1.0}

    def n_genes(arguments, *preset):
        return value(bridge.select_features(adata, arguments, *preset)).n_vars

    assert n_genes(chosen) <= 10 < n_genes(chosen, "paper")
    assert n_genes(chosen | {"n_top_genes": 10.0}, "paper") == n_genes(chosen)


def test_records_of_an_anndata_go_with_their_embedding(adata):
    record = {"model": "/m", "features": ["g1"], "history": {"train_loss": np.ones(2)}, "facts": {}}
    record |= {"input": {"object": "AnnData", "normalized": True, "target_sum": 1e4}, "made": 5.0}
    value(bridge.store_in_anndata(adata, "X_sysvi", np.ones((adata.n_obs, 2)), record))
    assert adata.obsm["X_sysvi"].dtype == np.float32
    found = value(bridge.records_in_anndata(adata))["X_sysvi"]
    assert found["model"] == "/m"
    assert found["input"] == record["input"]
    assert found["made"] == 5.0
    del adata.obsm["X_sysvi"]
    assert value(bridge.records_in_anndata(adata)) == {}


def test_what_is_no_anndata_is_refused():
    result = bridge.anndata_for_training(pd.DataFrame(), None, None)
    assert "AnnData" in result["error"]["message"]


def test_machine_is_described():
    facts = value(bridge.machine())
    assert facts["gflops"] > 0
    assert facts["threads"] >= 1


def test_gpus_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")
    assert value(bridge.machine())["cuda"] == ["GPU 0", "GPU 1"]
    # a driver too old for this torch is counted, and of no use
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert value(bridge.machine())["cuda"] == []
