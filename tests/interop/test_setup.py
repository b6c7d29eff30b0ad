"""What `make setup` says where it cannot install, run with stand-ins for the machine's commands."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = (
    "bash",
    "env",
    "dirname",
    "sed",
    "cat",
    "sha256sum",
    "cut",
    "find",
    "sort",
    "xargs",
    "head",
    "rm",
)


@pytest.fixture
def machine(tmp_path, root):
    """A tree with the set-up script, and a PATH with few commands; returns a way to run it."""
    tree = tmp_path / "tree"
    for folder in ("scripts", "requirements"):
        shutil.copytree(root / folder, tree / folder)
    shutil.copy(root / "pyproject.toml", tree)
    commands = tmp_path / "bin"
    commands.mkdir()
    for tool in TOOLS:
        (commands / tool).symlink_to(shutil.which(tool))

    def command(name: str, text: str) -> None:
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)

    def setup(*parts: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [tree / "scripts" / "setup.sh", *parts],
            env={"PATH": str(commands), "HOME": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    setup.command = command
    setup.tree = tree
    command("python3", f'exec {sys.executable} "$@"')
    command("pandoc", ":")
    return setup


@pytest.mark.parametrize("with_apt", [True, False])
def test_without_apt_or_root_one_message_says_what_to_install(machine, with_apt):
    machine.command("id", "echo 1000" if with_apt else "echo 0")
    if with_apt:
        machine.command("apt-get", "echo apt was called; exit 1")
    done = machine()
    assert done.returncode == 1
    assert "apt was called" not in done.stdout + done.stderr
    for part in (
        "missing here: R",
        "Seurat",
        "SingleCellExperiment",
        "Python 3.11",
        "r-cran-seurat",
    ):
        assert part in done.stderr
    assert not (machine.tree / ".venv").exists()


def test_missing_r_packages_are_named(machine):
    machine.command("id", "echo 1000")
    machine.command("Rscript", 'echo "Seurat patchwork "')
    done = machine("system")
    assert done.returncode == 1
    assert "missing here: Seurat patchwork" in done.stderr


def test_all_that_is_missing_is_named_on_one_line(machine):
    machine.command("id", "echo 1000")
    (machine.tree.parent / "bin" / "pandoc").unlink()
    assert "missing here: pandoc R\n" in machine("system").stderr


def test_nothing_is_done_where_all_is_there(machine):
    machine.command("Rscript", ":")
    done = machine("system")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unusable_python_is_refused_with_the_way_out(machine):
    machine.command("old", "exit 1")
    old = Path(machine.tree.parent, "bin", "old")
    done = machine("python", PYTHON=str(old))
    assert done.returncode == 1
    assert "no usable Python" in done.stderr
    assert "PYTHON=/path/to/python3 make setup" in done.stderr
    assert not (machine.tree / ".venv").exists()
