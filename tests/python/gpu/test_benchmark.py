"""The one command that measures a GPU runs, on the CPU and with few cells."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

import scsystems as scs

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def command(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module("gpu")
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("gpu", "gpu_parts"):
            del sys.modules[name]


def run(command, out, *more):
    return command.main(["--out", str(out), "--device", "cpu", "--tiny", *more])


def test_all_parts_run(command, tmp_path, adata):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    report = run(command, tmp_path / "out", "--data", str(tmp_path / "cells.h5ad"), "--epochs", "1")
    parts = report["parts"]
    assert list(parts) == list(command.PARTS)
    assert not {name: p["error"] for name, p in parts.items() if "error" in p}
    # as on the CPU, where there is no other to compare with
    assert parts["agreement"]["rows"][0]["relative_difference"] == 0
    assert parts["agreement"]["rows"][0]["same_seed_same_embedding"]
    assert len(parts["throughput"]["rows"]) == 12
    assert [row["storage"] for row in parts["largest"]["rows"]] == [
        "auto",
        "sparse",
        "dense",
        "blocks",
    ]
    species = parts["scspecies"]["rows"][0]
    steps = [species[f"seconds_{step}"] for step in ("context", "neighbors", "target")]
    assert min(steps) > 0
    assert sum(steps) <= species["seconds_in_all"]
    assert 0 < species["seconds_candidate_search"] < species["seconds_target"]
    assert parts["first_step"]["rows"][0]["seconds_later_call"] > 0
    assert [row["device"] for row in parts["quality"]["rows"]] == ["cpu"] * 4
    assert json.loads((tmp_path / "out" / "gpu.json").read_text()) == report
    table = (tmp_path / "out" / "gpu.md").read_text()
    assert re.findall("^## (\\w+)", table, re.MULTILINE) == list(parts)
    assert scs.__version__ in table


def test_a_stop_loses_nothing_and_a_fault_ends_its_part_alone(command, tmp_path, monkeypatch):
    def stops(bench):
        """Stops."""
        raise KeyboardInterrupt

    def fails(bench):
        """Fails."""
        raise ValueError("of no use")

    monkeypatch.setattr(command, "PARTS", {"fails": fails, "stops": stops})
    options = command.arguments(["--out", str(tmp_path), "--device", "cpu", "--tiny"])
    options.parts = ["fails", "stops"]
    monkeypatch.setattr(command, "arguments", lambda given: options)
    with pytest.raises(KeyboardInterrupt):
        command.main()
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["parts"]["fails"]["error"].endswith("ValueError: of no use\n")
    assert "Failed: ValueError: of no use" in (tmp_path / "gpu.md").read_text()


def test_parts_for_which_no_time_is_left(command, tmp_path):
    report = run(command, tmp_path, "--minutes", "0", "--parts", "atlas")
    assert report["parts"]["atlas"]["rows"] == [{"not_run": "no time left"}]


def test_without_a_gpu_it_says_so(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path)])
    assert "sees no NVIDIA GPU" in capsys.readouterr().err
