import re

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

from scsystems import metrics
from scsystems.cli.parser import build_parser


@pytest.fixture
def embedded(adata, tmp_path):
    """A file with two embeddings."""
    rng = np.random.default_rng(0)
    adata.obsm["X_a"], adata.obsm["X_b"] = rng.normal(size=(2, adata.n_obs, 3))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


BASE = ("--system", "system", "--labels", "cell_type", "--metrics", "label_transfer")


def test_a_table_is_printed_and_written(run, embedded, tmp_path, capsys):
    table = tmp_path / "table.csv"
    assert run("evaluate", embedded, *BASE, "--output", table) == 0
    said = capsys.readouterr()
    assert "label_transfer" in said.out
    found = pd.read_csv(table)
    assert set(found["embedding"]) == {"X_a", "X_b"}
    expected = metrics.evaluate(
        read_h5ad(embedded),
        ["X_a", "X_b"],
        "system",
        "cell_type",
        metrics=["label_transfer"],
        verbose=False,
    )
    np.testing.assert_allclose(found["value"], expected["value"])
    assert run("evaluate", embedded, *BASE, "--output", table) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("evaluate", embedded, *BASE, "--output", table, "--overwrite") == 0


@pytest.fixture
def asked(run, embedded, monkeypatch):
    """Run with options; gives what `scsystems.metrics.evaluate` is asked for."""
    calls = []
    monkeypatch.setattr(
        metrics,
        "evaluate",
        lambda adata, embeddings, system, labels, batch, names, **rest: (
            calls.append(locals() | rest) or 1 / 0
        ),
    )

    def asked(*options):
        calls.clear()
        assert run("evaluate", embedded, "--system", "system", *options) == 3
        return calls[0]

    return asked


FELT = {
    "--embeddings": (["X_b"], lambda c: c["embeddings"], ["X_b"]),
    "--system": (["donor"], lambda c: c["system"], "donor"),
    "--labels": (["cell_type"], lambda c: c["labels"], "cell_type"),
    "--batch": (["donor"], lambda c: c["batch"], "donor"),
    "--metrics": (["ilisi", "pcr"], lambda c: c["names"], ["ilisi", "pcr"]),
    "--layer": (["counts"], lambda c: c["adata"].X.max() % 1, 0),
    "--seed": ([3], lambda c: c["seed"], 3),
}
# what other tests look at
ELSEWHERE = {
    "--help",
    "--raw",  # test_log_normalized_values_in_raw_are_found
    "--output",  # test_a_table_is_printed_and_written
    "--overwrite",  # test_a_table_is_printed_and_written
    "--assay",  # tests/interop/test_rds.py
    "--quiet",  # test_progress.py
    "--debug",  # test_parser.py
}


@pytest.mark.parametrize("option", FELT)
def test_every_option_is_felt(asked, option):
    values, seen, expected = FELT[option]
    before, after = seen(asked()), seen(asked(option, *values))
    assert before != after
    assert after == expected


def test_no_option_is_forgotten_here():
    command = build_parser()._subparsers._group_actions[0].choices["evaluate"]
    options = {
        next(s for s in a.option_strings if s.startswith("--"))
        for a in command._actions
        if a.option_strings
    }
    assert options == set(FELT) | ELSEWHERE


@pytest.mark.parametrize("options", [(), ("--raw",)])
def test_log_normalized_values_in_raw_are_found(asked, embedded, options):
    cells = read_h5ad(embedded)
    scaled = AnnData(cells.X.toarray() - 1, cells.obs, cells.var, obsm=dict(cells.obsm))
    scaled.raw = cells
    scaled.write_h5ad(embedded)
    found = asked(*options)["adata"]
    assert (found.X != cells.X).nnz == 0
    assert list(found.obsm) == ["X_a", "X_b"]


def test_what_is_no_embedding_is_left_out_unless_it_is_named(asked, run, embedded, capsys):
    cells = read_h5ad(embedded)
    cells.obsm["X_bad"] = np.full((240, 2), np.nan)
    cells.obsm["spots"] = pd.DataFrame({"a": ["x"] * 240}, index=cells.obs_names)
    cells.write_h5ad(embedded)
    assert asked()["embeddings"] == ["X_a", "X_b"]
    assert "X_bad is left out" in capsys.readouterr().err
    assert asked("--embeddings", "X_bad")["embeddings"] == ["X_bad"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embeddings", "X_c"], "--embeddings X_c: .* Found: X_a, X_b"),
        (["--system", "species"], "--system species is not a column"),
        (["--labels", "type"], "--labels type is not a column"),
        (["--batch", "lane"], "--batch lane is not a column"),
        (["--metrics", "best"], "--metrics best: expected some of ilisi"),
        (["--metrics", "nmi"], "--metrics nmi: cell types .* --labels"),
        (["--layer", "log"], "--layer log"),
        (["--output", "{folder}"], "is a folder"),
        (["--output", "{folder}/no/a.csv"], "there is no such folder"),
        (["--output", "/proc/a.csv"], "--output: /proc could not be written"),
        (["--output", "{file}", "--overwrite"], "is a file of cells"),
        (["--output", "{folder}/b.H5AD"], "is a file of cells"),
    ],
)
def test_wrong_input_is_one_clear_message(
    run, embedded, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr(metrics, "evaluate", lambda *_, **__: pytest.fail("computed"))
    arguments = [a.format(folder=tmp_path, file=embedded) for a in arguments]
    system = [] if "--system" in arguments else ["--system", "system"]
    assert run("evaluate", embedded, *system, *arguments) == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["cells.h5ad"]


def test_a_file_without_embeddings(run, file, capsys):
    assert run("evaluate", file, "--system", "system") == 1
    assert "has no embeddings" in capsys.readouterr().err


def test_options_come_before_the_file(run, embedded, capsys):
    assert run("evaluate", *BASE, "--embeddings", "X_a", "X_b", embedded) == 0
    assert run("evaluate", "--embeddings", "X_a", embedded, *BASE) == 0
