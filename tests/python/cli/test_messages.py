"""What is wrong with files is said in the words of the command line, in one message."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scsystems as scs
from scsystems.data.writing import write_anndata

# what nobody can write, or call, in a shell
PYTHON = re.compile(
    r"\badata\b|\bobs\b|\bobsm\b|\bvar_names|\bobs_names|\bscanpy\b|\bnumpy\b|\bsc\.|\bscs\.|scsystems\.\w"
    r"|_keys?\b|_kwargs\b|\b\w+=|\bNone\b|\bTrue\b|\bFalse\b|\w\(\)|\bAnnData\(|dictionary"
    r"|Traceback|Unexpected|\bn_\w+|\bmax_\w+|\bmin_\w+|\bbatch_\w+"
)


def check(said: str, *expected: str) -> None:
    lines = [line for line in said.splitlines() if "UserWarning" not in line]
    assert sum(line.startswith("Error: ") for line in lines) == 1, said
    message = said[said.index("Error: ") :]
    # what other programs say of a damaged file is theirs
    message = re.sub(r"could not be read \(.*\)\. ", "could not be read. ", message, flags=re.S)
    assert not PYTHON.findall(re.sub(r"/\S+", "", message)), message
    for part in expected:
        assert part in message


# --- sysvi -----------------------------------------------------------------------------------


def counts(adata):
    adata.X = adata.layers.pop("counts")


def with_values(value):
    def change(adata):
        adata.X = adata.X.toarray()
        adata.X[3, 4] = value

    return change


def with_column(**columns):
    def change(adata):
        for name, values in columns.items():
            adata.obs[name] = values(adata) if callable(values) else values

    return change


def no_counts_in_a_cell(adata):
    counts(adata)
    adata.X = adata.X.toarray()
    adata.X[7] = 0


def mixed(adata):
    x, raw = adata.X.toarray(), adata.layers["counts"].toarray()
    human = (adata.obs["system"] == "human").to_numpy()
    x[human] = raw[human]
    adata.X = x


def genes_apart(adata):
    counts(adata)
    x = adata.X.toarray()
    human = (adata.obs["system"] == "human").to_numpy()
    x[human, :20] = 0
    x[~human, 20:] = 0
    adata.X = sparse.csr_matrix(x)


def twice(axis):
    def change(adata):
        names = [f"n{i // 2}" for i in range(adata.shape[axis == "var"])]
        setattr(adata, f"{axis}_names", names)

    return change


def few(adata):
    adata._inplace_subset_obs(np.arange(4))


def missing(adata):
    return adata.obs["donor"].astype(object).where(np.arange(adata.n_obs) > 2)


WRONG = {
    "one system": (with_column(system="human"), [], ["--system", "one"]),
    "system missing": (with_column(system=missing), [], ["'system' (--system)", "missing for 3"]),
    "covariate missing": (with_column(donor=missing), ["--covariates", "donor"], ["--covariates"]),
    "single cell": (
        with_column(lane=lambda a: ["x"] + ["y"] * (a.n_obs - 1)),
        ["--covariates", "lane"],
        ["'lane' (--covariates)", "single cell"],
    ),
    "words for numbers": (lambda a: None, ["--continuous", "donor"], ["--continuous", "numbers"]),
    "infinite": (with_column(score=np.inf), ["--continuous", "score"], ["--continuous"]),
    "NaN": (with_values(np.nan), [], ["X holds NaN"]),
    "negative": (with_values(-1), [], ["X holds negative values", "cell 3, gene 4"]),
    "mixed": (mixed, [], ["'human' in column 'system'", "--layer"]),
    "no expression": (lambda a: setattr(a, "X", None), [], ["X is empty", "--layer"]),
    "cell without counts": (no_counts_in_a_cell, [], ["cell7"]),
    "genes apart": (genes_apart, [], ["--min-cells", "scsystems scspecies"]),
    "too many cells asked": (counts, ["--min-cells", "500"], ["--min-cells 500"]),
    "too many cells asked of logs": (lambda a: None, ["--min-cells", "500"], ["--min-cells 500"]),
    "few genes": (lambda a: None, ["--genes", "1"], ["--genes"]),
    "genes twice": (twice("var"), [], ["'n0'", "name of its own"]),
    "cells twice": (twice("obs"), [], ["'n0'", "name of its own"]),
    "few cells": (few, [], []),
    "no raw": (lambda a: None, ["--raw"], ["--raw", "no .raw", "--layer"]),
    "no layer": (lambda a: None, ["--layer", "umis"], ["--layer umis", "counts"]),
    "assay": (lambda a: None, ["--assay", "RNA"], ["--assay RNA"]),
    "device": (lambda a: None, ["--device", "tpu"], ["--device tpu"]),
    "no such device": (lambda a: None, ["--device", "cuda:99"], ["--device cuda:99"]),
    "name": (lambda a: None, ["--name", "a/b"], ["'a/b'"]),
}


@pytest.mark.filterwarnings("ignore:.*names are not unique")
@pytest.mark.parametrize("case", WRONG)
def test_sysvi(run, adata, tmp_path, capsys, monkeypatch, case):
    change, options, expected = WRONG[case]
    change(adata)
    adata.write_h5ad(tmp_path / "in.h5ad")
    monkeypatch.setattr(scs.SysVI, "train", lambda *_, **__: pytest.fail("trained"))
    arguments = ("--system", "system", *options)
    assert run("sysvi", tmp_path / "in.h5ad", tmp_path / "out.h5ad", *arguments) == 1
    check(capsys.readouterr().err, *expected)
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5ad"]


# --- scspecies -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def species():
    return scs.datasets.simulated_by_species(n_cells=200, n_genes=200, n_types=3, own_types=False)


def nothing(cells, pairs):
    return pairs


def of_cells(change):
    def changed(cells, pairs):
        change(cells)
        return pairs

    return changed


def no_counts(cells):
    cells["species2"].X = cells["species2"].X.log1p()


def halves(cells):
    cells["species2"].X = cells["species2"].X * 0.5 + 0.1 * (cells["species2"].X > 3)


def column_missing(name, key):
    def change(cells):
        obs = cells[name].obs
        obs[key] = obs[key].astype(object).where(np.arange(len(obs)) > 2)

    return change


def other_genes(cells):
    cells["species2"].var_names = [f"x{i}" for i in range(cells["species2"].n_vars)]


def genes_twice(cells):
    cells["species1"].var_names = [f"x{i // 2}" for i in range(cells["species1"].n_vars)]


def identifiers(cells):
    for adata in cells.values():
        adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]


WRONG_SPECIES = {
    "no counts": (of_cells(no_counts), [], ["species2: X", "raw counts", "--layer"]),
    "fractions": (of_cells(halves), [], ["species2: X", "raw counts"]),
    "labels missing": (of_cells(column_missing("species1", "cell_type")), [], ["--labels"]),
    "batch missing": (
        of_cells(column_missing("species2", "donor")),
        ["--batch", "donor"],
        ["species2.h5ad", "--batch"],
    ),
    "many neighbors": (nothing, ["--neighbors", "5000"], ["--neighbors 5000"]),
    "other genes": (of_cells(other_genes), [], ["species2"]),
    "genes twice": (of_cells(genes_twice), [], ["species1", "name of its own"]),
    "identifiers": (of_cells(identifiers), [], ["identifiers", "--genes id"]),
    "identifiers asked for": (nothing, ["--genes", "id"], []),
    "empty table": (lambda c, p: p.iloc[:0], [], []),
    "table of others": (lambda c, p: p.set_axis(["rat", "pig"], axis=1), [], []),
    "table of text": (lambda c, p: pd.DataFrame({"a": ["b"]}), [], []),
    "few pairs": (lambda c, p: p.iloc[:5], [], []),
    "many to many": (
        lambda c, p: pd.concat([p, p.assign(species2=p["species2"][::-1].values)]),
        [],
        [],
    ),
}


@pytest.mark.filterwarnings("ignore:.*names are not unique")
@pytest.mark.parametrize("case", WRONG_SPECIES)
def test_scspecies(run, species, tmp_path, capsys, monkeypatch, case):
    change, options, expected = WRONG_SPECIES[case]
    cells = {name: adata.copy() for name, adata in species[0].items()}
    table = change(cells, species[1].pairs.copy())
    files = []
    for name, adata in cells.items():
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        files.append(f"{name}={tmp_path}/{name}.h5ad")
    table.to_csv(tmp_path / "pairs.tsv", sep="\t", index=False)
    monkeypatch.setattr(scs.ScSpecies, "train", lambda *_, **__: pytest.fail("trained"))
    code = run(
        *("scspecies", tmp_path / "out", "--context", files[0], "--targets", files[1]),
        *("--labels", "cell_type", "--orthologs", tmp_path / "pairs.tsv", *options),
    )
    said = capsys.readouterr().err
    assert code == 1, said
    check(said, *expected)
    assert not (tmp_path / "out").exists()


# --- evaluate --------------------------------------------------------------------------------


WRONG_EVALUATION = {
    "one system": (with_column(system="human"), [], ["column 'system'"]),
    "system missing": (with_column(system=missing), [], ["--system"]),
    "batch missing": (with_column(donor=missing), ["--batch", "donor"], ["--batch"]),
    "one label": (with_column(cell_type="a"), ["--labels", "cell_type"], ["column 'cell_type'"]),
    "few cells": (few, [], ["4 cells"]),
    "embedding of NaN": (
        lambda a: a.obsm.update(X_nan=np.full((a.n_obs, 2), np.nan)),
        ["--embeddings", "X_nan"],
        ["embedding 'X_nan'", "NaN"],
    ),
    "counts": (counts, ["--metrics", "pcr"], ["X looks like raw counts", "--layer"]),
    "no expression": (lambda a: setattr(a, "X", None), ["--metrics", "pcr"], ["X is empty"]),
}


@pytest.mark.parametrize("case", WRONG_EVALUATION)
def test_evaluate(run, adata, tmp_path, capsys, case):
    change, options, expected = WRONG_EVALUATION[case]
    adata.obsm["X_e"] = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    change(adata)
    adata.write_h5ad(tmp_path / "in.h5ad")
    assert run("evaluate", tmp_path / "in.h5ad", "--system", "system", *options) == 1
    check(capsys.readouterr().err, *expected)


# --- files -----------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def newer(path):
    import h5py

    with h5py.File(path, "r+") as file:
        file["X"].attrs["encoding-type"] = "csr_matrix_of_tomorrow"


def other_hdf5(path):
    import h5py

    with h5py.File(path, "w") as file:
        file["a"] = 1


DAMAGED = {
    "empty": (lambda p: p.write_bytes(b""), "could not be read"),
    "text": (lambda p: p.write_text("gene,cell\n"), "could not be read"),
    "cut": (cut, "could not be read"),
    "newer": (newer, "newer anndata"),
    "other": (other_hdf5, "could not be read"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "could not be read"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("command", ["sysvi", "evaluate", "info"])
def test_files_that_cannot_be_read(run, file, tmp_path, capsys, case, command):
    change, expected = DAMAGED[case]
    change(file)
    more = {"sysvi": [tmp_path / "out.h5ad", "--system", "s"], "evaluate": ["--system", "s"]}
    assert run(command, file, *more.get(command, [])) == 1
    check(capsys.readouterr().err, str(file), expected)


@pytest.mark.filterwarnings("ignore:.*nullable")
def test_text_that_may_be_missing_is_read_and_written(run, adata, tmp_path):
    import anndata

    if not hasattr(anndata.settings, "allow_write_nullable_strings"):
        pytest.skip("this anndata does not write it")
    adata.obs["note"] = pd.array(["a", None] * 120, dtype="string")
    adata.obs["system"] = adata.obs["system"].astype("string")
    adata.obs.index = adata.obs.index.astype("string")
    adata.var.index = adata.var.index.astype("string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        write_anndata(adata, tmp_path / "in.h5ad")
    arguments = ("--system", "system", "--epochs", 1, "--quiet")
    assert run("sysvi", tmp_path / "in.h5ad", tmp_path / "out.h5ad", *arguments) == 0
    before, after = (anndata.read_h5ad(tmp_path / f"{n}.h5ad") for n in ("in", "out"))
    pd.testing.assert_frame_equal(before.obs, after.obs)
    assert "X_sysvi" in after.obsm
