"""Runs in a folder are those of the same cells, systems, covariates and labels, or they are not used."""

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scsystems as scs
from scsystems.errors import InputError

grid_module = import_module("scsystems.tune.grid")  # the package's `grid` is the function
OPTIONS = {
    "seeds": (0,), "max_epochs": 1, "moran_min_cells": 20, "min_cells": 5, "n_jobs": 1,
    "label_key": "cell_type", "verbose": False,
}  # fmt: skip
GRID = {"n_hidden": [8], "n_latent": [3]}


@pytest.fixture(scope="module")
def original(make):
    adata = make(200, 60)
    adata.obs["sample"] = np.resize(["a", "b", "c", "d"], 200)
    return adata


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    search(original.copy(), folder)
    return folder


def search(adata, folder=None, **options):
    scs.SysVI.setup_anndata(
        adata,
        "system",
        categorical_covariate_keys=["donor"],
        continuous_covariate_keys=["score"],
    )
    return scs.tune.grid(adata, GRID, folder=folder, **{**OPTIONS, **options})


@pytest.fixture
def trained(monkeypatch):
    """The runs that are trained, not taken from the folder."""
    runs = []
    train_one = grid_module.train_one
    monkeypatch.setattr(
        grid_module, "train_one", lambda *args: (runs.append(args[1:]), train_one(*args))[1]
    )
    return runs


def rows(result):
    """Metrics without the names of the runs."""
    return [list(row[1:]) for record in result.records.values() for row in record["rows"]]


def turned(key):
    def change(adata):
        adata.obs[key] = adata.obs[key].to_numpy()[::-1]

    return change


def one_value(adata):
    adata.X = adata.X.copy()
    adata.X.data[3] *= 1.01


TRAINED_ANEW = {
    "systems": turned("system"),
    "a covariate": turned("donor"),
    "a number": turned("score"),
    "one value": one_value,
    "genes": lambda a: setattr(a, "var_names", a.var_names[::-1]),
    "names of cells": lambda a: setattr(a, "obs_names", [f"{n}x" for n in a.obs_names]),
    "values of genes": lambda a: setattr(a, "X", a.X[:, np.r_[1, 0, 2 : a.n_vars]]),
}


@pytest.mark.parametrize("change", TRAINED_ANEW)
def test_other_data_are_trained_on(original, folder, trained, change):
    adata = original.copy()
    TRAINED_ANEW[change](adata)
    result = search(adata, folder)
    assert len(trained) == 1
    fresh = search(adata)
    np.testing.assert_array_equal(result.embedding(), fresh.embedding())


@pytest.mark.parametrize(
    "change",
    [
        lambda a: setattr(a, "X", a.X.toarray()),
        lambda a: setattr(a, "X", sparse.csc_matrix(a.X)),
        lambda a: a.obs.insert(0, "unrelated", 1),
        lambda a: a.obs.insert(0, "text", a.obs.pop("donor").astype(str)),
    ],
)
def test_the_same_data_are_not(original, folder, trained, change):
    adata = original.copy()
    change(adata)
    if "text" in adata.obs:
        adata.obs["donor"] = adata.obs["text"]
    search(adata, folder)
    assert trained == []


def test_other_labels_samples_and_options_are_measured_anew(original, folder, trained):
    expected = rows(search(original.copy(), folder))
    labels = original.copy()
    labels.obs["cell_type"] = np.random.default_rng(1).permutation(labels.obs["cell_type"])
    found = rows(search(labels, folder))
    assert found != expected
    assert found == rows(search(labels))
    trained.clear()
    samples = original.copy()
    search(samples, folder, batch_key="sample")
    turned("sample")(samples)
    found = search(samples, folder, batch_key="sample")
    assert rows(found) == rows(search(samples, batch_key="sample"))
    trained.clear()
    assert rows(search(original.copy(), folder, max_cells=100)) != expected
    assert rows(search(original.copy(), folder)) == expected
    assert trained == []


@pytest.mark.parametrize(
    "values", [np.arange(3, 5), pd.Index([3, 4]), range(3, 5), [np.int64(3), np.int16(4)]]
)
def test_numbers_of_numpy_are_the_same_settings(original, tmp_path, values):
    adata = original.copy()
    scs.SysVI.setup_anndata(adata, "system")
    grids = {"n_latent": [3, 4], "n_hidden": [8]}, {"n_latent": values, "n_hidden": np.array([8])}
    found = [
        scs.tune.grid(adata, grid, folder=tmp_path, **{**OPTIONS, "seeds": seeds})
        for grid, seeds in zip(grids, ([0], np.arange(1)), strict=True)
    ]
    assert list(found[0].records) == list(found[1].records)
    assert [s.name for s in found[1].settings] == ["n_latent=3", "n_latent=4"]
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_the_report_takes_cells_by_their_names(original, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    result = search(original.copy(), max_epochs=2)
    report = import_module("scsystems.tune.report")
    shown = []
    panels = report.plots.umap_panels
    monkeypatch.setattr(
        report.plots, "umap_panels", lambda adata, *a: (shown.append(adata), panels(adata, *a))[1]
    )
    adata = original[::-1].copy()
    scs.SysVI.setup_anndata(adata, "system")
    result.report(tmp_path / "r.html", adata, "cell_type")
    np.testing.assert_array_equal(shown[0].obsm["after"], result.embedding()[::-1])
    assert list(shown[0].obs_names) == list(adata.obs_names)
    adata.obs_names = [f"{name}x" for name in adata.obs_names]
    with pytest.raises(InputError, match="200 of those are not among these"):
        result.report(tmp_path / "r.html", adata)
