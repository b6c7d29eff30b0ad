"""A file per species: ``scsystems sysvi --input human=h.h5ad mouse=m.h5ad out.h5ad``."""

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from scsystems.data import datasets
from scsystems.data.joint import join_species

BASE = ("--epochs", 1, "--dims", 3, "--min-cells", 5)


@pytest.fixture
def species(tmp_path, monkeypatch):
    """A folder, which is the present one, with two species' cells and their orthologs."""
    parts, pairs = datasets.simulated_by_species(
        n_cells=120, n_genes=600, n_types=2, depth=400, seed=1
    )
    for name, adata in zip(("one", "two"), parts.values(), strict=True):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    monkeypatch.chdir(tmp_path)
    pairs = list(zip(*(pairs.pairs[name] for name in parts), strict=True))
    # one gene has two partners
    pairs = [*pairs[:260], (pairs[0][0], pairs[260][1])]
    (tmp_path / "pairs.tsv").write_text(
        "one\ttwo\n" + "".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf8"
    )
    return tmp_path


@pytest.fixture
def table(species):
    return "pairs.tsv"


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("orthology", ["one2one", "groups"])
def test_one_file_with_all_cells_comes_out(run, species, table, order, orthology, capsys):
    inputs = ("--input", "one=one.h5ad", "two=two.h5ad")
    more = ("--orthologs", table, "--orthology", orthology, "--covariates", "donor")
    lines = [
        (*inputs, "out.h5ad", *more, *BASE),
        ("out.h5ad", *more, *inputs, *BASE),
        (*BASE, *more, *inputs, "out.h5ad"),
    ]
    assert run("sysvi", *lines[order]) == 0
    assert f"{259 if orthology == 'one2one' else 260} " in capsys.readouterr().err
    out = read_h5ad("out.h5ad")
    parts = {n: read_h5ad(f"{n}.h5ad") for n in ("one", "two")}
    joint = join_species(parts, orthologs=table, orthology=orthology)
    assert list(out.obs_names) == list(joint.obs_names)
    assert list(out.obs["system"]) == list(joint.obs["system"])
    np.testing.assert_array_equal(out.X.toarray(), joint.X.toarray())
    assert out.obsm["X_sysvi"].shape == (out.n_obs, 3)
    assert out.uns["orthologs"]["report"] == joint.uns["orthologs"]["report"]


def test_names_of_the_column_and_abbreviations(run, species, table):
    arguments = (
        "--inp",
        "one=one.h5ad",
        "--input",
        "two=two.h5ad",
        "--orthologs",
        "two=pairs.tsv",
    )
    assert run("sysvi", "out.h5ad", *arguments, "--system", "kind", *BASE) == 0
    assert set(read_h5ad("out.h5ad").obs["kind"]) == {"one", "two"}


WRONG = {
    "one species": (("one=one.h5ad",), (), "--input has one species (one)"),
    "no name": (("one.h5ad", "two=two.h5ad"), (), "--input has 'one.h5ad'. Expected NAME=FILE"),
    "a name twice": (("one=one.h5ad", "one=two.h5ad"), (), "--input names 'one' twice"),
    "no file": (("one=one.h5ad", "two=none.h5ad"), (), "none.h5ad does not exist"),
    "no table": (("one=one.h5ad", "two=two.h5ad"), (), "--orthologs; that of human and mouse"),
    "no such table": (
        ("one=one.h5ad", "two=two.h5ad"),
        ("--orthologs", "none.tsv"),
        "--orthologs: there is no file none.tsv",
    ),
    "tables of others": (
        ("one=one.h5ad", "two=two.h5ad"),
        ("--orthologs", "pig=pairs.tsv"),
        "every species but the first: two",
    ),
    "swapped": (
        ("one=two.h5ad", "two=one.h5ad"),
        ("--orthologs", "pairs.tsv"),
        "look swapped",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_clear_message(run, species, table, case, capsys):
    inputs, more, message = WRONG[case]
    assert run("sysvi", "out.h5ad", "--input", *inputs, *more, *BASE) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("Error: ") == 1
    assert not (species / "out.h5ad").exists()


def test_what_does_not_go_together(run, species, table, capsys):
    both = ("--input", "one=one.h5ad", "two=two.h5ad", "--orthologs", table, *BASE)
    assert run("sysvi", "out.rds", *both) == 1
    assert "written as an AnnData" in capsys.readouterr().err
    assert run("sysvi", "one.h5ad", "out.h5ad", "--system", "donor", "--orthologs", table) == 1
    assert "--input SPECIES=FILE" in capsys.readouterr().err
    # a file as it was given before, too
    assert run("sysvi", "one.h5ad", "out.h5ad", *both) == 2
    assert "unrecognized arguments: out.h5ad" in capsys.readouterr().err
    assert run("sysvi", "out.h5ad", "--system", "donor") == 2
    assert "required: output" in capsys.readouterr().err
    assert run("sysvi", "one.h5ad", "out.h5ad") == 2
    assert "required: --system" in capsys.readouterr().err


def test_the_embedding_alone(run, species, table):
    inputs = ("--input", "one=one.h5ad", "two=two.h5ad", "--orthologs", table)
    assert run("sysvi", *inputs, "out.h5ad", *BASE) == 0
    assert run("sysvi", *inputs, "z.csv", *BASE, "--embedding-only") == 0
    found, whole = pd.read_csv("z.csv", index_col=0), read_h5ad("out.h5ad")
    assert list(found.index) == list(whole.obs_names)
    np.testing.assert_allclose(found, whole.obsm["X_sysvi"], rtol=1e-5)


def test_species_are_put_together_in_memory(run, species, table, capsys):
    inputs = ("--input", "one=one.h5ad", "two=two.h5ad", "--orthologs", table)
    assert run("sysvi", *inputs, "out.h5ad", *BASE, "--on-disk") == 1
    assert "species with a file each are put together in memory" in capsys.readouterr().err
