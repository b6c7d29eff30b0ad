"""From the systems' variable genes to those of the result, against scanpy and sets."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData

from scsystems.data import datasets, gene_choice, preprocess
from scsystems.errors import InputError

SYSTEMS = ("a", "b", "c")


@pytest.fixture(scope="module")
def counts():
    """Three systems of which each varies in other genes."""
    rng = np.random.default_rng(0)
    n, genes = 90, 420
    rate = rng.gamma(2, 2, genes)
    blocks = []
    for i in range(len(SYSTEMS)):
        kind = rng.integers(0, 2, n)
        factor = np.ones((2, genes))
        factor[1, np.arange(i * 60, i * 60 + 240)] = rng.gamma(1, 2, 240)
        blocks.append(rng.poisson(rate * factor[kind]))
    obs = pd.DataFrame(
        {"system": np.repeat(SYSTEMS, n), "donor": np.tile(["d1", "d2", "d3"], n)},
        index=[f"cell{i}" for i in range(3 * n)],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(genes)])
    return AnnData(np.concatenate(blocks).astype(np.float32), obs=obs, var=var)


def tables(adata, batch_key, n):
    """What scanpy says of every system's genes in more than 20 cells."""
    found = {}
    for name in SYSTEMS:
        part = adata[adata.obs["system"] == name]
        part = part[:, (part.X > 0).sum(0) > 20].copy()
        sc.pp.normalize_total(part, target_sum=1e4)
        sc.pp.log1p(part)
        sc.pp.highly_variable_genes(part, n_top_genes=n, flavor="cell_ranger", batch_key=batch_key)
        found[name] = part.var
    return found


@pytest.mark.parametrize("batch_key", [None, "donor"])
def test_the_ranking_is_that_of_scanpys_choice(counts, batch_key):
    for table in tables(counts, batch_key, 150).values():
        order = gene_choice.ranking(table)
        assert sorted(order) == list(range(len(table)))
        first = set(table.index[order[:150]])
        assert first == set(table.index[table["highly_variable"]])


@pytest.mark.parametrize("batch_key", [None, "donor"])
def test_joint_genes_are_an_intersection_of_longer_lists(counts, batch_key):
    n = 150
    shared = set.intersection(*(set(t.index) for t in tables(counts, batch_key, n).values()))
    lists = []
    for table in tables(counts, batch_key, n).values():
        by = ["highly_variable_nbatches"] if batch_key else []
        table = table.round({"dispersions_norm": 4})
        ordered = table.sort_values([*by, "dispersions_norm"], ascending=False, kind="stable").index
        lists.append([gene for gene in ordered if gene in shared])

    def in_all(length):
        return set.intersection(*(set(genes[:length]) for genes in lists))

    assert len(in_all(n)) < n
    length = next(k for k in range(n, len(shared)) if len(in_all(k)) >= n)
    result = preprocess.prepare(counts, "system", batch_key, n_top_genes=n, hvg_merge="joint")
    assert result.n_vars == n
    assert in_all(length - 1) <= set(result.var_names) <= in_all(length)
    assert list(result.var_names) == [g for g in counts.var_names if g in set(result.var_names)]
    assert result.uns["preparation"]["settings"]["hvg_merge"] == "joint"
    intersection = preprocess.prepare(counts, "system", batch_key, n_top_genes=n)
    assert intersection.n_vars < n
    assert intersection.uns["preparation"]["settings"]["hvg_merge"] == "intersection"


def test_equal_dispersions_are_in_the_order_of_the_data():
    table = pd.DataFrame({"dispersions_norm": [0.5, 0.67449076, 2.0, 0.67449077, np.nan, -1]})
    assert list(gene_choice.ranking(table)) == [2, 1, 3, 0, 5, 4]
    table["highly_variable_nbatches"] = [2, 1, 1, 1, 0, 2]
    assert list(gene_choice.ranking(table)) == [0, 5, 2, 1, 3, 4]


def test_of_equal_worst_ranks_the_better_mean_goes_first():
    names = pd.Index(list("pqrs"))
    # worst ranks: p 1, q 3, r 2, s 3; means of q and s: 1.5 and 3
    ranked = {"a": pd.Index(["q", "p", "r", "s"]), "b": pd.Index(["p", "r", "s", "q"])}
    chosen = [list(gene_choice.chosen_jointly(names, ranked, n)) for n in (1, 2, 3, 4, 9)]
    assert chosen == [["p"], ["p", "r"], ["p", "q", "r"], list("pqrs"), list("pqrs")]


def test_ranks_are_among_the_genes_that_all_systems_have():
    names = pd.Index(["p", "q"])
    others = [f"own{i}" for i in range(5)]
    ranked = {"a": pd.Index([*others, "q", "p"]), "b": pd.Index(["p", "q"])}
    # among both: p has ranks 1 and 0, q 0 and 1; with a's own genes counted p would be behind q
    assert list(gene_choice.chosen_jointly(names, ranked, 1)) == ["p"]


def test_no_more_genes_than_all_systems_express(counts):
    result = preprocess.prepare(counts, n_top_genes=10_000, hvg_merge="joint")
    everywhere = [(counts[counts.obs["system"] == s].X > 0).sum(0) > 20 for s in SYSTEMS]
    assert set(result.var_names) == set(counts.var_names[np.logical_and.reduce(everywhere)])


def test_chosen_genes_are_those_of_prepare(counts):
    log = counts.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    options = {"n_top_genes": 150, "hvg_merge": "joint"}
    chosen = preprocess.select_features(log, "system", "donor", **options)
    assert chosen == list(preprocess.prepare(counts, "system", "donor", **options).var_names)


def test_few_genes_are_warned_of_with_what_helps(counts, caplog):
    def said(**options):
        caplog.clear()
        preprocess.prepare(counts, **options)
        return caplog.text

    assert "more n_top_genes help, or hvg_merge='joint'" in said(n_top_genes=150)
    assert said(n_top_genes=300, hvg_merge="joint") == ""
    assert "only 20 genes are used; more n_top_genes help" in said(
        n_top_genes=20, hvg_merge="joint"
    )
    # where all genes are used already, more of them are not to be had so
    few = {"min_cells": 88}
    for merge in ("intersection", "joint"):
        text = said(n_top_genes=10_000, hvg_merge=merge, **few)
        assert "genes are found in enough cells of every system" in text
        assert "Lower min_cells" in text
        assert "n_top_genes" not in text


@pytest.mark.parametrize("merge", ["union", None, 1])
def test_other_ways_are_refused(counts, merge):
    with pytest.raises(InputError, match="hvg_merge"):
        preprocess.prepare(counts, hvg_merge=merge)
    with pytest.raises(InputError, match="hvg_merge"):
        preprocess.select_features(counts, hvg_merge=merge)


def test_species_are_joined_by_rank_under_one_name():
    cells, table = datasets.simulated_by_species(n_cells=400, n_genes=500, n_types=4, seed=2)
    result = preprocess.prepare(
        cells, orthologs=table, names_from="species2", n_top_genes=200, hvg_merge="joint"
    )
    assert result.n_vars == 200
    assert list(result.var["gene_species2"]) == list(result.var_names)
