import logging
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scsystems import metrics
from scsystems.errors import InputError, MissingExtraError, NonFiniteError
from scsystems.metrics import METRICS, evaluate, integrated_scores, summarize


@pytest.fixture(scope="module")
def adata():
    """Three types in two systems; an embedding that keeps both, and one that mixes systems."""
    rng = np.random.default_rng(0)
    n = 400
    kind, system = rng.integers(0, 3, n), rng.integers(0, 2, n)
    rate = np.exp(rng.normal(0, 1, (3, 50)))[kind] * np.exp(rng.normal(0, 1, (2, 50)))[system]
    expression = np.log1p(rng.poisson(rate) / rate.sum(1, keepdims=True) * 500)
    obs = pd.DataFrame(
        {
            "species": pd.Categorical(np.array(["human", "mouse"])[system]),
            "donor": np.array([f"{s}{i % 2}" for i, s in enumerate(system)]),
            "type": pd.Categorical(np.array(["x", "y", "z"])[kind]),
            "one": "same",
        },
        index=[f"c{i}" for i in range(n)],
    )
    noise = rng.normal(size=(n, 4))
    types = rng.normal(0, 6, (3, 4))[kind]
    obsm = {
        "apart": noise + types + 30 * system[:, None],
        "mixed": noise + types,
        "frame": pd.DataFrame(noise, index=obs.index, columns=list("abcd")),
        "nan": np.where(np.arange(n)[:, None] == 5, np.nan, noise),
    }
    return ad.AnnData(expression.astype(np.float32), obs=obs, obsm=obsm)


@pytest.fixture(scope="module")
def table(adata):
    return evaluate(
        adata, ["apart", "mixed"], "species", "type", "donor", moran_min_cells=40, verbose=False
    )


def test_tidy(table):
    assert list(table) == metrics.evaluate.__globals__["COLUMNS"]
    assert set(table["metric"]) == {name for name, m in METRICS.items() if m.labels != "without"}
    assert set(table["level"]) == {"overall", "micro", "macro", "group"}
    assert not table.duplicated(["embedding", "metric", "level", "group"]).any()
    groups = table.query("metric == 'label_transfer' and level == 'group'")["group"]
    assert {"human -> mouse", "mouse -> human: z"} <= set(groups)


def test_tells_the_embeddings_apart(table):
    wide = summarize(table)
    assert list(wide.index) == ["apart", "mixed"]
    for name, metric in METRICS.items():
        if metric.category == "batch" and name != "graph_connectivity":
            better = wide.loc["mixed", name] > wide.loc["apart", name]
            assert better == metric.higher_is_better, name
    assert wide.loc["mixed", "label_transfer"] == 1
    assert wide.loc["apart", "nmi_fixed"] > 0.95
    assert list(summarize(table, "macro")) != []


def test_label_transfer_is_balanced_over_types_and_told_over_cells(table):
    rows = table.query("metric == 'label_transfer' and embedding == 'apart'")
    found = rows[rows["level"] != "group"].set_index("level")["value"]
    groups = rows[rows["level"] == "group"].set_index("group")["value"]
    directions = groups[~groups.index.str.contains(":")]
    assert found["macro"] == found["overall"] == pytest.approx(directions.mean())
    assert 0 < found["micro"] < 1


def test_same_seed_same_table(adata, table):
    again = evaluate(
        adata, ["apart", "mixed"], "species", "type", "donor", moran_min_cells=40, verbose=False
    )
    pd.testing.assert_frame_equal(table, again)


def test_values_are_those_of_the_functions(adata, table):
    wide = summarize(table)
    neighbors = metrics.nearest_neighbors(adata.obsm["mixed"])
    assert wide.loc["mixed", "ilisi"] == pytest.approx(
        metrics.ilisi(neighbors, adata.obs["species"])
    )
    clusters = metrics.leiden(neighbors)[2.0]
    assert wide.loc["mixed", "jaccard"] == pytest.approx(
        metrics.jaccard(clusters, adata.obs["type"])
    )
    before = metrics.principal_components(adata.X)
    assert wide.loc["mixed", "pcr"] == pytest.approx(
        metrics.pcr_comparison(before, adata.obsm["mixed"], adata.obs["species"])
    )


def test_without_labels(adata):
    table = evaluate(adata, "mixed", "species", moran_min_cells=30, verbose=False)
    assert set(table["metric"]) == {name for name, m in METRICS.items() if m.labels != "needed"}
    with pytest.raises(InputError, match="need cell types: give 'label_key'"):
        evaluate(adata, ["mixed"], "species", metrics=["kbet"])


def test_what_cannot_be_computed_is_left_out_with_the_reason(adata, caplog):
    with caplog.at_level(logging.WARNING, logger="scsystems"):
        table = evaluate(adata, ["mixed"], "species", "type", verbose=False)
    assert "moran" not in set(table["metric"])
    assert "Metric 'moran' was left out: No cell type has 500 cells" in caplog.text
    with pytest.raises(InputError, match="500 cells"):
        evaluate(adata, ["mixed"], "species", "type", metrics=["moran"], verbose=False)


def test_counts_are_refused_for_expression_metrics(adata):
    counts = adata.copy()
    counts.X = np.rint(counts.X * 10)
    with pytest.raises(InputError, match="looks like raw counts"):
        evaluate(counts, ["mixed"], "species", metrics=["pcr"], verbose=False)
    table = evaluate(
        counts, ["mixed"], "species", metrics=["pcr"], unintegrated="apart", verbose=False
    )
    expected = metrics.pcr_comparison(
        counts.obsm["apart"], counts.obsm["mixed"], counts.obs["species"]
    )
    assert table["value"].tolist() == [pytest.approx(expected)]


def test_unlabeled_cells_are_left_out_and_cells_are_drawn(adata):
    partly = adata.copy()
    partly.obs["type"] = partly.obs["type"].astype(object)
    partly.obs.iloc[:50, partly.obs.columns.get_loc("type")] = None
    options = dict(metrics=["asw_label"], verbose=False)
    ours = evaluate(partly, ["mixed"], "species", "type", **options)
    expected = evaluate(adata[50:], ["mixed"], "species", "type", **options)
    pd.testing.assert_frame_equal(ours, expected)
    drawn = evaluate(adata, ["mixed"], "species", "type", max_cells=100, seed=4, **options)
    cells = np.sort(np.random.default_rng(4).choice(np.arange(400), 100, replace=False))
    expected = evaluate(adata[cells], ["mixed"], "species", "type", **options)
    pd.testing.assert_frame_equal(drawn, expected)


def test_frames_and_views_are_embeddings_too(adata):
    options = dict(metrics="clisi", verbose=False)
    plain = adata[:200].copy()
    plain.obsm["frame"] = np.asarray(plain.obsm["frame"])
    pd.testing.assert_frame_equal(
        evaluate(adata[:200], ["frame"], "species", "type", **options),
        evaluate(plain, ["frame"], "species", "type", **options),
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(embeddings=["absent"]), InputError, r"obsm has no 'absent'; found \['apart'"),
        (dict(embeddings=[]), InputError, "'embeddings' is empty"),
        (dict(embeddings=["nan"]), NonFiniteError, r"adata.obsm\['nan'\].* 1 of 400"),
        (dict(system_key="absent"), InputError, "system_key='absent' is not a column"),
        (dict(system_key="one"), InputError, r"adata.obs\['one'\].* at least 2"),
        (dict(label_key="one"), InputError, r"adata.obs\['one'\].* at least 2"),
        (dict(batch_key="absent"), InputError, "batch_key='absent' is not a column"),
        (dict(metrics=["absent"]), InputError, r"Unknown 'metrics': \['absent'\]"),
        (dict(layer="absent"), InputError, "layers has no 'absent'"),
        (dict(unintegrated="absent"), InputError, "obsm has no 'absent'"),
        (dict(max_cells=5), InputError, "5 cells"),
    ],
)
def test_bad_input(adata, change, error, message):
    arguments = dict(embeddings=["mixed"], system_key="species", label_key="type") | change
    with pytest.raises(error, match=message):
        evaluate(adata, verbose=False, **arguments)


def test_integrated_scores_are_means_of_eight(table):
    wide, scores = summarize(table), integrated_scores(table)
    mixing = wide.loc["mixed", ["kbet", "graph_connectivity", "pcr", "asw_batch"]].mean()
    biology = wide.loc["mixed", ["asw_label", "isolated_labels", "ari", "nmi"]].mean()
    expected = [mixing, biology, 0.4 * mixing + 0.6 * biology]
    np.testing.assert_allclose(scores.loc["mixed"], expected)
    assert list(scores.index) == ["mixed", "apart"]


def test_bad_tables(table):
    with pytest.raises(InputError, match=r"lacks the metrics \['kbet'\]"):
        integrated_scores(table[table["metric"] != "kbet"])
    with pytest.raises(InputError, match="lacks the columns"):
        summarize(pd.DataFrame())
    with pytest.raises(InputError, match="no rows of level 'best'"):
        summarize(table, "best")


def test_missing_extra_names_the_command(adata, monkeypatch):
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'scsystems\[metrics\]'"):
        evaluate(adata, ["mixed"], "species", metrics=["ilisi"], verbose=False)


def test_progress_bar_can_be_seen_and_switched_off(adata, capsys):
    evaluate(adata, ["mixed"], "species", metrics=["pcr"], unintegrated="apart", verbose=False)
    assert capsys.readouterr().err == ""
    evaluate(adata, ["mixed"], "species", metrics=["pcr"], unintegrated="apart")
    assert "mixed: pcr" in capsys.readouterr().err
