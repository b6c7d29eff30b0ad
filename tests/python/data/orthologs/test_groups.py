"""Groups of orthologs, and the genes that systems share by them."""

import hashlib
import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.data.orthologs import bundled, one_to_one, read
from scsystems.data.orthologs.groups import group
from scsystems.data.orthologs.links import SAME_NAMES, link, readable
from scsystems.errors import InputError

N = 300


def pairs(n=N, **more):
    """``n`` one-to-one pairs, and then some of one's own."""
    rows = [(f"A{i}", f"a{i}", 1) for i in range(n)]
    return pd.DataFrame(rows + more.get("rows", []), columns=["human", "mouse", "confidence"])


def genes_of(table, *more):
    names = {name: pd.Index(table[name].unique()) for name in ("human", "mouse")}
    return {n: g.append(pd.Index(list(more), dtype=object)).unique() for n, g in names.items()}


def members(found, number_of):
    """The groups as sets of genes."""
    return {frozenset(g) for _, g in found.groupby("group")["gene"] if number_of in set(g)}


def test_all_genes_that_pairs_connect_are_a_group():
    # a path from B1 over b1, B2 and b2 to B3
    rows = [("B1", "b1", 1), ("B2", "b1", 0), ("B2", "b2", 1), ("B3", "b2", 0)]
    found, table = group(read(pairs(rows=rows)))
    assert members(found, "B1") == {frozenset({"B1", "B2", "B3", "b1", "b2"})}
    assert members(found, "A7") == {frozenset({"A7", "a7"})}
    assert (table.report.groups.n_one_to_one, table.report.groups.n_several) == (N, 1)


def test_of_large_groups_well_supported_pairs_alone_connect_and_larger_ones_go():
    low = [("B1", f"b{i}", 0) for i in range(9)] + [("B2", f"b{i}", 0) for i in range(9)]
    rows = [*low, ("B1", "b0", 1), ("B2", "b1", 1)]
    large = [(f"C{i}", f"c{j}", 1) for i in range(4) for j in range(8)]
    # the low row of a pair that is there twice goes
    found, table = group(read(pairs(rows=rows + large)))
    assert members(found, "B1") == {frozenset({"B1", "b0"})}
    assert members(found, "B2") == {frozenset({"B2", "b1"})}
    assert not members(found, "C1")
    assert table.report.groups.n_large == 1
    more, _ = group(read(pairs(rows=rows + large)), largest=12)
    assert len(next(iter(members(more, "C1")))) == 12
    assert len(next(iter(members(more, "B1")))) == 11


def test_groups_without_a_well_supported_pair_go_but_pairs_stay():
    rows = [("B1", "b1", 0), ("B1", "b2", 0), ("C1", "c1", 0)]
    found, table = group(read(pairs(rows=rows)))
    assert not members(found, "B1")
    assert members(found, "C1") == {frozenset({"C1", "c1"})}
    assert table.report.groups.n_low_score == 1
    assert "1 groups of several genes without any well supported pair" in str(table.report)


def test_of_tables_that_count_resources_pairs_of_few_are_none():
    table = pd.DataFrame(
        {
            "human_symbol": ["B1", "B1", "B1"],
            "mouse_symbol": ["b1", "b2", "b3"],
            "support": ["Ensembl,HGNC,OMA", "Ensembl,HGNC", "EggNOG,OMA,Panther,HGNC"],
        }
    )
    found, _ = group(read(table))
    assert members(found, "B1") == {frozenset({"B1", "b1", "b3"})}


def test_sums_by_groups_and_their_names():
    rows = [("INS", "Ins1", 0), ("INS", "Ins2", 1), ("H1", "h1", 1), ("H2", "h1", 1)]
    table = pairs(rows=rows)
    genes = genes_of(table, "own")
    genes["mouse"] = genes["mouse"].drop("Ins1")
    few = link(genes, table, "groups").in_all.set_index("human")
    assert few.loc["INS", "mouse"] == "Ins2"
    genes = genes_of(table, "own")
    links = link(genes, table, "groups")
    shared = links.in_all.set_index("human")
    assert shared.loc["INS", "mouse"] == "Ins1;Ins2"
    assert shared.loc["H1;H2", "mouse"] == "h1"
    assert "own" not in set(links.pairs["human"])
    x = np.random.default_rng(0).poisson(3, (4, len(genes["mouse"])))
    summed = links.fold("mouse", sparse.csr_matrix(x)).toarray()
    at = links.names_of("mouse").get_loc("Ins1;Ins2")
    expected = x[:, genes["mouse"].get_indexer(["Ins1", "Ins2"])].sum(1)
    np.testing.assert_array_equal(summed[:, at], expected)
    assert summed.dtype == x.dtype
    assert [readable(n) for n in ("INS", "H1;H2", "a;b;c", "a;b;c;d")] == [
        "INS",
        "H1+H2",
        "a+b+c",
        "a+3",
    ]


def test_several_tables_make_one():
    one = pairs()[["human", "mouse"]]
    two = pd.DataFrame({"human": [f"A{i}" for i in range(N)], "pig": [f"P{i}" for i in range(N)]})
    two = pd.concat([two, pd.DataFrame({"human": ["A0", "A1"], "pig": ["P0b", "P2"]})])
    genes = genes_of(one) | {"pig": pd.Index(two["pig"].unique())}
    for orthology, n in (("one2one", N - 3), ("groups", N - 1)):
        links = link(genes, {"mouse": one, "pig": two}, orthology)
        shared = links.in_all.set_index("human")
        assert len(shared) == n
        assert list(shared.loc["A5"]) == ["a5", "P5"]
    assert list(shared.loc["A0"]) == ["a0", "P0;P0b"]
    assert list(shared.loc["A1;A2"]) == ["a1;a2", "P1;P2"]
    with pytest.raises(InputError, match=r"tables of \['pig'\].*\['mouse', 'pig'\] with 'human'"):
        link(genes, {"pig": two})


@pytest.mark.parametrize("orthology", ["one2one", "groups"])
def test_few_genes_are_pointed_out_and_fewer_refused(orthology, caplog):
    for n in (250, 249, 50, 49):
        genes = genes_of(pairs(n))
        caplog.clear()
        if n == 49:
            with pytest.raises(InputError, match=r"share 49 genes.*at least 50.*(?s:.)*49"):
                link(genes, pairs(n), orthology)
            break
        with caplog.at_level(logging.WARNING):
            link(genes, pairs(n), orthology)
        assert ("which is few" in caplog.text) == (n < 250)


def test_groups_need_a_table_with_all_pairs():
    same = {"cells": pd.Index(["A", "B"]), "nuclei": pd.Index(["B", "C"])}
    with pytest.raises(InputError, match=r"orthology='groups'.*own gene names"):
        link(same, None, "groups")
    assert list(link(same).in_all["cells"]) == ["B"]
    table = pairs()
    with pytest.raises(InputError, match="cut to one-to-one"):
        link(genes_of(table), one_to_one(read(table)), "groups")
    with pytest.raises(InputError, match="orthology='all' is not known"):
        link(same, None, "all")


# --- human and mouse -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensembl():
    return pd.read_csv(bundled.TABLE, sep="\t", keep_default_na=False)


def test_the_table_is_what_it_is_said_to_be(ensembl):
    assert hashlib.sha256(bundled.TABLE.read_bytes()).hexdigest() == bundled.CHECKSUM
    text = bundled.TABLE.with_name("human_mouse.md").read_text(encoding="utf8")
    assert f"{len(ensembl):,} pairs of" in text
    for name in ("human", "mouse"):
        assert f"{ensembl[f'{name}_id'].nunique():,} {name}" in text
    assert set(ensembl["type"]) == {"one2one", "one2many", "many2many"}
    assert set(ensembl["confidence"]) == {0, 1}


@pytest.mark.parametrize("style", ["symbols", "identifiers", "both"])
def test_human_and_mouse_need_no_table(ensembl, style):
    one = ensembl[(ensembl["type"] == "one2one") & (ensembl["human"] != "")]
    one = one[one["mouse"] != ""].iloc[:N]
    human, mouse = one["human"].to_numpy(object), one["mouse"].to_numpy(object)
    if style == "identifiers":
        human, mouse = (one["human_id"] + ".12").to_numpy(object), one["mouse_id"].to_numpy(object)
    elif style == "both":  # genes without a symbol go by their identifier
        human[:20], mouse[10:30] = one["human_id"][:20], one["mouse_id"][10:30]
    links = link({"Mus musculus": pd.Index(mouse), "Human": pd.Index(human)})
    found = links.in_all
    assert dict(zip(found["Human"], found["Mus musculus"], strict=True)) == dict(
        zip(human, mouse, strict=True)
    )
    assert "come with scsystems" in links.report
    kind = "identifiers" if style == "identifiers" else "symbols"
    assert links.report.count(f"{N} of {N} genes match by their {kind}") == 2
    some = "some (20 of the table's) by their identifiers"
    assert links.report.count(some) == (2 if style == "both" else 0)


@pytest.mark.parametrize(
    "names",
    [
        ("human", "mouse"),
        ("Mus musculus", "Homo sapiens"),
        ("hsapiens", "mmusculus"),
        ("9606", "10090"),
        ("Human", "MOUSE"),
    ],
)
def test_names_of_human_and_mouse(names):
    assert bundled.is_human_and_mouse(names)
    assert not bundled.is_human_and_mouse((names[0], names[0]))
    assert not bundled.is_human_and_mouse((*names, "rat"))
    assert not bundled.is_human_and_mouse(("rat", names[1]))


def test_the_table_is_for_human_and_mouse_whose_names_differ(ensembl):
    human = pd.Index(ensembl["human"][:N].unique())
    assert bundled.bundled_for({"human": human, "mouse": human.str.capitalize()}) == bundled.TABLE
    assert bundled.bundled_for({"human": human, "mouse": human}) is None
    assert bundled.bundled_for({"human": human, "pig": human.str.lower()}) is None
    assert bundled.bundled_for({"human": human, "Homo sapiens": human.str.lower()}) is None
    three = dict.fromkeys(("human", "mouse", "rat"), human)
    assert bundled.bundled_for(three) is None
    assert link({"human": human, "mouse": human.str.capitalize()}, SAME_NAMES).in_all.empty


@pytest.mark.parametrize("style", ["symbols", "identifiers"])
def test_species_that_are_swapped(ensembl, style):
    one = ensembl[(ensembl["type"] == "one2one") & (ensembl["human"] != "")].iloc[:N]
    end = "" if style == "symbols" else "_id"
    genes = {
        "human": pd.Index(one[f"mouse{end}"]).unique(),
        "mouse": pd.Index(one[f"human{end}"]).unique(),
    }
    with pytest.raises(InputError, match=r"look swapped.*'human' are 'mouse' genes"):
        link({n: g[g != ""] for n, g in genes.items()})


def test_genes_that_the_table_does_not_have():
    genes = {
        "human": pd.Index([f"h{i}" for i in range(N)]),
        "mouse": pd.Index([f"m{i}" for i in range(N)]),
    }
    with pytest.raises(InputError, match="only 0 of 300 human genes"):
        link(genes)
