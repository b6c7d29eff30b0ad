"""Processes of torch.distributed for tests, started by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import scsystems

# of the package, which need not be the installed one
PACKAGE = Path(scsystems.__file__).parents[1]
# seconds after which processes are taken for hanging
LIMIT = 600


def torchrun(n: int, *command: str | Path, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script, or ``-m`` a module, in ``n`` processes, and again where one of them fails."""
    options = ["--standalone", "--nproc-per-node", n, "--max-restarts", restarts]
    # whatever ends this, the processes go with the one that has started them
    return subprocess.run(
        list(map(str, [sys.executable, "-m", "torch.distributed.run", *options, *command])),
        env=os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
