import re

import numpy as np
import pandas as pd
import pytest

import scsystems as scs
from scsystems.errors import InputError
from scsystems.tune import TuneResult, expand


@pytest.fixture(scope="module")
def adata():
    adata = scs.pp.prepare(
        scs.datasets.simulated(n_cells=200, n_genes=80, n_types=2, own_types=False, seed=0),
        system_key="system",
        n_top_genes=60,
        min_cells=1,
    )
    scs.SysVI.setup_anndata(adata, "system")
    return adata


def make_result(n_cells, labeled=True):
    """A result with made-up numbers, so that nothing has to be trained."""
    rng = np.random.default_rng(0)
    settings = expand({"kl_weight": [1.0, 2.0]})
    records, embeddings = {}, {}
    biology = ["nmi_fixed"] if labeled else ["matched_profiles"]
    for setting in settings:
        for seed in (0, 1, 2):
            run = f"{setting.name[-1]}{seed}"
            value = 0.5 + 0.1 * setting.parameters["kl_weight"] + 0.01 * seed
            rows = [[run, "ilisi", "batch", "overall", "", 0.3 + 0.001 * seed]]
            rows += [[run, name, "biology", "overall", "", value] for name in biology]
            if labeled:
                rows += [[run, "jaccard", "biology", "group", t, rng.random()] for t in "xy"]
                direction = "s1 -> s2: <x>"
                rows += [[run, "label_transfer", "transfer", "group", direction, value]]
                rows += [[run, "label_transfer", "transfer", "overall", "", value]]
            records[run] = {
                "setting": setting.name,
                "seed": seed,
                "seconds": 1.0,
                "device": "cpu",
                "rows": rows,
                "history": {"elbo_train": [[e, 10.0 - e] for e in range(1, 20)]},
            }
            embeddings[run] = rng.normal(size=(n_cells, 3)).astype(np.float32)
    return TuneResult(
        settings=settings, records=records, embeddings=embeddings, biology=biology,
        batch=["ilisi"], weights=(0.6, 0.4), failed={"kl_weight=9, seed 0": "NaN <loss>"},
        left_out={"moran": "groups too small"}, labeled=labeled,
        cell_names=pd.Index([f"cell{i + 1}" for i in range(n_cells)]),
    )  # fmt: skip


def test_html_is_one_file_with_tables_and_figures(adata, tmp_path):
    result = make_result(adata.n_obs)
    path = result.report(tmp_path / "new" / "report.html", adata, "cell_type")
    text = path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert text.count("data:image/png;base64,") == 5
    assert "Best of 2 settings: kl_weight=2" in text
    assert "s1 -&gt; s2: &lt;x&gt;" in text  # names are escaped
    assert "NaN &lt;loss&gt;" in text
    assert "moran: groups too small" in text
    assert "ilisi hardly differs between runs (0.300 to 0.302)" in text


def test_markdown_has_its_figures_beside_it(tmp_path):
    path = make_result(50).report(tmp_path / "report.md")
    text = path.read_text()
    figures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(figures) == 4
    assert all((tmp_path / figure).read_bytes().startswith(b"\x89PNG") for figure in figures)
    header, rule, first = re.search(r"\| setting .*\n.*\n.*", text).group().split("\n")
    assert header.count("|") == rule.count("|") == first.count("|")


def test_without_cell_types_it_says_so(tmp_path):
    text = make_result(50, labeled=False).report(tmp_path / "report.md").read_text()
    assert "No cell types were given" in text
    assert "## Cell types" not in text


def test_a_search_of_a_single_epoch_is_reported(adata, tmp_path):
    result = scs.tune.grid(
        adata, {"n_latent": [2, 3]}, seeds=(0,), biology=["matched_profiles"], max_epochs=1,
        n_hidden=8, n_jobs=1, verbose=False,
    )  # fmt: skip
    text = result.report(tmp_path / "report.html").read_text()
    assert text.count("data:image/png;base64,") == 3


def test_bad_input(adata, tmp_path):
    result = make_result(50)
    with pytest.raises(InputError, match=r"ending .html or .md"):
        result.report(tmp_path / "report.pdf")
    with pytest.raises(InputError, match="the runs 50"):
        result.report(tmp_path / "report.md", adata)
