"""Processes of torch.distributed for tests: each runs a script with a folder, its number and how many there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import scsystems

# of the package, which need not be the installed one
PACKAGE = Path(scsystems.__file__).parents[1]
# seconds after which processes are taken for hanging
LIMIT = 240


def environment() -> dict[str, str]:
    """Of processes that are started; each computes on one thread."""
    return os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}


def run_in_group(n: int, script: Path, folder: Path) -> None:
    """Run a script in ``n`` processes, which find one another by a file in the folder."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(number), str(n)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(n)
    ]
    try:
        said = [process.communicate(timeout=LIMIT)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    codes = [process.returncode for process in processes]
    assert codes == [0] * n, "\n".join(said)
