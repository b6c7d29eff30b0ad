"""However the R package is installed, its functions and its Python code are there."""

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

EXPORTS = {"RunSysVI", "sysvi_options", "install_scsystems", "scsystems_sitrep", "ModelPath"}

# documentation and byte code are not what is tested, and the tests load the package themselves
QUICK = ("--no-docs", "--no-byte-compile", "--no-test-load")

LOOK = """
library(scsystems, lib.loc = commandArgs(TRUE))
cat(getNamespaceExports("scsystems"), "\\n")
cat(system.file("python", "scsystems", "models", "sysvi", "model.py", package = "scsystems"), "\\n")
"""


def exports(run, library: Path, tmp_path: Path) -> set[str]:
    """The exported functions of the package in a library; checks that its Python code is there."""
    script = tmp_path / "look.R"
    script.write_text(LOOK)
    names, python = run("Rscript", script, library, cwd=tmp_path).stdout.splitlines()
    assert Path(python.strip()).is_file()
    return set(names.split())


def source_copy(root: Path, target: Path) -> Path:
    """A copy of the tracked tree as it stands, links kept as links, with some bytecode in it."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    archive = target / "tree.tar"
    with tarfile.open(archive, "w") as tar:
        for name in filter(None, tracked):
            if (root / name).is_symlink() or (root / name).exists():
                tar.add(root / name, arcname=f"scsystems/{name}", recursive=False)
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="fully_trusted")
    cache = target / "scsystems" / "python" / "scsystems" / "__pycache__"
    cache.mkdir()
    (cache / "errors.cpython-311.pyc").write_bytes(b"old")
    return target / "scsystems"


@pytest.fixture(scope="module")
def tree(root, tmp_path_factory) -> Path:
    return source_copy(root, tmp_path_factory.mktemp("tree"))


def install(run, what: Path, library: Path) -> None:
    library.mkdir()
    run("R", "CMD", "INSTALL", *QUICK, f"--library={library}", what, cwd=library)


@pytest.mark.parametrize("folder", [".", "rpkg"])
def test_installing_a_folder_gives_the_functions(run, tree, tmp_path, folder):
    library = tmp_path / "library"
    install(run, tree / folder, library)
    assert exports(run, library, tmp_path) >= EXPORTS
    assert not list(library.rglob("*.pyc"))


def test_installing_a_tarball_of_the_repository_gives_the_functions(run, tree, tmp_path):
    tarball = tmp_path / "scsystems.tar.gz"
    with tarfile.open(tarball, "w:gz") as tar:
        tar.add(tree, arcname="scsystems-main")
    library = tmp_path / "library"
    install(run, tarball, library)
    assert exports(run, library, tmp_path) >= EXPORTS


def test_installing_a_git_archive_gives_the_functions(run, root, tmp_path):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True)
    if head.returncode:
        pytest.fail("the tree is no git repository; `git archive` cannot be tested")
    tarball = tmp_path / "scsystems.tar.gz"
    run(
        "git",
        "archive",
        "--format=tar.gz",
        "--prefix=scsystems/",
        f"--output={tarball}",
        "HEAD",
        cwd=root,
    )
    library = tmp_path / "library"
    install(run, tarball, library)
    assert exports(run, library, tmp_path) >= EXPORTS


@pytest.mark.parametrize("folder", [".", "rpkg"])
def test_a_built_package_holds_the_files_not_links(run, tree, tmp_path, folder):
    run("R", "CMD", "build", "--no-build-vignettes", tree / folder, cwd=tmp_path)
    (built,) = tmp_path.glob("scsystems_*.tar.gz")
    with tarfile.open(built) as tar:
        members = tar.getmembers()
    names = {member.name for member in members}
    assert not [member.name for member in members if member.issym() or member.islnk()]
    assert {"scsystems/NAMESPACE", "scsystems/R/RunSysVI.R", "scsystems/man/RunSysVI.Rd"} <= names
    assert "scsystems/inst/python/scsystems/models/sysvi/model.py" in names
    assert "scsystems/vignettes/start-here.Rmd" in names
    assert not [name for name in names if name.endswith(".pyc") or "/rpkg/" in name]
    library = tmp_path / "library"
    install(run, built, library)
    assert exports(run, library, tmp_path) >= EXPORTS


def test_versions_and_requirements_are_the_same_in_both_languages(root, rscript):
    description = (root / "rpkg" / "DESCRIPTION").read_text()
    version = re.search(r"^Version: (\S+)$", description, re.M).group(1)
    namespace: dict[str, str] = {}
    exec((root / "python" / "scsystems" / "_version.py").read_text(), namespace)
    assert version == namespace["__version__"]
    project = (root / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", project, re.M | re.S).group(1)
    needed = re.findall(r'^\s*"(.+)",$', block, re.M)
    listed = rscript("cat(scsystems:::python_packages(), sep = '\\n')").stdout.split()
    assert sorted(listed) == sorted(needed)
