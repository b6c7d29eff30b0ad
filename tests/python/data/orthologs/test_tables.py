"""Every distributed layout, hand-written at the size of a few genes, and real mistakes."""

import gzip

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scsystems.data.orthologs import tables as orthologs
from scsystems.errors import InputError

BIOMART = """\
Gene stable ID\tGene name\tMouse gene stable ID\tMouse gene name\tMouse homology type\t\
Mouse orthology confidence [0 low, 1 high]
ENSG00000000001\tINS\tENSMUSG00000000001\tIns1\tortholog_one2many\t1
ENSG00000000001\tINS\tENSMUSG00000000002\tIns2\tortholog_one2many\t1
ENSG00000000002\tGCG\tENSMUSG00000000003\tGcg\tortholog_one2one\t1
ENSG00000000003\tSST\tENSMUSG00000000004\tSst\tortholog_one2one\t1
ENSG00000000003\tSST\tENSMUSG00000000004\tSst\tortholog_one2one\t1
ENSG00000000004\tLONE\t\t\t\t
ENSG00000000005\tWEAK\tENSMUSG00000000005\tWeak\tortholog_one2one\t0
ENSG00000000006\tDUO\tENSMUSG00000000006\tDuo\tortholog_many2many\t1
"""
MGI = """\
DB Class Key\tCommon Organism Name\tNCBI Taxon ID\tSymbol\tEntrezGene ID\tMouse MGI ID\tHGNC ID
1\tmouse, laboratory\t10090\tIns1\t16333\tMGI:96572\t
1\tmouse, laboratory\t10090\tIns2\t16334\tMGI:96573\t
1\thuman\t9606\tINS\t3630\t\tHGNC:6081
2\tmouse, laboratory\t10090\tGcg\t14526\tMGI:95674\t
2\thuman\t9606\tGCG\t2641\t\tHGNC:4191
3\tmouse, laboratory\t10090\tGm1\t1\tMGI:1\t
4\tmouse, laboratory\t10090\tSst\t20604\tMGI:98326\t
4\thuman\t9606\tSST\t6750\t\tHGNC:11329
"""
HCOP = """\
human_entrez_gene\thuman_ensembl_gene\thgnc_id\thuman_name\thuman_symbol\thuman_chr\thuman_assert_ids\t\
mouse_entrez_gene\tmouse_ensembl_gene\tmgi_id\tmouse_name\tmouse_symbol\tmouse_chr\tmouse_assert_ids\tsupport
2641\tENSG2\tHGNC:1\tglucagon\tGCG\t2\tx\t14526\tENSMUSG2\tMGI:1\tglucagon\tGcg\t2\ty\tEnsembl,OMA,Panther
6750\tENSG3\tHGNC:2\tsomatostatin\tSST\t3\tx\t20604\tENSMUSG3\tMGI:2\tsomatostatin\tSst\t16\ty\tEnsembl,OMA
6750\tENSG3\tHGNC:2\tsomatostatin\tSST\t3\tx\t9\tENSMUSG9\tMGI:9\tcortistatin\tCort\t4\ty\tPanther
1\t-\t-\t-\tNONE\t-\t-\t-\t-\t-\t-\t-\t-\t-\tOMA
"""
HCOP_ALL = """\
ortholog_species\thuman_entrez_gene\thuman_ensembl_gene\thgnc_id\thuman_name\thuman_symbol\thuman_chr\t\
human_assert_ids\tortholog_species_entrez_gene\tortholog_species_ensembl_gene\tortholog_species_db_id\t\
ortholog_species_name\tortholog_species_symbol\tortholog_species_chr\tortholog_species_assert_ids\tsupport
10090\t2641\tENSG2\t-\t-\tGCG\t2\tx\t14526\tENSMUSG2\tMGI:1\t-\tGcg\t2\ty\tEnsembl,OMA
7955\t2641\tENSG2\t-\t-\tGCG\t2\tx\t5\tENSDARG2\tZFIN:1\t-\tgcga\t9\ty\tEnsembl
7955\t2641\tENSG2\t-\t-\tGCG\t2\tx\t6\tENSDARG3\tZFIN:2\t-\tgcgb\t9\ty\tEnsembl
7955\t6750\tENSG3\t-\t-\tSST\t2\tx\t7\tENSDARG4\tZFIN:3\t-\tsst1.1\t9\ty\tEnsembl
"""
HOMOLOGENE = """\
3\t9606\t34\tACADM\t4557231\tNP_000007.1
3\t10090\t11364\tAcadm\t6680618\tNP_031408.1
3\t7955\t406283\tacadm\t390190229\tNP_001254467.1
5\t9606\t37\tACADVL\t4557235\tNP_000009.1
5\t10090\t11370\tAcadvl\t23956084\tNP_059062.1
"""


def write(tmp_path, text, name="table.tsv"):
    path = tmp_path / name
    with (gzip.open if name.endswith(".gz") else open)(path, "wt") as file:
        file.write(text)
    return path


def pairs_of(table):
    return set(table.pairs[list(table.species)].itertuples(index=False, name=None))


@pytest.mark.parametrize("name", ["table.tsv", "table.tsv.gz", "table.csv"])
def test_biomart_one_to_one_with_every_loss_counted(tmp_path, name):
    text = BIOMART.replace(" [0 low, 1 high]", "") if name.endswith("csv") else BIOMART
    text = text.replace("\t", ",") if name.endswith("csv") else text
    table = orthologs.one_to_one(orthologs.read(write(tmp_path, text, name), min_score=1))
    assert table.species == ("human", "mouse")
    assert pairs_of(table) == {("GCG", "Gcg"), ("SST", "Sst")}
    report = table.report
    assert (report.layout, report.n_rows, report.n_incomplete) == ("biomart", 8, 1)
    assert (report.n_low_score, report.n_repeated, report.n_pairs) == (1, 1, 5)
    assert report.n_ambiguous == {"human": 2, "mouse": 0}
    assert (report.n_other_type, report.n_one_to_one) == (1, 2)
    text = str(report)
    for part in ("biomart", "8 rows", "1 repeat", "2 whose human gene has several partners"):
        assert part in text


def test_biomart_all_pairs_and_identifiers(tmp_path):
    table = orthologs.read(write(tmp_path, BIOMART), species=("Mus musculus", "9606"), gene="id")
    assert table.species == ("Mus musculus", "9606")
    assert ("ENSMUSG00000000002", "ENSG00000000001") in pairs_of(table)
    assert set(table.pairs["type"]) == {"one2one", "one2many", "many2many"}


def test_biomart_headers_as_r_writes_them():
    frame = pd.DataFrame(
        {
            "human.gene.name": ["INS", "GCG"],
            "gene.name": ["Ins2", "Gcg"],
            "human.homology.type": ["ortholog_one2one"] * 2,
        }
    )
    with pytest.raises(InputError, match="Say both"):
        orthologs.read(frame)
    assert pairs_of(orthologs.read(frame, species=("mouse", "human"))) == {
        ("Ins2", "INS"),
        ("Gcg", "GCG"),
    }


def test_biomart_attributes_of_r():
    frame = pd.DataFrame(
        {
            "ensembl_gene_id": ["ENSG00000000001"],
            "external_gene_name": ["INS"],
            "mmusculus_homolog_ensembl_gene": ["ENSMUSG00000000001"],
            "mmusculus_homolog_associated_gene_name": ["Ins2"],
            "mmusculus_homolog_orthology_type": ["ortholog_one2one"],
            "mmusculus_homolog_orthology_confidence": [1],
        }
    )
    table = orthologs.read(frame)
    assert table.species == ("human", "mmusculus")
    assert pairs_of(table) == {("INS", "Ins2")}
    ids = orthologs.read(frame, species=("mouse", "human"), gene="id")
    assert pairs_of(ids) == {("ENSMUSG00000000001", "ENSG00000000001")}


def test_biomart_with_several_targets():
    frame = pd.DataFrame(
        {
            "Gene stable ID": ["ENSG00000000001"] * 2 + ["ENSG00000000002"] * 2,
            "Gene name": ["INS", "INS", "GCG", "GCG"],
            "Mouse gene name": ["Ins1", "Ins2", "Gcg", "Gcg"],
            "Mouse homology type": ["ortholog_one2many"] * 2 + ["ortholog_one2one"] * 2,
            "Zebrafish gene name": ["ins", "ins", "gcga", "gcgb"],
            "Zebrafish homology type": ["ortholog_one2one"] * 2 + ["ortholog_one2many"] * 2,
        }
    )
    assert orthologs.read(frame).species == ("human", "mouse", "zebrafish")
    assert pairs_of(orthologs.one_to_one(frame, ("mouse", "human"))) == {("Gcg", "GCG")}
    assert pairs_of(orthologs.one_to_one(frame, ("human", "zebrafish"))) == {("INS", "ins")}
    with pytest.raises(InputError, match="is one-to-one"):
        orthologs.one_to_one(frame)


def test_symbols_of_the_nomenclature_committees_say_their_species():
    frame = pd.DataFrame({"MGI.symbol": ["Ins2"], "HGNC.symbol": ["INS"]})
    assert orthologs.read(frame).species == ("mouse", "human")


def test_mgi_groups(tmp_path):
    table = orthologs.read(write(tmp_path, MGI), species=("human", "mouse"))
    assert table.report.layout == "mgi"
    assert table.report.n_incomplete == 1
    assert len(table) == 4
    table = orthologs.one_to_one(table)
    assert pairs_of(table) == {("GCG", "Gcg"), ("SST", "Sst")}
    # two species only: they need not be named
    assert orthologs.read(write(tmp_path, MGI)).species == ("human", "mouse")
    ids = orthologs.one_to_one(write(tmp_path, MGI), ("human", "mouse"), gene="id")
    assert ("2641", "14526") in pairs_of(ids)


def test_hcop_support_decides(tmp_path):
    path = write(tmp_path, HCOP)
    loose = orthologs.one_to_one(path)
    assert loose.report.layout == "hcop"
    assert loose.report.n_incomplete == 1
    assert pairs_of(loose) == {("GCG", "Gcg")}
    strict = orthologs.one_to_one(path, min_score=2)
    assert pairs_of(strict) == {("GCG", "Gcg"), ("SST", "Sst")}
    assert list(strict.pairs["score"]) == [3, 2]


def test_hcop_of_all_species(tmp_path):
    path = write(tmp_path, HCOP_ALL)
    assert pairs_of(orthologs.read(path, ("zebrafish", "human"))) == {
        ("gcga", "GCG"),
        ("gcgb", "GCG"),
        ("sst1.1", "SST"),
    }
    with pytest.raises(InputError, match="many species"):
        orthologs.read(path)
    with pytest.raises(InputError, match="pairs human with one of the taxa"):
        orthologs.read(path, ("human", "pig"))


def test_homologene_without_header_and_three_species(tmp_path):
    path = write(tmp_path, HOMOLOGENE)
    table = orthologs.one_to_one(path, ("human", "mouse"))
    assert table.report.layout == "homologene"
    assert pairs_of(table) == {("ACADM", "Acadm"), ("ACADVL", "Acadvl")}
    three = orthologs.one_to_one(path, ("mouse", "zebrafish", "human"))
    assert pairs_of(three) == {("Acadm", "acadm", "ACADM")}
    with pytest.raises(InputError, match="Say which to pair"):
        orthologs.read(path)
    with pytest.raises(InputError, match="'pig' is not in the table"):
        orthologs.read(path, ("human", "pig"))


def test_columns_named_by_species_with_lists_of_genes():
    frame = pd.DataFrame(
        {
            "Type": ["hs_mm_1T1", "hs_mm_1TN", "hs_mm_1T0"],
            "hs_ID": ["E1", "E2", "E3"],
            "hs_Symbol": ["GCG", "INS", "LONE"],
            "mm_ID": ["M1", "M2;M3", "NA"],
            "mm_Symbol": ["Gcg", "Ins1;Ins2", "NA"],
        }
    )
    table = orthologs.read(frame, species=("human", "mouse"))
    assert pairs_of(table) == {("GCG", "Gcg"), ("INS", "Ins1"), ("INS", "Ins2")}
    assert pairs_of(orthologs.one_to_one(table)) == {("GCG", "Gcg")}
    assert orthologs.read(frame, gene="id").species == ("hs", "mm")


def test_any_two_columns():
    frame = pd.DataFrame({"left": ["A", "B"], "right": ["a", "b"], "note": ["x", "y"]})
    table = orthologs.read(frame, columns={"sheep": "left", "goat": "right"})
    assert table.species == ("sheep", "goat")
    assert pairs_of(orthologs.read(frame[["left", "right"]])) == {("A", "a"), ("B", "b")}
    with pytest.raises(InputError, match="Name the columns yourself"):
        orthologs.read(frame)
    with pytest.raises(InputError, match="not found: \\['middle'\\]"):
        orthologs.read(frame, columns={"sheep": "left", "goat": "middle"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gene": "name"}, "must be 'symbol' or 'id'"),
        ({"species": "human"}, "at least two"),
        ({"species": ("human", "human")}, "at least two"),
        ({"species": ("human", "pig")}, "'pig' is not in the table"),
        ({"layout": "excel"}, "not known"),
        ({"layout": "mgi"}, "match 'mgi'"),
        ({"min_score": 2}, "score of at least 2"),
    ],
)
def test_mistakes_in_reading(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        orthologs.read(write(tmp_path, BIOMART), **options)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(InputError, match="no file"):
        orthologs.read(tmp_path / "absent.tsv")
    with pytest.raises(InputError, match="is empty"):
        orthologs.read(write(tmp_path, ""))
    with pytest.raises(InputError, match="no column of confidence"):
        orthologs.read(pd.DataFrame({"human": ["A"], "mouse": ["a"]}), min_score=1)
    with pytest.raises(InputError, match="none of the table's 1 rows"):
        orthologs.read(pd.DataFrame({"human": ["A"], "mouse": ["-"]}))
    with pytest.raises(InputError, match="is one-to-one"):
        orthologs.one_to_one(pd.DataFrame({"human": ["A", "A"], "mouse": ["a", "b"]}))
    table = orthologs.read(pd.DataFrame({"human": ["A"], "mouse": ["a"]}))
    with pytest.raises(InputError, match="belong to read"):
        orthologs.one_to_one(table, min_score=1)


@pytest.fixture
def table():
    genes = [f"GENE{i}" for i in range(100)]
    return orthologs.one_to_one(
        pd.DataFrame({"human": genes, "mouse": [gene.title() for gene in genes]})
    )


def test_match_reports_and_keeps_the_names_of_the_data(table):
    human = [f"GENE{i}" for i in range(60)] + ["OTHER"]
    mouse = [f"Gene{i}" for i in range(40, 100)]
    found = orthologs.match(table, {"mouse": mouse, "human": human})
    assert pairs_of(found) == {(f"GENE{i}", f"Gene{i}") for i in range(40, 60)}
    assert found.report.n_genes == {"human": 61, "mouse": 60}
    assert found.report.n_matched == {"human": 60, "mouse": 60}
    assert found.report.n_in_all == 20
    assert "human: 60 of 61 genes match" in str(found.report)
    either = orthologs.match(table, {"mouse": mouse, "human": human}, complete=False)
    assert len(either) == 100
    assert either.pairs["human"].isna().sum() == 40


def test_match_ignores_version_and_punctuation_where_that_is_unambiguous():
    table = orthologs.read(
        pd.DataFrame(
            {
                "human": ["ENSG00000000001", "HLA-A", "NKX2-1", "TWIN-A"],
                "mouse": ["ENSMUSG00000000001", "H2.K1", "A_b", "Twin"],
            }
        )
    )
    human = ["ENSG00000000001.7", "HLA.A", "NKX2-1", "TWIN.A", "TWIN_A"]
    mouse = ["ENSMUSG00000000001.12", "H2-K1", "A-b", "Twin"]
    found = orthologs.match(table, {"human": human, "mouse": mouse})
    assert pairs_of(found) == set(zip(human[:3], mouse[:3], strict=True))
    assert found.report.n_relaxed == {"human": 2, "mouse": 3}


@pytest.mark.parametrize("style", [str.upper, str.lower])
def test_match_ignores_case_where_a_species_misses_as_a_whole(style):
    genes = [f"Gene{i}" for i in range(50)]
    table = orthologs.read(
        pd.DataFrame({"human": ["DL1", "DL2", *genes], "fly": ["Dl", "dl", *genes]})
    )
    have = {"human": ["DL1", "DL2", *genes], "fly": [style("dl"), *map(style, genes)]}
    found = orthologs.match(table, have)
    # of Dl and dl nobody knows which one is meant, even by a name that one of them has
    upper = {(gene, style(gene)) for gene in genes}
    assert pairs_of(found) == (upper if style is str.upper else upper | {("DL2", "dl")})


def test_genes_that_differ_by_case_only_are_different_genes():
    more = [(f"H{i}", f"g{i}") for i in range(60)]
    human = ["MTOR", "TPH1", *(h for h, _ in more)]
    # torso and trachealess; Tor and Trh, the partners of MTOR and TPH1, were not measured
    fly = ["tor", "trh", *(f for _, f in more)]
    table = pd.DataFrame([("MTOR", "Tor"), ("TPH1", "Trh"), *more], columns=["human", "fly"])
    found = orthologs.match(orthologs.one_to_one(table), {"human": human, "fly": fly})
    assert pairs_of(found) == set(more)


def test_a_gene_that_the_table_names_is_not_taken_for_another():
    more = [(f"H{i}", f"Gene.{i}") for i in range(60)]
    # dl has two partners and so no pair, but is known all the same; so is the unpaired x_y
    rows = [("DLL1", "D.l"), ("RELA", "D-l"), ("RELB", "D-l"), ("X", "x.y"), (None, "x_y"), *more]
    table = orthologs.one_to_one(pd.DataFrame(rows, columns=["human", "fly"]))
    have = {"human": ["DLL1", "RELA", "RELB", "X", *(h for h, _ in more)], "fly": ["D-l", "x_y"]}
    have["fly"] += [f for _, f in more]
    found = orthologs.match(table, have)
    assert pairs_of(found) == set(more)
    # the same after choosing some species, as scSpecies does
    assert found.genes_of("fly").isin(["D-l", "x_y"]).sum() == 2


def test_a_gene_called_nan_is_a_gene():
    more = [(f"H{i}", f"g{i}") for i in range(9)]
    table = orthologs.read(pd.DataFrame([("TRPV5", "nan"), *more], columns=["human", "fly"]))
    have = {"human": ["TRPV5", *(h for h, _ in more)], "fly": ["nan", *(f for _, f in more)]}
    assert ("TRPV5", "nan") in pairs_of(orthologs.match(table, have))
    # written again and again it means that there is none
    rows = [("A", "nan"), ("B", "nan"), ("A", "a"), *more]
    table = orthologs.one_to_one(pd.DataFrame(rows, columns=["human", "fly"]))
    assert pairs_of(table) == {("A", "a"), *more}


def test_identifiers_that_pandas_made_floats_of():
    table = pd.DataFrame({"human": [3630.0, 2641.0, np.nan], "mouse": [16333, 14526, 7]})
    found = orthologs.match(
        orthologs.read(table), {"human": ["3630", "2641"], "mouse": [16333, 14526]}
    )
    assert pairs_of(found) == {("3630", "16333"), ("2641", "14526")}


def test_match_refuses_what_cannot_be_meant(table):
    human, mouse = table.pairs["human"], table.pairs["mouse"]
    with pytest.raises(InputError, match="look swapped"):
        orthologs.match(table, {"human": mouse, "mouse": human})
    with pytest.raises(InputError, match="the data are"):
        orthologs.match(table, {"human": human, "rat": mouse})
    with pytest.raises(InputError, match="human are not unique: 'GENE0' occur"):
        orthologs.match(table, {"human": ["GENE0", "GENE0"], "mouse": mouse})
    ids = [f"ENSG{i:011d}" for i in range(100)]
    with pytest.raises(InputError, match="gene='id'"):
        orthologs.match(table, {"human": ids, "mouse": mouse})
    with pytest.raises(InputError, match="no pair has all"):
        orthologs.match(table, {"human": human[:50], "mouse": mouse[50:]})


def test_match_warns_of_few(table, caplog):
    have = [f"GENE{i}" for i in range(10)] + [f"x{i}" for i in range(90)]
    orthologs.match(table, {"human": have, "mouse": table.pairs["mouse"]})
    assert "only 10 of 100 human genes" in caplog.text


def test_pair_puts_genes_side_by_side(table):
    rng = np.random.default_rng(0)
    order = rng.permutation(100)
    adatas = {
        "human": AnnData(np.arange(300.0).reshape(3, 100)),
        "mouse": AnnData(np.arange(200.0).reshape(2, 100)),
    }
    adatas["human"].var_names = table.pairs["human"]
    adatas["mouse"].var_names = table.pairs["mouse"].to_numpy()[order]
    paired = orthologs.pair(table, adatas)
    assert [a.var_names[7] for a in paired.values()] == ["GENE7", "Gene7"]
    assert paired["human"].X[1, 7] == 107
    assert paired["mouse"].X[0, 7] == np.flatnonzero(order == 7)[0]


def test_tables_are_reached_through_the_package():
    import scsystems as scs

    assert scs.data.orthologs.read is orthologs.read
    assert scs.data.orthologs is scs.data.orthologs
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = scs.data.absent
