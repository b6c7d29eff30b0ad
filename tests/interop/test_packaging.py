"""The Python package as pip gets it: built from the tree, and again from its own sdist."""

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

BUILD = (sys.executable, "-m", "build", "--no-isolation", "--outdir")


@pytest.fixture(scope="module")
def built(run, root, tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(*BUILD, folder, root)
    return folder


def test_the_sdist_has_all_that_is_needed_and_no_more(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "tests/python/conftest.py"} <= names
    assert "python/scsystems/models/sysvi/model.py" in names
    assert not [name for name in names if name.startswith((".venv", "rpkg", "demo"))]


def test_the_wheel_has_every_module_and_its_marker(built, root):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (commands,) = (wheel.read(name) for name in names if name.endswith("entry_points.txt"))
    source = root / "python"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= names
    assert "scsystems/py.typed" in names
    assert not [name for name in names if name.endswith(".pyc")]
    assert b"scsystems = scsystems.cli:main" in commands
    assert "scsystems/cli/parser.py" in names


def test_pip_installs_it_from_the_sdist(built, run, tmp_path):
    (path,) = built.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--target", tmp_path / "site", path)
    code = "import scsystems; print(scsystems.__file__, scsystems.SysVI.__name__)"
    said = run(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": tmp_path / "site"})
    assert said.stdout.split() == [str(tmp_path / "site" / "scsystems" / "__init__.py"), "SysVI"]
