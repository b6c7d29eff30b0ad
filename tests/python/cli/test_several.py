"""Commands that torchrun has started; how several train together is in `tests/python/train/parallel`."""

import argparse

import numpy as np
import pytest
from anndata import read_h5ad

from scsystems.cli import several
from scsystems.cli.on_disk import stays_on_disk
from scsystems.data import size

BASE = ("--system", "system", "--all-genes", "--batch-size", 60)


@pytest.fixture
def two(monkeypatch):
    """As torchrun tells each of two processes."""
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("command", ["info", "evaluate", "scspecies"])
def test_commands_for_one_process_say_so(run, two, file, tmp_path, capsys, command):
    given = {
        "info": [file],
        "evaluate": [file, "--embeddings", "X_pca", "--system", "system"],
        "scspecies": [
            tmp_path / "out",
            *("--context", f"a={file}", "--targets", f"b={file}"),
            *("--labels", "cell_type", "--orthologs", file),
        ],
    }
    assert run(command, *given[command]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Process 1: Error: 'scsystems {command}' runs in one process, but 2")
    assert "without torchrun" in said
    assert "'scsystems sysvi'" in said


def test_one_process_of_torchrun_is_as_without(run, file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert several.prefix() == ""
    assert run("info", file) == 0


def test_processes_that_do_not_reach_one_another(run, two, file, tmp_path, monkeypatch, capsys):
    def refuse():
        raise RuntimeError("Connection refused\nand so on")

    monkeypatch.setattr(several, "_meet", refuse)
    assert run("sysvi", file, tmp_path / "out.h5ad", *BASE) == 1
    said = capsys.readouterr().err
    assert (
        "Process 1: Error: The 2 processes could not reach one another (Connection refused)" in said
    )
    assert not (tmp_path / "out.h5ad").exists()


def test_all_processes_of_a_machine_need_memory(file, monkeypatch):
    options = argparse.Namespace(
        input=file, species=[], on_disk=False, in_memory=False, store=None, raw=False, layer=None
    )
    needed = size.needed_memory(file)
    monkeypatch.setattr(size, "available_memory", lambda: needed + 1)
    assert not stays_on_disk(options)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert stays_on_disk(options)


def test_a_command_goes_on_from_its_checkpoint(run, file, tmp_path, capsys):
    whole, out, folder = tmp_path / "a.h5ad", tmp_path / "b.h5ad", tmp_path / "run"
    assert run("sysvi", file, whole, *BASE, "--epochs", 3) == 0
    kept = ("--checkpoint", folder, "--overwrite")
    assert run("sysvi", file, out, *BASE, "--epochs", 2, *kept) == 0
    capsys.readouterr()
    assert run("sysvi", file, out, *BASE, "--epochs", 3, *kept) == 0
    said = capsys.readouterr().err
    assert "Training goes on after epoch 2" in said
    assert "epoch 3 of 3" in said
    np.testing.assert_array_equal(read_h5ad(out).obsm["X_sysvi"], read_h5ad(whole).obsm["X_sysvi"])
    assert run("sysvi", file, out, *BASE, "--epochs", 3, "--seed", 1, *kept) == 1
    assert "Expected the same call as before; only --epochs may differ" in capsys.readouterr().err
