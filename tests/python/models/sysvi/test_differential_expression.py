import numpy as np
import pandas as pd
import pytest

from scsystems import SysVI
from scsystems.errors import InputError, NotSupportedError

QUIET = {"silent": True, "n_samples_overall": 400}


def test_decoded_fold_changes_are_those_of_the_input(integrated):
    model = integrated
    table = model.differential_expression(
        groupby="cell_type", group1="a", group2="b", mode="change", **QUIET
    )
    data = model.adata
    x, kind = data.X.toarray(), data.obs["cell_type"].to_numpy()
    observed = pd.Series(
        (x[kind == "a"].mean(0) - x[kind == "b"].mean(0)) / np.log(2), data.var_names
    )
    found = table["lfc_mean"].loc[observed.index]
    assert np.corrcoef(found, observed)[0, 1] > 0.9
    called = table[table["is_de_fdr_0.05"]]
    assert 5 < len(called) < 60
    assert (np.sign(called["lfc_mean"]) == np.sign(observed[called.index])).all()
    assert (called["proba_de"].diff().dropna() <= 0).all()
    assert set(table["comparison"]) == {"a vs b"}
    np.testing.assert_allclose(
        table["lfc_mean"], (table["scale1"] - table["scale2"]) / np.log(2), atol=1e-4
    )


def test_batch_correction_takes_the_systems_difference_out(integrated):
    """One cell type in two systems: all that differs is the system."""
    model = integrated
    cells = {
        "idx1": "cell_type == 'a' and system == 'human'",
        "idx2": "cell_type == 'a' and system == 'mouse'",
    }
    plain = model.differential_expression(**cells, mode="change", **QUIET)
    corrected = model.differential_expression(
        **cells, mode="change", batch_correction=True, **QUIET
    )
    assert corrected["lfc_mean"].abs().mean() < plain["lfc_mean"].abs().mean() / 2
    apart = model.differential_expression(
        **cells,
        mode="change",
        batch_correction=True,
        batchid1=["human"],
        batchid2=["mouse"],
        **QUIET,
    )
    pd.testing.assert_series_equal(
        apart["lfc_mean"].sort_index(), plain["lfc_mean"].sort_index(), atol=0.4
    )


def test_every_group_against_the_rest_in_vanilla_mode(train, adata):
    table = train().differential_expression(groupby="cell_type", **QUIET)
    assert len(table) == 3 * adata.n_vars
    assert set(table["comparison"]) == {"a vs Rest", "b vs Rest", "c vs Rest"}
    np.testing.assert_allclose(table["proba_m1"] + table["proba_m2"], 1)
    assert {"raw_mean1", "non_zeros_proportion2", "raw_normalized_mean1"} <= set(table)
    assert list(adata.obs) == ["system", "donor", "score", "cell_type"]


def test_ways_to_choose_cells_agree(train, adata):
    model = train()
    mask = (adata.obs["cell_type"] == "a").to_numpy()
    tables = [
        model.differential_expression(idx1=cells, **QUIET)
        for cells in (mask, np.flatnonzero(mask), "cell_type == 'a'")
    ]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other)
    both = model.differential_expression(idx1=mask, idx2=~mask, all_stats=False, **QUIET)
    pd.testing.assert_series_equal(both["scale1"], tables[0]["scale1"])
    assert "raw_mean1" not in both


def test_options_of_the_change_mode(train):
    model = train()
    table = model.differential_expression(
        idx1=[0, 1, 2, 3],
        idx2=[4, 5, 6, 7, 8],
        mode="change",
        delta=None,
        pseudocounts=0.1,
        cred_interval_lvls=[0.9],
        use_permutation=True,
        m_permutation=300,
        filter_outlier_cells=True,
        test_mode="two",
        fdr_target=0.1,
        **QUIET,
    )
    assert (
        table["lfc_confidence_interval_0.9_min"] <= table["lfc_confidence_interval_0.9_max"]
    ).all()
    assert "is_de_fdr_0.1" in table
    assert (table["delta"] >= 0.1).all()
    assert (table["pseudocounts"] == 0.1).all()
    own = model.differential_expression(
        idx1=[0, 1, 2],
        mode="change",
        change_fn=lambda a, b, p: np.full_like(a, 3.0),
        m1_domain_fn=lambda change: (change > 2, change < -2),
        **QUIET,
    )
    assert (own["lfc_mean"] == 3).all()
    assert (own["proba_de"] == 1).all()


def test_other_cells_than_the_models_own(train, adata):
    model = train()
    part = adata[::2].copy()
    table = model.differential_expression(part, groupby="cell_type", **QUIET)
    first = part.obs["cell_type"].to_numpy() == "a"
    expected = part.X[first].mean(0).A1 if hasattr(part.X, "A") else part.X[first].mean(0)
    rows = table[table["group1"] == "a"]["raw_mean1"].loc[part.var_names]
    np.testing.assert_allclose(rows, np.asarray(expected).ravel(), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Expected groupby, or idx1"),
        ({"groupby": "sex"}, "groupby='sex' is not a column"),
        ({"groupby": "cell_type", "group1": ["z"]}, "group1 holds 'z'"),
        ({"groupby": "cell_type", "group1": "a", "group2": "z"}, "group2 holds 'z'"),
        ({"groupby": "cell_type", "group1": "a", "group2": "a"}, "share"),
        ({"groupby": "cell_type", "idx1": [1]}, "both choose the cells"),
        ({"idx2": [1]}, "idx2 is given without idx1"),
        ({"idx1": []}, "has no cells"),
        ({"idx1": [1, 2], "idx2": [2, 3]}, "share 1 cells"),
        ({"idx1": "cell_typ == 'a'"}, "is not a query"),
        ({"idx1": [999]}, "idx1 reach"),
        ({"idx1": [1], "mode": "both"}, "mode='both'"),
        ({"idx1": [1], "delta": -1}, "delta=-1"),
        ({"idx1": [1], "fdr_target": 5}, "fdr_target=5"),
        ({"idx1": [1], "pseudocounts": 0}, "pseudocounts=0"),
        ({"idx1": [1], "change_fn": "ratio"}, "change_fn='ratio'"),
        ({"idx1": [1], "n_samples_overall": 0}, "n_samples_overall=0"),
        ({"idx1": [1], "batchid1": ["human"]}, "batch_correction=True"),
        ({"idx1": [1], "batch_correction": True, "batchid1": ["fish"]}, "'fish'"),
        (
            {"idx1": [1], "batch_correction": True, "batchid1": ["human"]},
            "overlap in part",
        ),
    ],
)
def test_bad_input(train, arguments, message):
    with pytest.raises(InputError, match=message):
        train(epochs=1).differential_expression(silent=True, **arguments)


def test_a_model_without_data_asks_for_it(train, tmp_path, adata):
    model = train()
    with pytest.raises(NotSupportedError, match="weights='importance'"):
        model.differential_expression(idx1=[1], weights="importance")
    model.save(tmp_path / "m")
    alone = SysVI.load(tmp_path / "m")
    with pytest.raises(InputError, match="loaded without data"):
        alone.differential_expression(groupby="cell_type")
    pd.testing.assert_frame_equal(
        alone.differential_expression(adata, groupby="cell_type", **QUIET),
        model.differential_expression(groupby="cell_type", **QUIET),
    )
