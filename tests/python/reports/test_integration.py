"""The report of a trained model: all of it is there, and what is missing is said."""

import base64
import re
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

import scsystems as scs
from scsystems.errors import InputError, MissingExtraError, NotTrainedError
from scsystems.reports import findings

SMALL = {"n_cells": 240, "n_genes": 200, "n_types": 3, "seed": 0}


@pytest.fixture(scope="module")
def model():
    adata = scs.pp.prepare(
        scs.datasets.simulated(**SMALL), system_key="system", batch_key="donor", min_cells=1
    )
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    model = scs.SysVI(adata, n_hidden=32, n_layers=1)
    model.train(max_epochs=3, verbose=False)
    return model


def text_of(page: str) -> str:
    return re.sub(r"<(style).*?</\1>|<[^>]+>", " ", page, flags=re.S)


def test_one_file_with_all_parts(model, tmp_path):
    path = scs.report(model, tmp_path / "report.html", label_key="cell_type")
    page = path.read_text(encoding="utf8")
    images = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == 2
    assert all(len(base64.b64decode(image)) > 5000 for image in images)
    # nothing is fetched from anywhere
    assert not re.search(r'(src|href)="(?!data:)', page)
    text = text_of(page)
    for heading in ("What looks wrong", "Before and after", "Cells", "Genes", "Training"):
        assert heading in text
    for found in ("only_species1 is in species1 alone", "jaccard, after", scs.__version__):
        assert found in text
    assert "What is missing" not in text
    counts = pd.crosstab(model.adata.obs["cell_type"], model.adata.obs["system"])
    row = re.search(r"<td>rare</td><td>(\d+)</td><td>(\d+)</td>", page)
    assert list(map(int, row.groups())) == list(counts.loc["rare"])


def test_without_labels_and_pictures_it_says_so(model, tmp_path, monkeypatch):
    axes = import_module("scsystems.plots.axes")

    def absent():
        raise MissingExtraError("'matplotlib' is needed here")

    monkeypatch.setattr(axes, "pyplot", absent)
    path = model.report(tmp_path / "report.html", max_cells=150)
    text = text_of(path.read_text(encoding="utf8"))
    assert "No cell types were named" in text
    assert "Before and after: 'matplotlib' is needed here" in text.replace("&#x27;", "'")
    assert "150 cells out of 240" in text
    assert "cluster_preservation" in text


def test_labels_that_the_model_was_told_are_those_of_the_report(tmp_path):
    adata = scs.pp.prepare(scs.datasets.simulated(**SMALL), "system", "donor", min_cells=1)
    told = adata.obs["cell_type"].astype(str).to_numpy()
    told[::3] = "Unknown"
    adata.obs["told"] = told
    scs.SysVI.setup_anndata(adata, "system", labels_key="told", unlabeled_category="Unknown")
    model = scs.SysVI(adata, n_hidden=16, n_layers=1)
    model.train(max_epochs=2, verbose=False)
    text = text_of(model.report(tmp_path / "report.html").read_text(encoding="utf8"))
    assert "No cell types were named" not in text
    assert "(none)" in text
    assert "Unknown lies among" not in text


def test_cells_on_disk_give_the_report_of_those_in_memory(model, tmp_path):
    file = tmp_path / "cells.h5ad"
    model.adata.write_h5ad(file)
    pages = [
        model.report(tmp_path / f"{i}.html", cells, label_key="cell_type").read_text("utf8")
        for i, cells in enumerate([model.adata, file])
    ]
    assert pages[0] == pages[1]


def test_bad_input_is_refused_before_anything_is_computed(model, tmp_path):
    with pytest.raises(InputError, match=r"expected an ending \.html or \.md"):
        scs.report(model, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="label_key='type' is not a column"):
        scs.report(model, tmp_path / "report.html", label_key="type")
    with pytest.raises(InputError, match="Expected a SysVI"):
        scs.report(object(), tmp_path / "report.html")
    with pytest.raises(NotTrainedError):
        scs.report(scs.SysVI(model.adata), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_types_that_lie_among_another_are_named():
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(200, 2)) + np.repeat([[0, 0], [50, 50]], 100, axis=0)
    labels = np.repeat(["a", "b"], 100).astype(object)
    labels[:8] = "c"  # cells among a
    shares = findings.neighbor_types(apart, labels)
    assert np.allclose(shares.sum(axis=1), 1)
    assert shares.loc["b", "b"] == 1
    (said,) = findings.merged_types(shares)
    assert said.startswith("c lies among a")
    before = pd.DataFrame(np.eye(3), index=list("abc"), columns=list("abc"))
    assert "It may be lost" in findings.merged_types(shares, before)[0]
    assert "not apart before either" in findings.merged_types(shares, shares)[0]
    assert findings.merged_types(before) == []


def test_types_of_few_cells_are_not_judged():
    labels = ["a"] * 12 + ["b"] * 9 + ["c"] * 10 + [None] * 3
    assert findings.rare_types(labels) == ["b"]
    shares = pd.DataFrame([[0.4, 0.6], [0.0, 1.0]], index=["b", "c"], columns=["b", "c"])
    assert len(findings.merged_types(shares)) == 1
    assert findings.merged_types(shares, skipped=["b"]) == []


def test_types_of_one_system_and_components_of_no_cell():
    labels = ["a", "a", "b", None]
    assert findings.foreign_types(labels, ["x", "y", "y", "y"]) == {"b": "y"}
    assert findings.unused_components(np.array([0, 3, 3]), 5) == 3
