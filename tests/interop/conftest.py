"""Running the real R from Python tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def r_environment() -> dict[str, str]:
    """Environment of an R that uses this Python and leaves no bytecode in the tree."""
    if shutil.which("Rscript") is None:
        pytest.fail("Rscript is not on the PATH; these tests need R. `make setup` installs it.")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": "passive"}
    environment["RETICULATE_PYTHON"] = environment.get("RETICULATE_PYTHON", sys.executable)
    environment.pop("PYTHONPATH", None)
    return environment


@pytest.fixture(scope="session")
def run(r_environment):
    """Run a command, and fail with all it said."""

    def call(*command, cwd=None, env=None, timeout=600, check=True) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**r_environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    return call


@pytest.fixture(scope="session")
def library(run, tmp_path_factory) -> Path:
    """A library with this tree's R package, installed from ``rpkg/``."""
    path = tmp_path_factory.mktemp("library")
    run(
        "R",
        "CMD",
        "INSTALL",
        "--no-docs",
        "--no-byte-compile",
        f"--library={path}",
        ROOT / "rpkg",
        cwd=path,
    )
    return path


@pytest.fixture
def rscript(run, library, tmp_path):
    """Run R code with the package, from a file so that braces and quotes are safe."""

    def call(code: str, **kwargs) -> subprocess.CompletedProcess:
        script = tmp_path / "script.R"
        script.write_text(code)
        libraries = os.pathsep.join([str(library), *filter(None, [os.environ.get("R_LIBS")])])
        env = {"R_LIBS": libraries, "R_USER_DATA_DIR": str(tmp_path / "data")}
        return run("Rscript", script, cwd=tmp_path, env={**env, **kwargs.pop("env", {})}, **kwargs)

    return call
