"""The preparation against the same steps written out with scanpy, and bad input."""

import logging

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scsystems.data import datasets, preprocess
from scsystems.errors import InputError, NonFiniteError

SETTINGS = {"min_cells": 20, "n_top_genes": 300}


@pytest.fixture(scope="module")
def counts():
    return datasets.simulated(n_cells=700, n_genes=800, n_types=4, depth=800, seed=1)


@pytest.fixture(scope="module")
def species():
    return datasets.simulated_by_species(n_cells=600, n_genes=600, n_types=4, depth=800, seed=2)


def by_hand(adata, genes, flavor="cell_ranger", batch_key="donor", n_top_genes=300):
    """Genes and values of one system, by scanpy alone."""
    expressed = np.asarray((adata.X > 0).sum(axis=0)).ravel() > 20
    adata = adata[:, expressed & adata.var_names.isin(genes)].copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.obs["donor"] = adata.obs["donor"].cat.remove_unused_categories()
    sc.pp.highly_variable_genes(adata, n_top_genes=n_top_genes, flavor=flavor, batch_key=batch_key)
    return adata


@pytest.mark.parametrize("flavor", ["cell_ranger", "seurat"])
@pytest.mark.parametrize("batch_key", [None, "donor"])
def test_one_adata_equals_the_steps_by_hand(counts, flavor, batch_key):
    before = counts.copy()
    order = np.random.default_rng(0).permutation(counts.n_obs)
    shuffled = counts[order].copy()
    result = preprocess.prepare(shuffled, "system", batch_key, flavor=flavor, **SETTINGS)
    expected = {
        name: by_hand(counts[counts.obs["system"] == name], counts.var_names, flavor, batch_key)
        for name in ("species1", "species2")
    }
    variable = [set(a.var_names[a.var["highly_variable"]]) for a in expected.values()]
    assert set(result.var_names) == set.intersection(*variable)
    assert list(result.obs_names) == list(shuffled.obs_names)
    for adata in expected.values():
        ours = result[adata.obs_names].X.toarray()
        np.testing.assert_allclose(ours, adata[:, result.var_names].X.toarray(), rtol=1e-5)
    np.testing.assert_array_equal(
        result.layers["counts"].toarray(), shuffled[:, result.var_names].X.toarray()
    )
    assert result.X.dtype == np.float32
    assert result.X.format == "csr"
    assert result.X.has_sorted_indices
    # the input is as it was
    assert (counts.X != before.X).nnz == 0
    assert list(counts.obs.columns) == list(before.obs.columns)


def test_species_equal_the_steps_by_hand(species):
    adatas, table = species
    result = preprocess.prepare(adatas, "kind", "donor", orthologs=table, **SETTINGS)
    unique = table.pairs[~table.pairs["species1"].duplicated(keep=False)]
    expected = {n: by_hand(a, unique[n]) for n, a in adatas.items()}
    variable = {n: set(a.var_names[a.var["highly_variable"]]) for n, a in expected.items()}
    kept = unique[
        unique["species1"].isin(variable["species1"])
        & unique["species2"].isin(variable["species2"])
    ]
    assert set(result.var_names) == set(kept["species1"])
    assert set(result.var["gene_species2"]) == set(kept["species2"])
    for name, adata in expected.items():
        theirs = adata[:, result.var[f"gene_{name}"]].X.toarray()
        ours = result[result.obs["kind"] == name].X.toarray()
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert result.obs["kind"].value_counts().to_dict() == {"species1": 300, "species2": 300}
    assert result.obs_names.is_unique


def test_what_was_lost_is_recorded_and_survives_a_file(species, tmp_path, caplog):
    adatas, table = species
    with caplog.at_level(logging.INFO, "scsystems"):
        result = preprocess.prepare(adatas, orthologs=table, names_from="species2", n_top_genes=150)
    assert result.var_names[0].startswith("Gene")
    report = result.uns["preparation"]
    assert report["n_cells"] == {"species1": 300, "species2": 300}
    assert report["n_genes"] == {"species1": 600, "species2": 600}
    assert report["n_variable"] == {"species1": 150, "species2": 150}
    assert report["n_selected"] == result.n_vars
    assert "have a gene" not in report["orthologs"]
    assert "several partners" in caplog.text
    assert f"{result.n_vars} genes kept" in caplog.text
    result.write_h5ad(tmp_path / "prepared.h5ad")
    back = sc.read_h5ad(tmp_path / "prepared.h5ad").uns["preparation"]
    assert back["settings"]["min_cells"] == 20


def test_same_names_need_no_table_and_repeated_cells_are_told_apart(counts):
    adatas = {
        "tissue": counts[counts.obs["system"] == "species1"].copy(),
        "organoid": counts[counts.obs["system"] == "species2"][
            :, list(counts.var_names[::-1])
        ].copy(),
    }
    adatas["organoid"].obs_names = adatas["tissue"].obs_names[: adatas["organoid"].n_obs]
    result = preprocess.prepare(adatas, **SETTINGS)
    assert result.obs_names.is_unique
    assert result.obs_names[0].startswith("tissue_")
    whole = preprocess.prepare(counts, **SETTINGS)
    assert set(result.var_names) == set(whole.var_names)
    ours = result[result.obs["system"] == "organoid", whole.var_names].X.toarray()
    theirs = whole[whole.obs["system"] == "species2"].X.toarray()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_given_features_are_used_in_their_order(counts):
    chosen = list(preprocess.prepare(counts, **SETTINGS).var_names[:30][::-1])
    result = preprocess.prepare(counts, features=chosen)
    assert list(result.var_names) == chosen
    with pytest.raises(InputError, match=r"1 of 2 are not among the .* genes .*'absent'"):
        preprocess.prepare(counts, features=[chosen[0], "absent"])
    with pytest.raises(InputError, match="features are not unique"):
        preprocess.prepare(counts, features=[chosen[0]] * 2)


def test_counts_in_a_layer_and_other_matrix_types(counts):
    expected = preprocess.prepare(counts, **SETTINGS)
    for matrix in (counts.X.toarray(), counts.X.tocsc(), counts.X.astype(np.int32)):
        adata = AnnData(None, obs=counts.obs, var=counts.var, layers={"raw": matrix})
        result = preprocess.prepare(adata, layer="raw", counts_layer="umi", **SETTINGS)
        np.testing.assert_allclose(result.X.toarray(), expected.X.toarray(), rtol=1e-5)
        assert result.layers["umi"].dtype == matrix.dtype


@pytest.mark.calls_scanpy
def test_select_features_agrees_with_prepare(counts):
    log = counts.copy()
    log.layers["log"] = log.X.copy()
    sc.pp.normalize_total(log, target_sum=1e4, layer="log")
    sc.pp.log1p(log, layer="log")
    genes = preprocess.select_features(log, "system", "donor", layer="log", **SETTINGS)
    often = np.logical_and.reduce(
        [
            np.asarray((log[log.obs["system"] == s].X > 0).sum(0)).ravel() > 20
            for s in ("species1", "species2")
        ]
    )
    assert set(genes) <= set(log.var_names[often])
    assert genes == [gene for gene in log.var_names if gene in set(genes)]
    # the totals differ by the few genes that prepare leaves out first
    prepared = set(preprocess.prepare(counts, "system", "donor", **SETTINGS).var_names)
    assert len(prepared & set(genes)) > 0.9 * len(prepared)
    with pytest.raises(InputError, match="looks like raw counts"):
        preprocess.select_features(counts)


def test_more_cells_than_a_small_graph():
    adata = datasets.simulated(n_cells=8400, n_genes=60, n_types=2, seed=3)
    assert preprocess.prepare(adata, batch_key="donor", n_top_genes=30).n_obs == 8400


def test_small_samples_have_no_say(counts, caplog):
    adata = counts.copy()
    donor = adata.obs["donor"].astype(str)
    donor.iloc[[0, 5]] = "single"
    adata.obs["donor"] = donor
    result = preprocess.prepare(adata, batch_key="donor", **SETTINGS)
    assert "1 of 3 samples have fewer than 20 cells" in caplog.text
    assert result.n_obs == counts.n_obs
    # with only small samples the system is taken as one
    adata.obs["donor"] = [f"d{i % 40}" for i in range(adata.n_obs)]
    one = preprocess.prepare(adata, batch_key="donor", **SETTINGS)
    assert set(one.var_names) == set(preprocess.prepare(counts, **SETTINGS).var_names)


def test_unused_levels_do_no_harm(counts):
    adata = counts.copy()
    for column in ("system", "donor"):
        adata.obs[column] = adata.obs[column].cat.add_categories("never")
    result = preprocess.prepare(adata, batch_key="donor", **SETTINGS)
    assert set(result.var_names) == set(
        preprocess.prepare(counts, batch_key="donor", **SETTINGS).var_names
    )


def spoil(adata, how):
    adata = adata.copy()
    if how == "nan":
        adata.X.data[7] = np.nan
    elif how == "negative":
        adata.X.data[7] = -1
    elif how == "logs":
        sc.pp.log1p(adata)
    elif how == "genes":
        adata.var_names = ["Gene00001", *adata.var_names[:-1]]
    elif how == "cells":
        adata.obs_names = ["cell1"] * adata.n_obs
    elif how == "one":
        adata = adata[adata.obs["system"] == "species1"].copy()
    elif how == "na":
        adata.obs["system"] = adata.obs["system"].where(np.arange(adata.n_obs) > 2)
    return adata


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("nan", NonFiniteError, "NaN or infinite"),
        ("negative", InputError, "negative"),
        ("logs", InputError, "raw counts"),
        ("genes", InputError, "'Gene00001'"),
        ("cells", InputError, "obs_names_make_unique"),
        ("one", InputError, "one system .*'species1'"),
        ("na", InputError, "missing for 3 of 700 cells"),
    ],
)
def test_bad_data(counts, how, error, message):
    with pytest.raises(error, match=message):
        preprocess.prepare(spoil(counts, how))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system_key": "kingdom"}, "system_key='kingdom' is not a column .*'system'"),
        ({"batch_key": "batch"}, "batch_key='batch' is not a column"),
        ({"layer": "raw"}, "layer='raw' is not in"),
        ({"names_from": "mars"}, "names_from='mars'"),
        ({"min_cells": 10_000}, "Lower min_cells"),
        ({"n_top_genes": 1}, "No gene is highly variable in every system"),
        ({"n_top_genes": 0}, "at least 1"),
        ({"flavor": "vanilla"}, "'cell_ranger' or 'seurat'"),
        ({"orthologs": "x.tsv"}, "needs data as"),
    ],
)
def test_bad_arguments(counts, options, message):
    with pytest.raises(InputError, match=message):
        preprocess.prepare(counts, **options)


def test_systems_with_gene_names_of_their_own_are_told_so(counts):
    logs = counts.copy()
    logs.X = sparse.csr_matrix(np.log1p(logs.X.toarray()) * 0.9)
    first = (logs.obs["system"] == logs.obs["system"].iloc[0]).to_numpy()
    half = logs.n_vars // 2
    own = logs.X.toarray()
    own[first, half:] = 0
    own[~first, :half] = 0
    logs.X = sparse.csr_matrix(own)
    names = f"{logs.var_names[half - 1]}|{logs.var_names[0]}"
    with pytest.raises(
        InputError, match=f"of every system: .*({names}).*same gene names.*orthologs"
    ):
        preprocess.select_features(logs, min_cells=0)
    logs.X = sparse.csr_matrix(np.where(first[:, None], own, 0))
    with pytest.raises(InputError, match=r"min_cells=0 cells of 'species\d'"):
        preprocess.select_features(logs, min_cells=0)


def test_few_features_are_pointed_out(counts, caplog):
    result = preprocess.prepare(counts, n_top_genes=100)
    assert result.n_vars < 200
    assert "more n_top_genes help" in caplog.text


def test_genes_that_cannot_be_ranked():
    # no two genes differ, so there are no bins of mean expression
    adata = AnnData(sparse.csr_matrix(np.tile([[1.0, 2.0], [2.0, 1.0]], (60, 50))))
    adata.obs = pd.DataFrame({"system": ["a", "b"] * 60}, index=adata.obs_names)
    with pytest.raises(InputError, match="could not be ranked by flavor='cell_ranger'"):
        preprocess.prepare(adata, n_top_genes=10)


def test_looks_like_counts(counts):
    assert preprocess.looks_like_counts(counts.X)
    assert preprocess.looks_like_counts(counts.X.toarray())
    assert preprocess.looks_like_counts(counts.X.astype(np.int64).tocsc())
    assert not preprocess.looks_like_counts(counts.X.log1p())
    assert not preprocess.looks_like_counts(-counts.X)
    assert not preprocess.looks_like_counts(sparse.csr_matrix((4, 4)))


# --- names and kinds of values ------------------------------------------------------------------


def test_donors_of_several_kinds_become_one_column_that_can_be_written(counts, tmp_path, caplog):
    one, two = (
        counts[counts.obs["system"] == name].copy() for name in counts.obs["system"].unique()
    )
    at = {id(a): np.arange(a.n_obs) % 2 for a in (one, two)}

    def prepared(first, second):
        one.obs["donor"], two.obs["donor"] = first[at[id(one)]], second[at[id(two)]]
        caplog.clear()
        result = preprocess.prepare({"h": one, "m": two}, batch_key="donor", **SETTINGS)
        result.write_h5ad(tmp_path / "p.h5ad")
        back = sc.read_h5ad(tmp_path / "p.h5ad").obs["donor"]
        assert list(back) == list(result.obs["donor"])
        return result.obs["donor"]

    numbers, text = np.array([1, 2]), np.array(["m1", "m2"], dtype=object)
    assert set(prepared(numbers, text)) == {"1", "2", "m1", "m2"}
    assert "taken for the same" not in caplog.text
    # the same names of two kinds: one level, and nobody is left to guess
    assert set(prepared(numbers, numbers.astype(str).astype(object))) == {"1", "2"}
    assert "'1', '2' are numbers in one system and text in another" in caplog.text
    days = np.array([pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")])
    assert set(prepared(days, text)) == {"2020-01-01", "2020-01-02", "m1", "m2"}
    # of one kind they stay what they are
    assert prepared(numbers, numbers).dtype == numbers.dtype


def test_systems_named_by_numbers(counts):
    adata = counts.copy()
    adata.obs["code"] = adata.obs["system"].cat.codes.to_numpy().astype(float) + 1
    found = preprocess.prepare(adata, "code", **SETTINGS)
    expected = preprocess.prepare(counts, "system", **SETTINGS)
    assert list(found.var_names) == list(expected.var_names)
    assert set(found.uns["preparation"]["n_cells"]) == {"1", "2"}
    parts = {float(code): adata[adata.obs["code"] == code].copy() for code in (1, 2)}
    joined = preprocess.prepare(parts, "code", names_from=2, **SETTINGS)
    assert list(joined.obs["code"].cat.categories) == ["1", "2"]
    with pytest.raises(InputError, match="systems of the same name"):
        preprocess.prepare({1: parts[1.0], "1": parts[2.0]})


def test_things_that_are_no_cells(counts):
    for data, message in (
        ([counts, counts], r"data is of type list. .*Name them"),
        (3, "data is of type int"),
        ({"a": counts, "b": pd.DataFrame()}, r"data\['b'\] is of type DataFrame"),
        ({"a": counts, "b": "b.h5ad"}, r"data\['b'\] is of type str"),
    ):
        with pytest.raises(InputError, match=message):
            preprocess.prepare(data)
