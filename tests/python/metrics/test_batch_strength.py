import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from scsystems.errors import InputError
from scsystems.metrics import batch_strength, compare_distances, sample_distances


def make(shift, n_samples=3, n=30, seed=0):
    """Two types, samples that differ a little, systems that differ by ``shift``."""
    rng = np.random.default_rng(seed)
    rows, space = [], []
    for system in ("human", "mouse"):
        for sample in range(n_samples):
            offset = rng.normal(0, 0.5, 5)
            for label in ("x", "y"):
                center = offset + 10 * (label == "y") + shift * (system == "mouse")
                space.append(center + rng.normal(0, 1, (n, 5)))
                rows += [[system, f"{system}{sample}", label]] * n
    obs = pd.DataFrame(rows, columns=["species", "donor", "type"]).rename(index=str)
    return ad.AnnData(np.zeros((len(obs), 1), np.float32), obs=obs, obsm={"pcs": np.vstack(space)})


def keys(**more):
    return (
        dict(
            system_key="species",
            label_key="type",
            sample_key="donor",
            embedding="pcs",
            min_cells=20,
        )
        | more
    )


def test_distances_are_between_means():
    adata = make(2)
    obs, space = adata.obs, adata.obsm["pcs"].astype(np.float32)
    table = sample_distances(space, obs["type"], obs["species"], obs["donor"], min_cells=20)
    assert len(table) == 2 * 15
    assert (table["kind"] == "within").sum() == 2 * 6
    row = table.query("label == 'x' and sample_a == 'human0' and sample_b == 'mouse2'").iloc[0]
    means = [
        space[(obs["donor"] == d) & (obs["type"] == "x")].mean(0) for d in ("human0", "mouse2")
    ]
    assert row["distance"] == pytest.approx(np.linalg.norm(means[0] - means[1]), rel=1e-5)
    assert row["kind"] == "between"
    assert sample_distances(space, obs["type"], obs["species"], obs["donor"], 31).empty


def test_tests_equal_scipy():
    obs, space = make(2).obs, make(2).obsm["pcs"]
    table = sample_distances(space, obs["type"], obs["species"], obs["donor"], 20)
    tests = compare_distances(table).set_index("label")
    x = table[table["label"] == "x"]
    within, between = (x.loc[x["kind"] == kind, "distance"] for kind in ("within", "between"))
    expected = mannwhitneyu(between, within, alternative="greater")
    assert tests.loc["x", "p_value"] == pytest.approx(expected.pvalue)
    assert tests.loc["x", "u"] == expected.statistic
    assert tests.loc["x", "ratio"] == pytest.approx(between.median() / within.median())
    assert (tests["p_adjusted"] >= tests["p_value"]).all()
    assert compare_distances(table, min_samples=4).empty


def test_verdicts():
    strong, weak = batch_strength(make(4), **keys()), batch_strength(make(0), **keys())
    assert strong.substantial
    assert str(strong).startswith("Substantial: in 2 of 2 cell types samples lie significantly")
    assert not weak.substantial
    assert str(weak).startswith("Not substantial: in 0 of 2 cell types")
    assert strong.asw["asw"].mean() > 0.4 > 0.1 > weak.asw["asw"].mean()
    assert strong.asw["n_cells"].tolist() == [180, 180]


def test_too_few_samples_leave_the_silhouettes():
    strong, weak = (batch_strength(make(s, n_samples=2), **keys()) for s in (4, 0))
    assert strong.substantial
    assert not weak.substantial
    assert strong.tests.empty
    assert "no cell type has 3 samples of 20 cells in two systems" in strong.verdict
    assert not batch_strength(make(4, n_samples=2), **keys(min_samples=2)).tests.empty


def test_expression_is_reduced_to_components():
    adata = make(3)
    rng = np.random.default_rng(0)
    expression = adata.obsm["pcs"] @ rng.normal(size=(5, 30)) * 0.1
    adata = ad.AnnData(np.exp(expression - expression.max()).astype(np.float32), obs=adata.obs)
    result = batch_strength(adata, **keys(embedding=None))
    assert result.substantial
    adata.layers["counts"] = np.rint(adata.X * 100)
    with pytest.raises(InputError, match="looks like raw counts"):
        batch_strength(adata, **keys(embedding=None, layer="counts"))


def test_cells_without_a_label_are_left_out():
    adata = make(4)
    adata.obs.loc[adata.obs.index[:10], "type"] = None
    result = batch_strength(adata, **keys())
    assert result.asw["n_cells"].sum() == 350


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(sample_key="absent"), "sample_key='absent' is not a column"),
        (dict(embedding="absent"), "obsm has no 'absent'"),
        (dict(layer="absent"), "layers has no 'absent'"),
        (dict(sample_key="type"), r"samples \['x', 'y'\] have cells of more than one system"),
        (dict(system_key="one"), "'systems' has 1 group"),
        (dict(label_key="species"), "share"),
    ],
)
def test_bad_input(change, message):
    adata = make(1)
    adata.obs["one"] = "same"
    with pytest.raises(InputError, match=message):
        batch_strength(adata, **keys(**change))
