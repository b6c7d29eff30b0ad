"""``scsystems tune``: what is searched, what is written, and that a search goes on."""

import inspect
import json
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from said import check

import scsystems as scs
from scsystems import SysVI
from scsystems.cli import main
from scsystems.cli.parser import build_parser
from scsystems.data.preprocess import prepare
from scsystems.data.schema import Setup
from scsystems.models.sysvi import training

BASE = ("--system", "system", "--covariates", "donor", "--all-genes")
SMALL = ("n_hidden=8", "dims=3", "n_prior_components=4")
RUN = ("--biology", "nmi_fixed", "--labels", "cell_type", "--jobs", 1, "--epochs", 1)


def files_in(folder):
    return {path.name for path in folder.iterdir()}


def test_settings_are_compared_and_the_best_is_used(run, file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "search"
    grid = ("--grid", *SMALL, "cycle-weight=1,30", "--seeds", 0, 1, *RUN)
    assert run("tune", file, out, *BASE, *grid, "--part", "2/2") == 0
    assert "2 runs are in" in capsys.readouterr().err
    assert files_in(out) == {"runs"}
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "runs").iterdir()}
    assert len(kept) == 4
    assert run("tune", file, out, *BASE, *grid) == 0
    said = capsys.readouterr()
    assert "run 4 of 4: cycle-weight=30" in said.err
    assert files_in(out) == {"runs", "ranking.csv", "runs.csv", "metrics.csv", "best.json"}
    # what was there has not been trained again
    assert all((out / "runs" / name).stat().st_mtime_ns == at for name, at in kept.items())
    assert len(files_in(out / "runs")) == 8

    adata = read_h5ad(file)
    SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    expected = scs.tune.grid(
        adata, {"z_distance_cycle_weight": [1.0, 30.0]}, (0, 1), label_key="cell_type",
        biology=["nmi_fixed"], max_epochs=1, n_hidden=8, n_latent=3, n_prior_components=4,
        n_jobs=1, verbose=False,
    )  # fmt: skip
    ranking = pd.read_csv(out / "ranking.csv", index_col="setting")
    assert [n.split("=")[1] for n in ranking.index] == [
        n.split("=")[1] for n in expected.ranking.index
    ]
    np.testing.assert_allclose(ranking["overall"], expected.ranking["overall"], atol=1e-6)
    assert said.out.splitlines()[2].startswith(ranking.index[0])
    runs = pd.read_csv(out / "runs.csv", index_col="run")
    assert list(runs.index) == list(expected.runs.index)
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "metrics.csv")[["embedding", "metric"]],
        expected.table[["embedding", "metric"]].reset_index(drop=True),
    )
    best = json.loads((out / "best.json").read_text())
    assert best["setting"] == ranking.index[0]
    assert best["parameters"] == expected.best.parameters

    asked = []

    def fit(net, loss, cells, chosen, *rest, _fit=training.fit, **more):
        asked.append((net.sizes.n_hidden, chosen.max_epochs))
        return _fit(net, loss, cells, chosen, *rest, **more)

    monkeypatch.setattr(training, "fit", fit)
    z, model = tmp_path / "z.csv", tmp_path / "model"
    options = (*BASE, "--settings", out / "best.json", "--dims", 4, "--embedding-only")
    assert run("sysvi", file, z, *options, "--model", model) == 0
    assert asked == [(8, 1)]
    # what is given besides wins
    trained = SysVI.load(model)
    assert trained._arguments["n_latent"] == 4
    weight = best["parameters"]["z_distance_cycle_weight"]
    assert trained._train_facts["weights"]["cycle"] == weight
    assert (
        run("sysvi", file, z, *options, "--cycle-weight", 7, "--model", model, "--overwrite") == 0
    )
    assert SysVI.load(model)._train_facts["weights"]["cycle"] == 7


def test_a_search_on_counts_that_stay_on_disk(run, tmp_path, monkeypatch):
    counts = scs.datasets.simulated(n_cells=200, n_genes=100, n_types=3, depth=400, seed=1)
    counts.write_h5ad(tmp_path / "counts.h5ad")
    monkeypatch.setattr("scsystems.data.containers.read_anndata", lambda *_: 1 / 0)
    seen = []
    monkeypatch.setattr(
        scs.tune, "grid", lambda adata, *_, **__: seen.append(adata.to_memory()) or 1 / 0
    )
    options = ("--system", "system", "--covariates", "donor", "--genes", 40)
    assert run("tune", tmp_path / "counts.h5ad", tmp_path / "out", *options, "--on-disk") == 3
    expected = prepare(counts, "system", "donor", n_top_genes=40)
    assert (seen[0].X != expected.X).nnz == 0
    assert files_in(tmp_path) == {"counts.h5ad"}


# --- every option is felt --------------------------------------------------------------------


@pytest.fixture(scope="module")
def felt(make, tmp_path_factory):
    """Search with options; gives what was asked of the search, once each."""
    folder = tmp_path_factory.mktemp("felt")
    make().write_h5ad(folder / "cells.h5ad")

    class Reached(Exception):
        pass

    @cache
    def felt(*options):
        found = {}

        def grid(adata, settings, **arguments):
            found.update(
                arguments, grid=settings, genes=list(adata.var_names), setup=Setup.read(adata)
            )
            raise Reached

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scs.tune, "grid", grid)
            arguments = [
                "tune",
                folder / "cells.h5ad",
                folder / "out",
                "--system",
                "system",
                *options,
            ]
            assert main([str(a) for a in arguments]) == 3
        return found

    return felt


# option -> (values, what has to differ from a search without it, its value or None for any)
FELT = {
    "--system": (["donor"], lambda f: f["setup"].batch_key, "donor"),
    "--covariates": (["donor"], lambda f: f["setup"].categorical_covariate_keys, ("donor",)),
    "--continuous": (["score"], lambda f: f["setup"].continuous_covariate_keys, ("score",)),
    "--genes": ([7], lambda f: f["genes"], None),
    "--hvg-merge": (["joint", "--genes", 7], lambda f: len(f["genes"]), 7),
    "--min-cells": ([100], lambda f: f["genes"], None),
    "--keep": (["g1", "--genes", 7], lambda f: "g1" in f["genes"] and len(f["genes"]) < 20, True),
    "--all-genes": ([], lambda f: len(f["genes"]), 40),
    "--grid": (
        ["dims=2,3"],
        lambda f: f["grid"],
        [{"n_latent": 2, "name": "dims=2"}, {"n_latent": 3, "name": "dims=3"}],
    ),
    "--seeds": ([4, 5], lambda f: f["seeds"], [4, 5]),
    "--part": (["2/3"], lambda f: f["part"], (2, 3)),
    "--jobs": ([3], lambda f: f.get("n_jobs"), 3),
    "--labels": (["cell_type"], lambda f: f["label_key"], "cell_type"),
    "--batch": (["donor"], lambda f: f["batch_key"], "donor"),
    "--biology": (["moran"], lambda f: f.get("biology"), ["moran"]),
    "--mixing": (["pcr"], lambda f: f.get("batch"), ["pcr"]),
    "--metrics": (["pcr"], lambda f: f.get("metrics"), ["pcr"]),
    "--weights": ([1, 2], lambda f: f.get("weights"), [1.0, 2.0]),
    "--max-cells": (["all"], lambda f: f["max_cells"], None),
    "--preset": (["paper"], lambda f: f.get("preset"), "paper"),
    "--epochs": ([3], lambda f: f.get("max_epochs"), 3),
    "--device": (["cpu"], lambda f: f.get("accelerator"), "cpu"),
    "--threads": ([2], lambda f: f.get("n_threads"), 2),
    "--quiet": ([], lambda f: f["callback"], None),
}
# what other tests look at
ELSEWHERE = {
    *("--help", "--debug"),  # test_parser.py
    *("--on-disk", "--in-memory", "--store"),  # test_a_search_on_counts_that_stay_on_disk
    *("--layer", "--fractional", "--raw"),  # test_which_matrix_is_searched_on
    "--assay",  # tests/interop/test_rds.py
    "--report",  # test_a_report_is_written
}


@pytest.mark.parametrize("option", FELT)
def test_every_option_is_felt(felt, option):
    values, seen, expected = FELT[option]
    before, after = seen(felt()), seen(felt(option, *values))
    assert before != after
    assert expected is None or after == expected


def test_no_option_is_forgotten_here():
    actions = build_parser()._subparsers._group_actions[0].choices["tune"]._actions
    options = {
        next(s for s in a.option_strings if s.startswith("--")) for a in actions if a.option_strings
    }
    assert options == set(FELT) | ELSEWHERE


def test_the_default_search_is_that_of_python(felt):
    weights = [setting["z_distance_cycle_weight"] for setting in felt()["grid"]]
    assert {"z_distance_cycle_weight": weights} == scs.tune.DEFAULT_GRID
    assert felt()["grid"][0]["name"] == "cycle-weight=1"
    assert felt()["folder"].name == "runs"
    assert tuple(felt()["seeds"]) == inspect.signature(scs.tune.grid).parameters["seeds"].default


def test_what_was_found_before_an_interrupt_is_compared(run, file, tmp_path, monkeypatch):
    calls = []

    def train_one(adata, setting, seed):
        calls.append(seed)
        if len(calls) > 2:
            raise KeyboardInterrupt
        record = {"setting": setting.name, "parameters": setting.parameters, "seed": seed}
        facts = {"seconds": 0.1, "device": "cpu", "version": "", "history": {}}
        z = np.random.default_rng(seed).normal(size=(adata.n_obs, 3)).astype(np.float32)
        return record | facts, z

    monkeypatch.setattr(sys.modules["scsystems.tune.grid"], "train_one", train_one)
    arguments = ("tune", file, tmp_path / "out", *BASE, *RUN)
    assert run(*arguments) == 130
    ranking = pd.read_csv(tmp_path / "out" / "ranking.csv")
    assert ranking["n_runs"].tolist() == [2]


@pytest.mark.parametrize("which", ["layer", "raw", "fractional"])
def test_which_matrix_is_searched_on(run, adata, tmp_path, monkeypatch, which):
    counts = adata.layers["counts"]
    if which == "fractional":
        counts.data[::2] += 0.5
    if which == "raw":
        raw = adata.copy()
        raw.X = counts
        adata.raw = raw
    adata.write_h5ad(tmp_path / "in.h5ad")
    seen = []
    monkeypatch.setattr(scs.tune, "grid", lambda cells, *_, **__: seen.append(cells) or 1 / 0)
    options = {"layer": ("--layer", "counts"), "raw": ("--raw",)}.get(
        which, ("--layer", "counts", "--fractional")
    )
    arguments = ("tune", tmp_path / "in.h5ad", tmp_path / "out", *BASE)
    assert run(*arguments, *options) == 3
    assert seen[0].uns["preparation"]["n_selected"] == 40
    assert which != "fractional" or run(*arguments, *options[:2]) == 1


def test_a_report_is_written(run, file, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    asked = []
    monkeypatch.setattr(
        scs.tune.TuneResult,
        "report",
        lambda self, path, adata, label: asked.append((path, adata.n_obs, label)),
    )
    grid = ("--grid", *SMALL, "--seeds", 0, 1, *RUN)
    assert run("tune", file, tmp_path / "out", *BASE, *grid, "--report", tmp_path / "a.html") == 0
    assert asked == [(tmp_path / "a.html", 240, "cell_type")]


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--biology", "nmi"], ["--biology nmi", "--labels"]),
        (["--mixing", "lisi"], ["--mixing lisi", "ilisi"]),
        (["--metrics", "lisi"], ["--metrics lisi", "ilisi"]),
        (["--grid", "dims=2", "n_latent=3"], ["--grid names dims twice"]),
        (["--grid", "epochs=3", "--epochs", "2"], ["--epochs is in --grid"]),
        (["--labels", "kind"], ["--labels kind"]),
        (["--batch", "lane"], ["--batch lane"]),
        (["--system", "lane"], ["--system lane"]),
        (["--keep", "g1"], ["--all-genes"]),
        (["--device", "tpu"], ["--device tpu"]),
        (["--report", "a.pdf"], [".html or .md"]),
        (["--report", "none/a.html"], ["no such folder"]),
        (["--report", "a.html", "--part", "1/2"], ["--report"]),
        (["--part", "9/9"], ["--part 9/9", "4 parts"]),
        (["--seeds", "1", "1"], ["--seeds names one twice"]),
    ],
)
def test_what_cannot_be_done_is_said_before_training(
    run, file, tmp_path, capsys, monkeypatch, options, expected
):
    monkeypatch.setattr(SysVI, "train", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.chdir(tmp_path)
    base = BASE if "--part" not in options else (*BASE, "--seeds", 0)
    assert run("tune", file, "out", *base, *options) == 1
    check(capsys.readouterr().err, *expected)
    assert files_in(tmp_path) - {"out"} == {"cells.h5ad"}


@pytest.mark.parametrize(
    "options",
    [["--grid", "cycle-weight=a"], ["--part", "0/2"], ["--part", "3/2"], ["--weights", "0", "1"]],
)
def test_wrong_values_are_errors_of_usage(run, file, tmp_path, capsys, options):
    assert run("tune", file, tmp_path / "out", *BASE, *options) == 2
    assert options[0] in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(run, file, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("a")
    for folder, said in (
        (tmp_path / "mine", "other things than a search"),
        (tmp_path / "none" / "out", "does not exist"),
        (file, "holds the cells"),
    ):
        assert run("tune", file, folder, *BASE) == 1
        check(capsys.readouterr().err, said)
    assert files_in(tmp_path / "mine") == {"a.txt"}
