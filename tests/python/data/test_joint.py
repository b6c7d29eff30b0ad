"""Species with their own genes as one AnnData, against the same by hand."""

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scsystems.data import preprocess
from scsystems.data.joint import join_species
from scsystems.errors import InputError

N = 300


@pytest.fixture
def table():
    one = [(f"A{i}", f"a{i}") for i in range(N)]
    return pd.DataFrame([*one, ("INS", "Ins1"), ("INS", "Ins2")], columns=["human", "mouse"])


@pytest.fixture
def species(table):
    """Counts of 40 human and 30 mouse cells, whose names repeat, with genes of their own."""
    made = {}
    for seed, (name, n_cells) in enumerate({"human": 40, "mouse": 30}.items()):
        rng = np.random.default_rng(seed)
        genes = [*table[name].unique(), f"{name} only"]
        counts = sparse.csr_matrix(rng.poisson(rng.gamma(1, 3, len(genes)), (n_cells, len(genes))))
        obs = pd.DataFrame({"donor": rng.choice(["1", "2"], n_cells)})
        made[name] = AnnData(counts.astype(np.float32), obs.set_axis(map(str, range(n_cells))))
        made[name].obs[f"{name} column"] = 1.0
        made[name].var_names = rng.permutation(genes)
    return made


def normalized(adata, total=1e4, base=np.e):
    adata = adata.copy()
    x = adata.X.toarray()
    x = np.log1p(x / x.sum(1, keepdims=True) * total) / np.log(base)
    adata.X = sparse.csr_matrix(x.astype(np.float32))
    return adata


def test_counts_of_pairs_and_of_groups(species, table):
    for orthology, n in (("one2one", N), ("groups", N + 1)):
        joint = join_species(species, "kind", orthologs=table, orthology=orthology)
        assert joint.shape == (70, n)
        assert list(joint.obs["kind"]) == ["human"] * 40 + ["mouse"] * 30
        assert joint.obs_names[0] == "human_0"
        assert joint.obs["human column"].notna().sum() == 40
        rows = joint.obs["kind"] == "mouse"
        for gene in ("A3", "INS") if n > N else ("A3",):
            own = joint.var.loc[gene, "gene_mouse"].split(";")
            np.testing.assert_array_equal(
                joint[rows.to_numpy(), gene].X.toarray().ravel(),
                np.asarray(species["mouse"][:, own].X.sum(1)).ravel(),
            )
        assert joint.uns["orthologs"]["orthology"] == orthology
        assert "human: 30" in joint.uns["orthologs"]["report"]
    assert own == ["Ins1", "Ins2"]
    named = join_species(species, orthologs=table, orthology="groups", names_from="mouse")
    assert named.var.loc["Ins1+Ins2", "gene_human"] == "INS"


def test_what_follows_is_as_of_any_counts(species, table):
    joint = join_species(species, orthologs=table, orthology="groups")
    prepared = preprocess.prepare(joint, batch_key="donor", min_cells=5, n_top_genes=N + 1)
    assert prepared.n_obs == 70
    at_once = preprocess.prepare(
        species, batch_key="donor", orthologs=table, orthology="groups", min_cells=5,
        n_top_genes=N + 1,
    )  # fmt: skip
    # here all genes have a partner, so that the totals are the same
    assert set(at_once.var_names) == set(prepared.var_names)
    both = prepared[:, at_once.var_names].X.toarray()
    np.testing.assert_allclose(at_once.X.toarray(), both, rtol=1e-5)


def test_prepare_with_groups_is_prepare_of_the_sums(species, table, tmp_path):
    options = {"batch_key": "donor", "min_cells": 5, "n_top_genes": N + 1}
    summed = {}
    for name, adata in species.items():
        adata = adata[:, adata.var_names != f"{name} only"]
        if name == "mouse":
            genes = [g for g in adata.var_names if not g.startswith("Ins")]
            ins = sparse.csr_matrix(adata[:, ["Ins1", "Ins2"]].X.sum(1))
            x = sparse.hstack([adata[:, genes].X, ins], format="csr")
            adata = AnnData(x, obs=adata.obs, var=pd.DataFrame(index=[*genes, "Ins"]))
            adata.var_names = [g.upper() for g in adata.var_names]
        summed[name] = adata
    expected = preprocess.prepare(summed, **options)
    got = preprocess.prepare(species, orthologs=table, orthology="groups", **options)
    assert set(got.var_names) == set(expected.var_names)
    np.testing.assert_allclose(got.X.toarray(), expected[:, got.var_names].X.toarray(), rtol=1e-5)
    assert got.uns["preparation"]["n_genes"] == {"human": N + 2, "mouse": N + 3}
    # the same of cells on disk
    paths = {}
    for name, adata in species.items():
        paths[name] = tmp_path / f"{name}.h5ad"
        adata.write_h5ad(paths[name])
    stored = preprocess.prepare(
        paths, orthologs=table, orthology="groups", out=tmp_path / "out.h5ad", **options
    ).to_memory()
    assert list(stored.var_names) == list(got.var_names)
    np.testing.assert_allclose(stored.X.toarray(), got.X.toarray(), rtol=1e-6)
    np.testing.assert_array_equal(stored.layers["counts"].toarray(), got.layers["counts"].toarray())
    assert stored.uns["preparation"]["orthologs"] == got.uns["preparation"]["orthologs"]
    # which kind of text names are is up to the release of pandas
    assert stored.var.astype(object).equals(got.var.astype(object))
    assert list(stored.var.index) == list(got.var.index)


def test_logarithms_are_undone_before_genes_are_summed(species, table):
    logs = {name: normalized(adata) for name, adata in species.items()}
    joint = join_species(logs, orthologs=table, orthology="groups")
    own = np.expm1(logs["mouse"][:, ["Ins1", "Ins2"]].X.toarray()).sum(1)
    np.testing.assert_allclose(joint[40:, "INS"].X.toarray().ravel(), np.log1p(own), rtol=1e-5)
    plain = join_species(logs, orthologs=table)
    assert plain.X.dtype == np.float32
    for gene in ("A1", "A200"):
        expected = logs["human"][:, gene].X.toarray()
        np.testing.assert_array_equal(plain[:40, gene].X.toarray(), expected)


@pytest.mark.parametrize("mouse", ["counts", "total", "base"])
@pytest.mark.parametrize("orthology", ["one2one", "groups"])
def test_scales_are_judged_by_species_and_brought_together(
    species, table, mouse, orthology, caplog
):
    human = normalized(species["human"])
    expected = join_species(
        {"human": human, "mouse": normalized(species["mouse"])},
        orthologs=table, orthology=orthology,
    )  # fmt: skip
    assert "different scales" not in caplog.text
    other = {
        "counts": species["mouse"],
        "total": normalized(species["mouse"], 1e5),
        "base": normalized(species["mouse"], base=2),
    }[mouse]
    with caplog.at_level(logging.WARNING):
        got = join_species({"human": human, "mouse": other}, orthologs=table, orthology=orthology)
    assert "different scales: 'human' looks log-transformed" in caplog.text
    np.testing.assert_allclose(got.X.toarray(), expected.X.toarray(), rtol=1e-3, atol=1e-5)
    assert got.uns["preparation"]["settings"]["target_sum"] == pytest.approx(1e4, rel=0.01)


def test_bad_input(species, table):
    with pytest.raises(InputError, match="one system"):
        join_species({"human": species["human"]}, orthologs=table)
    with pytest.raises(InputError, match=r"Expected {species: AnnData}"):
        join_species(list(species.values()), orthologs=table)
    with pytest.raises(InputError, match="look swapped"):
        join_species({"human": species["mouse"], "mouse": species["human"]}, orthologs=table)
    apart = {"human": species["human"], "pig": species["mouse"]}
    with pytest.raises(InputError, match=r"no gene in common.*orthologs="):
        join_species(apart)
    with pytest.raises(InputError, match="none of the systems"):
        join_species(species, orthologs=table, names_from="pig")
    doubled = species["human"].copy()
    doubled.var_names = [doubled.var_names[1], *doubled.var_names[1:]]
    with pytest.raises(InputError, match=r"human.*occur more than once"):
        join_species(species | {"human": doubled}, orthologs=table)
    scaled = species["human"].copy()
    scaled.X = scaled.X.toarray() - 1
    with pytest.raises(InputError, match="'human' holds negative"):
        join_species(species | {"human": scaled}, orthologs=table)
    with pytest.raises(InputError, match=r"columns.*'human'"):
        join_species(species, orthologs=table[["human"]])
    # a part of the genes alone does not say what all were normalized to
    cut = normalized(species["human"])[:, :290].copy()
    cut.X.data += 0.01
    with pytest.raises(InputError, match=r"different scales.*cannot be told"):
        join_species({"human": cut, "mouse": species["mouse"]}, orthologs=table)
    with pytest.raises(InputError, match="orthology= needs data as"):
        preprocess.prepare(species["human"], "donor", orthology="groups")
