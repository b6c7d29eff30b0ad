"""Run the Python tests on the newest releases of what the package needs, and on the oldest it allows.

    python scripts/test_versions.py [newest] [oldest] [--arguments ARGUMENTS OF PYTEST]

newest  Python 3.13 and the newest release of everything
oldest  Python 3.10 and exactly the lower bounds that pyproject.toml states

Each has an environment of its own, in build/versions/, which is made the first time and again when
pyproject.toml changes (some gigabytes: torch). The Pythons in between are those of CI (make test).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "versions"
PYTHONS = {"newest": "3.13", "oldest": "3.10"}
# what the tests of tests/python use; R's packages and those to compare with are not among them
EXTRAS = ("metrics", "plots", "relevance", "atlas")
TOOLS = ("pytest>=8", "leidenalg")
# old releases of one package use what newer ones of another call out of date; what this package
# says itself (UserWarning), and what is wrong in numbers (RuntimeWarning), stays an error
WARNINGS = {
    "newest": (),
    "oldest": ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"),
}


def lower_bounds(project: dict) -> list[str]:
    """Every requirement of a ``[project]`` table as ``name==version``, at its lower bound."""
    extras = project["optional-dependencies"]
    stated = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    return [at_lower_bound(line) for line in stated]


def at_lower_bound(requirement: str) -> str:
    needed, separator, marker = requirement.partition(";")
    found = re.fullmatch(r"([\w-]+)>=([\w.]+)(,.*)?", needed.strip())
    if found is None:
        raise ValueError(f"{requirement!r} states no lower bound (name>=version)")
    return f"{found[1]}=={found[2]}{separator}{marker}"


def find_python(version: str) -> Path:
    """A Python of a version: on the path, or of pyenv."""
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    # pyenv's own python3.x on the path answers only when that version is chosen
    for python in [*sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True), on_path]:
        if python and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return Path(python)
    sys.exit(f"Python {version} is needed here: on the path as python{version}, or in pyenv.")


def environment(name: str) -> Path:
    """The Python of an environment, which is made if it is not there as it should be."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf8")
    bounds = "\n".join(lower_bounds(tomllib.loads(text)["project"])) if name == "oldest" else ""
    folder = FOLDER / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256((text + Path(__file__).read_text(encoding="utf8")).encode()).hexdigest()
    done = folder / "done"
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"Making {folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([find_python(PYTHONS[name]), "-m", "venv", folder], check=True)
    constraints = folder / "constraints.txt"
    constraints.write_text(bounds)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    here = f"{ROOT}[{','.join(EXTRAS)}]"
    subprocess.run([*install, "-c", constraints, *TOOLS, "--editable", here], check=True)
    done.write_text(wanted)
    return python


def test(name: str, arguments: list[str]) -> int:
    python = environment(name)
    quiet = [part for kind in WARNINGS[name] for part in ("-W", f"ignore::{kind}")]
    command = [python, "-m", "pytest", *(arguments or ["tests/python"]), "-p", "no:cacheprovider"]
    subprocess.run([python, "-m", "scsystems", "info"], cwd=ROOT, check=True)
    # compiled code of one environment is none for the other
    own = {"NUMBA_CACHE_DIR": str(FOLDER / f"numba-{name}"), "PYTHONPATH": str(ROOT / "python")}
    return subprocess.run([*command, *quiet], cwd=ROOT, env=os.environ | own).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="newest | oldest")
    parser.add_argument("--arguments", nargs=argparse.REMAINDER, default=[], help="of pytest")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PYTHONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = [name for name in options.names or PYTHONS if test(name, options.arguments)]
    if failed:
        print(f"Failed with the {' and the '.join(failed)} versions", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
