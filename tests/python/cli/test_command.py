import itertools
from pathlib import Path

import pytest

from scsystems.cli import options
from scsystems.cli.command import LARGEST_SEED, Command, path, weight, whole
from scsystems.data.containers import SUFFIXES


@pytest.fixture
def command():
    command = Command(prog="test", is_file=options.is_cells)
    command.add_argument("input", type=path)
    command.add_argument("output", type=path)
    command.add_argument("--system", required=True)
    command.add_argument("--covariates", nargs="+", action="extend", default=[])
    command.add_argument("--continuous", nargs="+", action="extend", default=[])
    command.add_argument_group("more").add_argument("--weight", type=weight)
    command.add_argument("--quiet", action="store_true")
    return command


PARTS = ["in.h5ad out.H5AD", "--system s", "--covariates a b", "--continuous c", "--quiet"]


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)), ids=" ".join)
def test_files_and_options_come_in_any_order(command, order):
    found = vars(command.parse_args(" ".join(order).split()))
    assert found == {
        "input": Path("in.h5ad"),
        "output": Path("out.H5AD"),
        "system": "s",
        "covariates": ["a", "b"],
        "continuous": ["c"],
        "weight": None,
        "quiet": True,
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # the files apart, after single values, after short names, after =
        ("in.h5ad --covariates a out.rds --system s", {"covariates": ["a"]}),
        ("--system s --weight -0 in.h5ad out.rds", {"weight": 0.0}),
        ("--cov a in.h5ad out.rds --system=s", {"covariates": ["a"], "system": "s"}),
        # what looks like a file is a value where no file is missing
        ("in.h5ad out.rds --system s --covariates a b.rds", {"covariates": ["a", "b.rds"]}),
        # an option named twice takes all
        ("in.h5ad out.rds --system s --covariates a --covariates b", {"covariates": ["a", "b"]}),
        # names that begin with a dash
        ("--covariates a --system s -- -in.h5ad out.rds", {"input": Path("-in.h5ad")}),
    ],
)
def test_what_belongs_to_whom(command, line, expected):
    found = vars(command.parse_args(line.split()))
    assert {name: found[name] for name in expected} == expected
    assert found["output"] == Path("out.rds")


@pytest.mark.parametrize(
    "line",
    ["--system s --covariates a b", "--system s --covariates in.h5ad out.h5ad", "--colour in out"],
)
def test_missing_files_are_an_error_of_usage(command, line, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.parse_args(line.split())
    assert "required: " in capsys.readouterr().err


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_cells_are_known_by_their_ending(suffix):
    assert options.SUFFIXES == SUFFIXES
    assert options.is_cells(f"a{suffix}")
    assert options.is_cells(f"a{suffix.upper()}")
    assert options.is_cells(f"folder/a{suffix}/")
    assert not options.is_cells(suffix[1:])


@pytest.mark.parametrize(
    ("read", "good", "bad", "message"),
    [
        (whole(1), {"3": 3, " 7 ": 7}, ["0", "-1", "1.5", "x", "", "1e3"], "at least 1"),
        (whole(0, LARGEST_SEED), {"0": 0, str(2**32 - 1): 2**32 - 1}, [str(2**32)], "from 0 to"),
        (weight, {"0": 0, "2.5": 2.5, "1e-3": 1e-3}, ["-1", "nan", "inf", "x"], "at least 0"),
        (path, {"a/b": Path("a/b")}, ["", "~nobody-of-this-name/a"], "Expected a path"),
    ],
)
def test_values_are_read_or_refused_in_words(read, good, bad, message, capsys):
    command = Command(prog="test")
    command.add_argument("--value", type=read)
    for text, value in good.items():
        assert command.parse_args([f"--value={text}"]).value == value
    for text in bad:
        with pytest.raises(SystemExit, match="2"):
            command.parse_args([f"--value={text}"])
        said = capsys.readouterr().err
        assert f"argument --value: {text!r}" in said
        assert message in said


def test_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path("~/a") == tmp_path / "a"
    assert path("a/~") == Path("a/~")
