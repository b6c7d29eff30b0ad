"""What pyproject.toml states: lower bounds, which `make test-versions` installs, and extras."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader of TOML")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# what they install is not for users: for those who work on the package, or all of the others
NOT_USERS = {"bench", "dev", "docs", "all"}
# what Python calls what an index calls otherwise
MODULES = {"scikit-learn": "sklearn"}
# what the stated ones need themselves: anndata, scikit-learn, scanpy and torch
BROUGHT = {"h5py", "joblib", "umap", "typing_extensions"}
# for files of one kind only, with words of its own where it is missing
NAMED = {"pyarrow"}


@pytest.fixture(scope="module")
def versions():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import test_versions

        yield test_versions
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def module_of(requirement: str) -> str:
    name = requirement.partition(">=")[0]
    return MODULES.get(name, name.replace("-", "_"))


def imports() -> tuple[set[str], set[tuple[str, str]]]:
    """The packages that the source imports, and those that it asks for with the extra it names."""
    plain, asked = set(), set()
    for path in (ROOT / "python" / "scsystems").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Import):
                plain |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                plain.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require_extra":
                module, extra = (argument.value for argument in node.args)
                asked.add((extra, module.partition(".")[0]))
    return plain, asked


def test_every_extra_is_imported_and_every_import_stated():
    plain, asked = imports()
    stated = {
        (extra, module_of(line))
        for extra, lines in EXTRAS.items()
        if extra not in NOT_USERS
        for line in lines
    }
    # rpy2 is imported where R objects have been handed in, with words of its own
    assert ("r", "rpy2") in stated
    assert "rpy2" in plain
    assert asked == stated - {("r", "rpy2")}


def test_every_dependency_is_imported_and_every_import_stated():
    plain, _ = imports()
    needed = {module_of(line) for line in PROJECT["dependencies"]}
    optional = {module_of(line) for lines in EXTRAS.values() for line in lines}
    assert needed <= plain
    assert plain - needed - optional - BROUGHT - NAMED - sys.stdlib_module_names == {"scsystems"}


def test_the_oldest_versions_are_the_lower_bounds(versions):
    bounds = dict(line.split(";")[0].split("==") for line in versions.lower_bounds(PROJECT))
    assert bounds["numpy"] == "1.26"
    assert bounds["scanpy"] == "1.10"
    users = [
        line for name, lines in EXTRAS.items() if name not in NOT_USERS | {"r"} for line in lines
    ]
    assert len(bounds) == len({line.split(">=")[0] for line in PROJECT["dependencies"] + users})
    assert versions.at_lower_bound("a-b>=1.2,<2; python_version < '3.12'") == (
        "a-b==1.2; python_version < '3.12'"
    )
    with pytest.raises(ValueError, match="no lower bound"):
        versions.at_lower_bound("scipy<1.17")


def test_the_oldest_python_is_the_one_stated(versions):
    assert PROJECT["requires-python"] == f">={versions.PYTHONS['oldest']}"
