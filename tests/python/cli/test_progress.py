import io
import logging

import numpy as np
import pytest
from anndata import read_h5ad

from scsystems.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def said(file, tmp_path, run, monkeypatch):
    """What a training says on a terminal, or into a file."""

    def said(stream, *options, epochs=30):
        monkeypatch.setattr("sys.stderr", stream)
        out = tmp_path / "out.h5ad"
        arguments = ("--system", "system", "--all-genes", "--overwrite", "--epochs", epochs)
        assert run("sysvi", file, out, *arguments, *options) == 0
        return stream.getvalue(), read_h5ad(out).obsm["X_sysvi"]

    return said


def test_a_bar_on_a_terminal_and_lines_in_a_file(said):
    watched, first = said(Terminal())
    assert "30/30" in watched
    assert "epoch 3 of 30" not in watched
    logged, second = said(io.StringIO())
    assert "\r" not in logged
    assert [line for line in logged.splitlines() if line.startswith("epoch")] == [
        line for line in logged.splitlines() if line.startswith("epoch ") and "of 30, loss " in line
    ]
    assert sum(line.startswith("epoch ") for line in logged.splitlines()) == 10
    # how progress is shown changes nothing else
    np.testing.assert_array_equal(first, second)


def test_few_epochs_are_all_told(said):
    logged, _ = said(io.StringIO(), epochs=2)
    assert sum(line.startswith("epoch ") for line in logged.splitlines()) == 2


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_quiet_says_nothing(said, stream):
    assert said(stream, "--quiet")[0] == ""


def test_messages_go_above_the_bar():
    from tqdm import tqdm

    stream = Terminal()
    handler = progress.Messages(stream)
    with tqdm(total=2, file=stream) as bar:
        bar.update()
        handler.emit(logging.makeLogRecord({"msg": "hello"}))
    # on a line of its own
    assert "hello\n" in stream.getvalue()
    before = stream.getvalue().split("hello\n")[0]
    assert before.endswith(("\r", "\x1b[A"))
