import subprocess
import sys

import pytest
import torch
from anndata import AnnData

from scsystems import SysVI


def test_a_file_of_cells(run, adata, tmp_path, capsys):
    adata.obsm["X_pca"] = adata.X[:, :4].toarray()
    adata.raw = adata.copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert run("info", tmp_path / "a.h5ad") == 0
    said = capsys.readouterr().out
    assert "AnnData: 240 cells, 40 genes" in said
    assert "system: category, 2 values (human, mouse)" in said
    assert "layers: counts" in said
    assert "X_pca (4)" in said
    assert ".raw: 40 genes" in said


# what anndata 0.11.0 says of a file that has no genes
@pytest.mark.filterwarnings("ignore:Transforming to str index")
def test_a_file_without_expression(run, adata, tmp_path, capsys):
    AnnData(obs=adata.obs).write_h5ad(tmp_path / "a.h5ad")
    assert run("info", tmp_path / "a.h5ad") == 0
    said = capsys.readouterr().out
    assert "240 cells, 0 genes" in said
    assert "embeddings: none" in said


def test_a_model(run, adata, tmp_path, capsys):
    SysVI.setup_anndata(adata, batch_key="system")
    model = SysVI(adata, n_latent=4)
    model.train(max_epochs=1, verbose=False)
    model.save(tmp_path / "model")
    assert run("info", tmp_path / "model") == 0
    said = capsys.readouterr().out
    assert "4 latent dimensions" in said
    assert "systems human, mouse" in said


@pytest.mark.parametrize("path", ["none.h5ad", ".", "cells.txt"])
def test_what_is_neither(run, tmp_path, capsys, path):
    (tmp_path / "cells.txt").write_text("a")
    assert run("info", tmp_path / path) == 1
    said = capsys.readouterr().err
    assert "does not exist" in said or "is not known" in said


def test_the_installation_as_a_process():
    done = subprocess.run(
        [sys.executable, "-m", "scsystems", "info"], capture_output=True, text=True, check=True
    )
    assert "torch" in done.stdout
    assert "extras:" in done.stdout


def test_gpus_are_named(run, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")
    assert run("info") == 0
    assert "GPUs: GPU 0, GPU 1" in capsys.readouterr().out
