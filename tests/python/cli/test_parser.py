"""The command line as a whole: help, exit codes, messages, and what stays afterwards."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from scsystems.cli import info
from scsystems.cli.parser import COMMANDS, build_parser
from scsystems.errors import InputError


def test_usage_help_and_version(run, capsys):
    assert run() == 2
    assert run("sysvi", "only-one.h5ad") == 2
    assert run("integrate") == 2
    capsys.readouterr()
    assert run("--help") == 0
    said = capsys.readouterr().out
    for code in ("0 done", "1 something", "2 the command", "3 unexpected", "130 interrupted"):
        assert code in said
    for command in COMMANDS:
        assert command.__name__.rsplit(".", 1)[1] in said
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("scsystems ")


@pytest.mark.parametrize("name", ["sysvi", "map", "scspecies", "tune", "evaluate", "info"])
def test_every_option_says_what_it_is(run, name, capsys):
    assert run(name, "--help") == 0
    assert len(capsys.readouterr().out) > 200
    command = build_parser()._subparsers._group_actions[0].choices[name]
    assert all(action.help for action in command._actions)


def test_exit_codes_of_errors(run, monkeypatch, capsys):
    def raises(error):
        def fail(options):
            raise error

        monkeypatch.setattr(info, "run", fail)

    for error, code, message in (
        (KeyboardInterrupt(), 130, "Interrupted."),
        (InputError("wrong"), 1, "Error: wrong"),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (ZeroDivisionError("oh"), 3, "ZeroDivisionError: oh"),
    ):
        raises(error)
        assert run("info") == code
        said = capsys.readouterr().err
        assert message in said
        assert "Traceback" not in said
    assert "--debug" in said
    assert run("info", "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_warnings_are_messages_without_a_place_in_the_code(run, monkeypatch, capsys):
    import warnings

    def warn(options):
        warnings.warn("mind the gap", stacklevel=1)
        warnings.warn("code must change", FutureWarning, stacklevel=1)

    monkeypatch.setattr(info, "run", warn)
    assert run("info") == 0
    assert capsys.readouterr().err == "Warning: mind the gap\n"


def test_logging_is_as_it_was(run, file):
    ours = logging.getLogger("scsystems")
    before = ours.level, list(ours.handlers)
    assert run("info", file, "--quiet") == 0
    assert (ours.level, list(ours.handlers)) == before


def process(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "scsystems", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_as_a_process_whose_reader_has_seen_enough(file):
    with process("info", file) as listing:
        listing.stdout.close()
        assert "Traceback" not in listing.stderr.read()
        assert listing.wait() == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_ctrl_c_ends_a_training_with_what_was_learned(file, tmp_path):
    out = tmp_path / "out.h5ad"
    options = ("--system", "system", "--epochs", "100000", "--all-genes")
    with process("sysvi", file, out, *options) as training:
        said = ""
        for line in training.stderr:
            said += line
            if line.startswith("Training on"):
                break
        time.sleep(1)
        training.send_signal(signal.SIGINT)
        said += training.stderr.read()
        assert training.wait(timeout=60) == 130, said
    assert "Traceback" not in said
    assert said.rstrip().endswith("Interrupted.")
    assert {p.name for p in tmp_path.iterdir()} == {"cells.h5ad", "out.h5ad"}
