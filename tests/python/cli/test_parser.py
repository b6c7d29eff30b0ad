import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from scsystems import SysVI
from scsystems.cli import parser as cli
from scsystems.models.sysvi import presets


@pytest.fixture
def file(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def test_sysvi_writes_the_cells_with_their_embedding(file, tmp_path, capsys):
    out, model = tmp_path / "out.h5ad", tmp_path / "model"
    code = run(
        *("sysvi", file, out, "--system", "system", "--covariates", "donor", "--epochs", 2),
        *("--dims", 4, "--cycle-weight", 3, "--kl-weight", 0.5, "--batch-size", 64),
        *("--continuous", "score", "--model", model, "--threads", 2),
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "SysVI" in said.err  # the progress bar
    assert said.out == ""
    cells = read_h5ad(out)
    assert cells.obsm["X_sysvi"].shape == (240, 4)
    assert cells.n_vars == 40
    loaded = SysVI.load(model)
    assert loaded.schema.setup.continuous_covariate_keys == ("score",)
    assert loaded._train_facts["n_threads"] == 2
    prepared = cells[:, list(loaded.schema.genes)].copy()
    np.testing.assert_allclose(
        loaded.get_latent_representation(prepared), cells.obsm["X_sysvi"], atol=1e-5
    )

    assert run("info", out) == 0
    assert "X_sysvi (4)" in capsys.readouterr().out
    assert run("info", model) == 0
    assert "4 latent dimensions" in capsys.readouterr().out
    # existing results are safe
    assert run("sysvi", file, out, "--system", "system") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("sysvi", file, tmp_path / "new.h5ad", "--system", "system", "--model", model) == 1


def test_counts_are_prepared_and_quiet_is_quiet(file, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    options = ("--layer", "counts", "--epochs", 1, "--all-genes", "--name", "X_mine", "--quiet")
    assert run("sysvi", file, out, "--system", "system", *options) == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""
    cells = read_h5ad(out)
    assert list(cells.obsm) == ["X_mine"]
    assert (cells.X != read_h5ad(file).X).nnz == 0


def test_the_preset_decides_on_the_number_of_genes(file, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "GENES", {"default": 10, "paper": 40})

    def n_genes(name, *options):
        model = tmp_path / name
        arguments = ("sysvi", file, tmp_path / f"{name}.h5ad", "--system", "system", "--epochs", 1)
        assert run(*arguments, "--model", model, "--quiet", *options) == 0
        return len(SysVI.load(model).schema.genes)

    few = n_genes("default")
    assert few <= 10 < n_genes("paper", "--preset", "paper")
    assert n_genes("given", "--preset", "paper", "--genes", 10) == few


def test_evaluate_prints_and_writes_a_table(adata, tmp_path, capsys):
    rng = np.random.default_rng(0)
    adata.obsm["X_a"], adata.obsm["X_b"] = rng.normal(size=(2, adata.n_obs, 3))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    table = tmp_path / "table.csv"
    arguments = ("evaluate", tmp_path / "cells.h5ad", "--system", "system", "--labels", "cell_type")
    assert run(*arguments, "--metrics", "label_transfer", "--output", table) == 0
    said = capsys.readouterr()
    assert "label_transfer" in said.out
    assert set(pd.read_csv(table)["embedding"]) == {"X_a", "X_b"}
    assert run(*arguments, "--output", table) == 1
    assert run(*arguments, "--embeddings", "X_c") == 1
    assert "X_c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--system", "species"], "species"),
        (["--system", "system", "--covariates", "lane"], "lane"),
        (["--system", "system", "--layer", "log"], "layer='log'"),
        (["--system", "system", "--dims", "0"], "n_latent=0"),
        (["--system", "system", "--epochs", "0"], "max_epochs=0"),
        (["--system", "system", "--cycle-weight", "-1"], "z_distance_cycle_weight"),
        (["--system", "system", "--device", "tpu"], "accelerator='tpu'"),
    ],
)
def test_wrong_input_is_one_clear_message(file, tmp_path, capsys, arguments, message):
    assert run("sysvi", file, tmp_path / "out.h5ad", *arguments) == 1
    said = capsys.readouterr().err
    assert "Error: " in said
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.h5ad").exists()


def test_missing_files_and_embeddings(file, tmp_path, capsys):
    assert run("info", tmp_path / "none.h5ad") == 1
    assert "does not exist" in capsys.readouterr().err
    assert run("info", tmp_path) == 1
    assert run("evaluate", file, "--system", "system") == 1
    assert "has no embeddings" in capsys.readouterr().err
    assert run("sysvi", file, tmp_path / "out.rds", "--system", "system") == 1
    assert "same kind" in capsys.readouterr().err


def test_usage_help_and_version(capsys):
    assert run() == 2
    assert run("sysvi", "only-one.h5ad") == 2
    capsys.readouterr()
    for arguments in (("--help",), ("sysvi", "--help"), ("evaluate", "--help"), ("info", "--help")):
        assert run(*arguments) == 0
        said = capsys.readouterr().out
        assert len(said) > 200
        assert "{" not in said.replace("{default,paper}", "").replace(
            "{vamp,standard_normal,gmm}", ""
        )
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("scsystems ")


def test_exit_codes_of_interrupts_and_surprises(file, monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    def surprised(options):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(cli, "run_info", interrupted)
    assert run("info") == 130
    monkeypatch.setattr(cli, "run_info", surprised)
    assert run("info") == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oh" in said
    assert "--debug" in said
    assert "Traceback" not in said
    assert run("info", "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


def test_info_on_the_installation_as_a_process():
    done = subprocess.run(
        [sys.executable, "-m", "scsystems", "info"], capture_output=True, text=True, check=True
    )
    assert "torch" in done.stdout
    assert "extras:" in done.stdout
