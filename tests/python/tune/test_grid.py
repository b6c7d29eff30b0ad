import functools
import json
import logging
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch

import scsystems as scs
from scsystems.errors import InputError, ModelFileError, NonFiniteError
from scsystems.models.sysvi import presets
from scsystems.tune import Setting, score_runs
from scsystems.tune.grid import choose_jobs

grid_module = import_module("scsystems.tune.grid")  # the package's `grid` is the function
GRID = {"z_distance_cycle_weight": [0.0, 5.0]}
SMALL = dict(seeds=(0, 1), max_epochs=2, moran_min_cells=20, min_cells=5, n_jobs=1, verbose=False)
SMALL_NET = dict(n_hidden=[16], n_latent=[4])


@pytest.fixture(scope="module")
def adata():
    adata = scs.pp.prepare(
        scs.datasets.simulated(n_cells=320, n_genes=120, n_types=3, own_types=False, seed=0),
        system_key="system",
        n_top_genes=80,
        min_cells=1,
    )
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    return adata


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def result(adata, folder):
    return scs.tune.grid(adata, GRID | SMALL_NET, label_key="cell_type", folder=folder, **SMALL)


def count_trainings(monkeypatch):
    trained = []
    original = grid_module.train_one

    def train_one(adata, setting, seed):
        trained.append((setting.name, seed))
        return original(adata, setting, seed)

    monkeypatch.setattr(grid_module, "train_one", train_one)
    return trained


def test_every_setting_and_seed_is_run_and_scored(result):
    assert len(result.runs) == 4
    assert set(result.runs["setting"]) == {
        "z_distance_cycle_weight=0", "z_distance_cycle_weight=5"
    }  # fmt: skip
    assert set(result.runs["seed"]) == {0, 1}
    assert (result.biology, result.batch) == (["nmi_fixed", "moran"], ["ilisi"])
    expected = score_runs(result.runs[["setting", "ilisi", "nmi_fixed", "moran"]])
    np.testing.assert_allclose(result.runs["overall"], expected["overall"])
    assert {"jaccard", "label_transfer"} <= set(result.table["metric"])
    assert result.runs["overall"].is_monotonic_decreasing


def test_the_best_setting_trains_to_the_same_embedding(adata, result):
    assert result.best.name == result.ranking.index[0]
    record = result.records[result.representative]
    model = scs.SysVI(adata, **result.best.model, seed=record["seed"])
    model.train(**result.best.train, seed=record["seed"], verbose=False)
    np.testing.assert_allclose(model.get_latent_representation(), result.embedding(), atol=1e-5)
    assert list(result.history()["elbo_train"]["elbo_train"]) == pytest.approx(
        list(model.history["elbo_train"]["elbo_train"])
    )


def test_resumes_without_training_again(adata, folder, result, monkeypatch):
    trained = count_trainings(monkeypatch)
    again = scs.tune.grid(adata, GRID | SMALL_NET, label_key="cell_type", folder=folder, **SMALL)
    assert trained == []
    pd.testing.assert_frame_equal(again.runs, result.runs)
    more = scs.tune.grid(
        adata, GRID | SMALL_NET, label_key="cell_type", folder=folder, **SMALL | {"seeds": (0, 2)}
    )
    assert [seed for _, seed in trained] == [2, 2]
    assert set(more.runs["seed"]) == {0, 2}


def test_runs_with_other_defaults_are_others(adata, folder, result, monkeypatch):
    monkeypatch.setitem(presets.TRAINING["default"], "most_epochs", 3)
    trained = count_trainings(monkeypatch)
    scs.tune.grid(adata, GRID | SMALL_NET, label_key="cell_type", folder=folder, **SMALL)
    assert len(trained) == len(result.runs)


def test_an_unknown_preset_is_refused_before_any_run(adata, monkeypatch):
    trained = count_trainings(monkeypatch)
    with pytest.raises(InputError, match="preset='best'"):
        scs.tune.grid(adata, {"preset": ["default", "best"]} | SMALL_NET, **SMALL)
    assert trained == []


def test_other_metrics_need_no_training(adata, folder, result, monkeypatch):
    trained = count_trainings(monkeypatch)
    unlabeled = scs.tune.grid(adata, GRID | SMALL_NET, folder=folder, **SMALL)
    assert trained == []
    assert not unlabeled.labeled
    assert (
        unlabeled.biology
        == ["cluster_preservation", "matched_profiles", "moran"][: len(unlabeled.biology)]
    )
    assert "nmi_fixed" not in unlabeled.runs
    assert set(unlabeled.embeddings) == set(result.embeddings)


def test_what_cannot_be_computed_does_not_score(adata, folder, result, caplog):
    with caplog.at_level(logging.WARNING, logger="scsystems"):
        without = scs.tune.grid(
            adata,
            GRID | SMALL_NET,
            label_key="cell_type",
            folder=folder,
            **SMALL | {"moran_min_cells": 500},
        )
    assert without.biology == ["nmi_fixed"]
    assert "Metric 'moran' could not be computed" in caplog.text
    assert "moran" in without.left_out
    with pytest.raises(InputError, match="cannot be scored"):
        scs.tune.grid(
            adata,
            GRID | SMALL_NET,
            label_key="cell_type",
            folder=folder,
            biology=["moran"],
            **SMALL | {"moran_min_cells": 500},
        )


def test_a_damaged_run_is_named(adata, folder, result, tmp_path):
    run = next(iter(result.records))
    text = (folder / f"{run}.json").read_text()
    (tmp_path / f"{run}.json").write_text(text[: len(text) // 2])
    with pytest.raises(ModelFileError, match=f"{run}.json is damaged"):
        scs.tune.grid(adata, GRID | SMALL_NET, label_key="cell_type", folder=tmp_path, **SMALL)


def test_runs_that_fail_are_listed(adata, folder, result, monkeypatch, caplog):
    original = scs.SysVI.train

    @functools.wraps(original)
    def train(self, *args, plan_kwargs=None, **kwargs):
        if plan_kwargs["z_distance_cycle_weight"] == 7:
            raise NonFiniteError("the loss became NaN")
        return original(self, *args, plan_kwargs=plan_kwargs, **kwargs)

    monkeypatch.setattr(scs.SysVI, "train", train)
    some = scs.tune.grid(
        adata,
        {"z_distance_cycle_weight": [0.0, 7.0]} | SMALL_NET,
        label_key="cell_type",
        folder=folder,
        **SMALL,
    )
    assert set(some.runs["setting"]) == {"z_distance_cycle_weight=0"}
    assert some.failed == {
        f"z_distance_cycle_weight=7, seed {seed}": "the loss became NaN" for seed in (0, 1)
    }
    with pytest.raises(InputError, match="All 2 runs failed; the first: the loss became NaN"):
        scs.tune.grid(adata, {"z_distance_cycle_weight": [7.0]} | SMALL_NET, **SMALL)


def test_interrupting_keeps_what_is_finished(adata, monkeypatch, tmp_path, caplog):
    original, left = grid_module.train_one, [1]

    def train_one(*args):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return original(*args)

    monkeypatch.setattr(grid_module, "train_one", train_one)
    arguments = dict(label_key="cell_type", **SMALL)
    result = scs.tune.grid(adata, GRID | SMALL_NET, folder=tmp_path, **arguments)
    assert len(result.runs) == 1
    assert "Interrupted: 1 of 4 runs" in caplog.text
    assert len(list(tmp_path.glob("*.json"))) == 1
    with pytest.raises(KeyboardInterrupt):
        scs.tune.grid(adata, GRID | SMALL_NET, **arguments)


def test_callback_and_memory_only(adata):
    seen = []
    result = scs.tune.grid(
        adata,
        [{"name": "tiny", "n_hidden": 8, "n_latent": 3}],
        seeds=[4],
        max_epochs=1,
        label_key="cell_type",
        biology=["asw_label"],
        callback=lambda done, n, record: seen.append((done, n, record["setting"])),
        verbose=False,
        moran_min_cells=20,
    )
    assert seen == [(1, 1, "tiny")]
    assert result.biology == ["asw_label"]
    assert result.embedding().shape == (adata.n_obs, 3)
    assert np.isnan(result.ranking["sd"].iloc[0])


@pytest.mark.slow
def test_processes_give_the_same_runs(adata, result, tmp_path):
    parallel = scs.tune.grid(
        adata, GRID | SMALL_NET, label_key="cell_type", folder=tmp_path, **SMALL | {"n_jobs": 2}
    )
    assert list(parallel.records) == list(result.records)
    pd.testing.assert_frame_equal(
        parallel.runs.drop(columns="seconds"), result.runs.drop(columns="seconds")
    )
    for run, embedding in result.embeddings.items():
        np.testing.assert_array_equal(parallel.embeddings[run], embedding)
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_as_many_runs_at_a_time_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(grid_module, "cpu_count", lambda: 7)
    on_cpu = Setting({"accelerator": "cpu"})
    assert choose_jobs(None, [on_cpu]) == 7
    assert choose_jobs(3, [on_cpu]) == 3
    monkeypatch.setattr(
        grid_module,
        "choose_device",
        lambda *place: torch.device("cuda" if "gpu" in place else "cpu"),
    )
    assert choose_jobs(None, [on_cpu, Setting({"accelerator": "gpu"})]) == 1
    for wrong in (0, 1.5, True):
        with pytest.raises(InputError, match="n_jobs="):
            choose_jobs(wrong, [on_cpu])


def test_progress_can_be_seen(adata, folder, result, capsys):
    scs.tune.grid(
        adata, GRID | SMALL_NET, label_key="cell_type", folder=folder, **SMALL | {"verbose": True}
    )
    assert "runs: 100%" in capsys.readouterr().err


def test_records_are_json_with_the_parameters(folder, result):
    record = json.loads((folder / f"{result.representative}.json").read_text())
    assert record["parameters"]["n_hidden"] == 16
    assert record["seconds"] > 0
    assert record["version"] == scs.__version__


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(seeds=[]), "'seeds' is"),
        (dict(seeds=[1, 1]), "every one different"),
        (dict(label_key="absent"), "label_key='absent' is not a column"),
        (dict(metrics=["absent"]), "Unknown 'metrics'"),
        (dict(no_such_argument=1), "Unknown parameters in the grid"),
        (dict(metrics=["kbet"]), "need cell types"),
    ],
)
def test_bad_input(adata, change, message):
    with pytest.raises(InputError, match=message):
        scs.tune.grid(adata, GRID, **SMALL | change)


def test_data_must_be_set_up(adata):
    bare = adata.copy()
    bare.uns.clear()
    with pytest.raises(InputError, match="set up"):
        scs.tune.grid(bare, GRID, **SMALL)


def test_unknown_run(result):
    with pytest.raises(InputError, match="no run 'absent'"):
        result.embedding("absent")
