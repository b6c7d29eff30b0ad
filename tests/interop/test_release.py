"""One version, one owner, workflows that can be read, and recipes that ask for what pyproject.toml does."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml


@pytest.fixture
def scripts(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))


def test_one_version_everywhere_and_another_is_found(root, scripts, tmp_path):
    import release

    assert release.wrong() == []
    assert release.wrong("v9.9.9") != []
    for name in release.PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    release.write("7.8.9", tmp_path)
    assert set(release.versions(tmp_path).values()) == {"7.8.9"}
    text = (tmp_path / "rpkg/DESCRIPTION").read_text()
    (tmp_path / "rpkg/DESCRIPTION").write_text(text.replace("7.8.9", "7.8.8"))
    assert len(release.wrong(root=tmp_path)) == 1


def test_the_owner_is_all_that_is_left_to_fill_in(root, scripts, tmp_path):
    import owner

    assert owner.check() == []
    clone = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", "--shared", root, clone], check=True)
    owner.write("some-lab", clone)
    assert owner.owner(clone) == "some-lab"
    assert owner.check(clone) == []
    left = {
        str(path.relative_to(clone))
        for path, text in owner.texts(clone)
        if owner.PLACEHOLDER in owner.named(text)
    }
    assert left == set()
    # installed vignettes are of their sources as much as before
    kept = [
        subprocess.run(
            [sys.executable, folder / "scripts" / "keep_vignettes.py", "--check"],
            capture_output=True,
            check=False,
        )
        for folder in (root, clone)
    ]
    assert kept[0].stderr == kept[1].stderr
    readme = clone / "README.md"
    foreign = "/".join(["https://github.com", "other", "scsystems"])
    readme.write_text("\n".join([readme.read_text(), foreign, "TO" + "DO", ""]))
    assert len(owner.check(clone)) == 2


def test_workflows_and_templates_can_be_read(root):
    workflows = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert {path.stem for path in workflows} == {"test", "docs", "release"}
    targets = set(re.findall(r"^([a-z0-9-]+):", (root / "Makefile").read_text(), re.M))
    for path in workflows:
        content = yaml.safe_load(path.read_text())
        assert content["jobs"]
        for job in content["jobs"].values():
            for step in job["steps"]:
                for target in re.findall(r"\bmake ([a-z0-9-]+)", step.get("run", "")):
                    if "install" not in step["run"].split("make")[0]:
                        assert target in targets
    for path in (root / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(path.read_text())
    for name in ("bug", "question"):
        text = (root / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text()
        assert "scsystems_sitrep()" in text
    json.loads((root / ".zenodo.json").read_text())
    json.loads((root / "packaging" / "r-universe" / "packages.json").read_text())


def test_the_conda_recipe_asks_for_what_pip_does(root):
    listed = re.search(
        r"^dependencies = \[(.*?)^\]", (root / "pyproject.toml").read_text(), re.S | re.M
    )
    found = re.findall(r'^\s*"([^";]+)', listed[1], re.M)
    # one recipe for every Python: of a package with a line for each the first, the narrower one
    by_name = {re.match(r"[\w-]+", need)[0]: need for need in reversed(found)}
    wanted = {need.replace("torch", "pytorch") for need in by_name.values()}
    recipe = (root / "packaging" / "conda" / "meta.yaml").read_text()
    run = recipe.split("  run:")[1].split("test:")[0]
    given = {line.strip("- ").replace(" ", "") for line in run.strip().splitlines()}
    assert given - {"python>=3.10"} == wanted
