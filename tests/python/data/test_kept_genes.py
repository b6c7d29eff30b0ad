"""Genes that are kept in any case, and what is said of each."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

from scsystems.data import datasets, preprocess
from scsystems.errors import InputError

SETTINGS = {"min_cells": 20, "n_top_genes": 120}
MERGES = ("intersection", "joint")


@pytest.fixture(scope="module")
def counts():
    """Gene ``rare`` is in three cells of the one system, ``flat`` the same everywhere."""
    adata = datasets.simulated(n_cells=400, n_genes=300, n_types=3, depth=800, seed=1)
    adata.var_names = ["rare", "flat", *adata.var_names[2:]]
    x = adata.X.toarray()
    x[:, :2] = [0, 5]
    x[np.flatnonzero(adata.obs["system"] == "species1")[:3], 0] = 1
    return AnnData(x, obs=adata.obs, var=adata.var)


@pytest.mark.parametrize("merge", MERGES)
def test_genes_are_kept_whether_they_vary_or_not(counts, merge):
    before = preprocess.prepare(counts, hvg_merge=merge, **SETTINGS)
    assert not {"rare", "flat"} & set(before.var_names)
    already = before.var_names[5]
    keep = ["flat", already, "rare", "flat"]
    result = preprocess.prepare(counts, hvg_merge=merge, keep=keep, **SETTINGS)
    assert {"rare", "flat", already} <= set(result.var_names)
    # they do not push others out
    assert set(result.var_names) == {*before.var_names, "rare", "flat"}
    assert list(result.var_names) == [g for g in counts.var_names if g in set(result.var_names)]
    said = result.uns["preparation"]["kept"].splitlines()
    assert sorted(said) == sorted(
        [
            "rare: in, kept as asked",
            "flat: in, kept as asked",
            f"{already}: in, among the variable genes",
        ]
    )
    np.testing.assert_array_equal(
        result[:, "rare"].layers["counts"].toarray(), counts[:, ["rare"]].X
    )
    chosen = preprocess.select_features(before_logs(counts), hvg_merge=merge, keep=keep, **SETTINGS)
    assert {"rare", "flat", already} <= set(chosen)
    assert len(chosen) == len(set(chosen))


def before_logs(counts):
    log = counts.copy()
    log.X = np.log1p(log.X / log.X.sum(1, keepdims=True) * 1e4)
    return log


def test_without_the_argument_nothing_is_said(counts):
    assert preprocess.prepare(counts, **SETTINGS).uns["preparation"]["kept"] == ""


def test_why_a_gene_cannot_be_kept(caplog, tmp_path):
    cells, table = datasets.simulated_by_species(n_cells=400, n_genes=300, n_types=3, seed=2)
    one, two = cells["species1"], cells["species2"]
    pairs = table.pairs[~table.pairs["species1"].duplicated(keep=False)]
    pairs = pairs[pairs["species1"].isin(one.var_names) & pairs["species2"].isin(two.var_names)]
    gone, kept = pairs.iloc[0], pairs.iloc[1]
    alone = next(g for g in one.var_names if g not in set(table.pairs["species1"]))
    two = two[:, two.var_names != gone["species2"]].copy()
    data = {"species1": one, "species2": two}
    keep = [gone["species1"], alone, kept["species1"]]
    result = preprocess.prepare(data, orthologs=table, keep=keep, **SETTINGS)
    said = dict(line.split(": ", 1) for line in result.uns["preparation"]["kept"].splitlines())
    assert said[kept["species1"]].startswith("in, ")
    assert said[gone["species1"]] == "out, 'species2' lacks it"
    assert said[alone] == "out, it has no one-to-one partner"
    assert kept["species1"] in result.var_names
    assert "2 of 3 genes are not among the features" in caplog.text
    result.write_h5ad(tmp_path / "prepared.h5ad")
    again = read_h5ad(tmp_path / "prepared.h5ad").uns["preparation"]["kept"]
    assert again == result.uns["preparation"]["kept"]
    # in the names of the result
    named = {"names_from": "species2", "orthologs": table}
    result = preprocess.prepare(data, keep=[kept["species2"]], **named, **SETTINGS)
    assert kept["species2"] in result.var_names
    with pytest.raises(InputError, match="keep: 1 of 1 are not genes of 'species2'"):
        preprocess.prepare(data, keep=[kept["species1"]], **named, **SETTINGS)


def test_bad_genes_are_refused(counts):
    for function, adata in (
        (preprocess.prepare, counts),
        (preprocess.select_features, before_logs(counts)),
    ):
        with pytest.raises(InputError, match=r"keep: 1 of 2 are not genes.*'nothing'"):
            function(adata, keep=["flat", "nothing"])
        with pytest.raises(InputError, match="keep"):
            function(adata, keep={"flat": 1})
    with pytest.raises(InputError, match="features and keep are both given"):
        preprocess.prepare(counts, features=["flat"], keep=["rare"])


def test_genes_to_keep_may_be_all_there_are(counts):
    """Where the systems have no variable gene in common."""
    result = preprocess.prepare(counts, n_top_genes=1, keep=["flat", "rare"], min_cells=20)
    assert {"flat", "rare"} <= set(result.var_names)
    assert result.n_vars <= 3


def test_names_may_be_in_anything_that_lists_names(counts):
    for keep in ("flat", ("flat",), np.array(["flat"]), pd.Index(["flat"]), pd.Series(["flat"])):
        assert "flat" in preprocess.prepare(counts, keep=keep, **SETTINGS).var_names
