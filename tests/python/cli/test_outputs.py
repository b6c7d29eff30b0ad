from pathlib import Path

import pytest
import torch

from scsystems.cli.outputs import Results, check_model
from scsystems.errors import ScsystemsError
from scsystems.files import write_folder


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model's."""
    write_folder(tmp_path / "model", "model", {"a": torch.zeros(1)}, {}, overwrite=False)
    return tmp_path / "model"


def test_a_folder_for_the_model(model, tmp_path, caplog):
    check_model(None, False, [])
    check_model(tmp_path / "a" / "new", False, [])
    check_model(model, True, [])
    assert not caplog.records
    with pytest.raises(ScsystemsError, match=r"--model: .* exists already"):
        check_model(model, False, [])
    with pytest.raises(ScsystemsError, match=r"where the cells are"):
        check_model(tmp_path / "out.zarr", True, [tmp_path / "in.zarr", tmp_path / "out.zarr"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for path in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(ScsystemsError, match=r"--model: .* is (not a model folder|a file)"):
            check_model(path, True, [])
    # the cells can be written without it
    check_model(Path("/proc/a/model"), False, [])
    assert "--model: /proc/a/model could not be written" in caplog.text
    assert {p.name for p in tmp_path.iterdir()} == {"model", "mine"}


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
    assert first == (
        f"{tmp_path / 'b.txt'} could not be written (not in {tmp_path}). "
        f"B0 will be found in {home / 'spare.csv.gz'} instead."
    )
    # nothing that is there is written over
    assert f"in {home / 'spare2.csv.gz'} instead" in second
    assert {p.name for p in home.iterdir()} == {"a.txt", "spare.csv.gz", "spare2.csv.gz"}


def test_results_that_go_nowhere_are_told_of(tmp_path):
    def fail(path):
        raise ValueError

    results = Results()
    assert not results.keep("A", tmp_path / "a", fail, tmp_path / "b")
    with pytest.raises(
        ScsystemsError, match=r"/a could not be written \(ValueError\). A could not"
    ):
        results.report()
