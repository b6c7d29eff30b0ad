import os
from pathlib import Path

import pytest

from scsystems.cli.outputs import Results, why_not
from scsystems.errors import ScsystemsError


def test_why_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert why_not(tmp_path / "new") is None
    assert why_not(tmp_path / "a" / "b" / "new") is None
    assert why_not(Path("new")) is None
    assert "file" in why_not(tmp_path / "file" / "new")
    assert "/proc" in why_not(Path("/proc/a/new"))
    assert os.listdir(tmp_path) == ["file"]


def test_results_go_elsewhere_if_they_must(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)

    def write(path):
        if path.parent != home:
            raise OSError(f"not in {path.parent}")
        path.write_text("result")

    results = Results()
    assert results.keep("A", home / "a.txt", write, home / "spare.txt")
    results.report()
    for n in range(2):
        spare = tmp_path / "other" / "spare.csv.gz"
        assert not results.keep(f"B{n}", tmp_path / "b.txt", write, spare)
    with pytest.raises(ScsystemsError) as caught:
        results.report()
    assert isinstance(caught.value.__cause__, OSError)
    first, second = str(caught.value).splitlines()
    assert f"B0 could not be written to {tmp_path / 'b.txt'} (not in {tmp_path})" in first
    assert f"in {home / 'spare.csv.gz'} instead" in first
    # nothing that is there is written over
    assert f"in {home / 'spare2.csv.gz'} instead" in second
    assert {p.name for p in home.iterdir()} == {"a.txt", "spare.csv.gz", "spare2.csv.gz"}


def test_results_that_go_nowhere_are_told_of(tmp_path):
    def fail(path):
        raise ValueError

    results = Results()
    assert not results.keep("A", tmp_path / "a", fail, tmp_path / "b")
    with pytest.raises(ScsystemsError, match=r"A could not be written to .* \(ValueError\), nor"):
        results.report()
