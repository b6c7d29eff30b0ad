"""Make the pinned virtual environment of every comparator.

    python benchmarks/environments.py --root ~/scsystems-bench            # all of them
    python benchmarks/environments.py --root ~/scsystems-bench scvi harmony

A comparator that cannot be installed is recorded with pip's last lines in
``<root>/failed.json``; the benchmark then lists it with that reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

# torch first and pinned: an unpinned one may bring gigabytes of CUDA libraries
PINS = {
    # 1.5.1 needs Python 3.12
    "scvi": [
        "torch==2.13.0", "scvi-tools==1.4.2;python_version<'3.12'",
        "scvi-tools==1.5.1;python_version>='3.12'", "scipy<1.17",
    ],
    "harmony": ["harmonypy==2.1.0", "pandas<3", "scipy<1.17"],
    "scanorama": ["scanorama==1.7.4", "numpy<2", "pandas<3", "scipy<1.14"],
    "glue": ["torch==2.13.0", "scglue==0.4.1", "scanpy==1.11.5", "anndata==0.12.19"],
    # scarches 0.6.1 does not say so, but a newer anndata has not what it imports; without the
    # others pinned, too, pip does not find versions that go together
    "scarches": [
        "torch==2.13.0", "scarches==0.6.1", "scvi-tools==1.4.2", "anndata==0.11.4", "scanpy==1.10.4",
        "scHPL==1.0.3", "muon==0.1.9", "gdown==6.5.1", "scipy<1.17",
    ],
    # of newer scikit-learns it gives an argument that is gone
    "celltypist": ["celltypist==1.7.1", "scikit-learn<1.8"],
}  # fmt: skip


def python_of(root: Path, name: str) -> Path:
    """Interpreter of an environment."""
    return root / name / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def make(root: Path, name: str) -> str | None:
    """Make one environment; return what went wrong, or None."""
    python = python_of(root, name)
    if not python.exists():
        venv.create(root / name, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", *PINS[name]]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else "\n".join(done.stderr.strip().splitlines()[-5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of {list(PINS)}; default: all")
    parser.add_argument("--root", type=Path, required=True, help="folder of the environments")
    options = parser.parse_args()
    unknown = set(options.names) - set(PINS)
    if unknown:
        parser.error(f"unknown {sorted(unknown)}; expected some of {list(PINS)}")
    options.root.mkdir(parents=True, exist_ok=True)
    record = options.root / "failed.json"
    failed = json.loads(record.read_text()) if record.exists() else {}
    for name in options.names or PINS:
        print(f"{name}: {' '.join(PINS[name])}", flush=True)
        reason = make(options.root, name)
        failed.pop(name, None)
        if reason:
            failed[name] = reason
            print(f"  failed: {reason}")
        record.write_text(json.dumps(failed, indent=1))


if __name__ == "__main__":
    main()
