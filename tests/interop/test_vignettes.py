"""The vignettes build from real data, and hold pictures and no errors."""

import base64
import html
import os
import re
import shutil
import sys

import pytest

# name -> pictures, and words that only results can bring in
VIGNETTES = {
    "start-here": (3, [r"4028 samples", r"sysvi", r"model\.safetensors"]),
    "single-cell-experiment": (2, [r"SYSVI", r"altExpNames|sysvi\.expression", r"SST +\d\.\d"]),
    "scspecies": (8, [r"aligned with mouse", r"11,684 shared", r"scspecies_model"]),
    "query-mapping": (2, [r"sysvi_model", r"lacks \d+ of the model's", r"\[1\] TRUE"]),
}


@pytest.fixture(scope="module")
def built(root, run, library, tmp_path_factory):
    """Build vignettes into a folder."""
    folder = tmp_path_factory.mktemp("vignettes")
    libraries = os.pathsep.join([str(library), *filter(None, [os.environ.get("R_LIBS")])])

    def build(name: str) -> str:
        script = root / "scripts" / "vignettes.R"
        run("Rscript", script, folder, name, cwd=folder, env={"R_LIBS": libraries})
        return (folder / f"{name}.html").read_text()

    return build


def test_all_vignettes_are_looked_at(root):
    assert {path.stem for path in (root / "vignettes").glob("*.Rmd")} == set(VIGNETTES)


def test_the_pages_that_are_installed_are_of_the_sources_as_they_stand(root, run):
    run(sys.executable, root / "scripts" / "keep_vignettes.py", "--check")
    for name, (pictures, results) in VIGNETTES.items():
        page = (root / "rpkg" / "inst" / "doc" / f"{name}.html").read_text()
        assert len(page) < 200_000
        look_at(page, pictures, results)


def test_a_page_of_another_source_is_found(root, run, tmp_path):
    for part in ("scripts", "vignettes", "rpkg/inst/doc"):
        shutil.copytree(root / part, tmp_path / part, symlinks=True)
    check = (sys.executable, tmp_path / "scripts" / "keep_vignettes.py", "--check")
    source = tmp_path / "vignettes" / "query-mapping.Rmd"
    run(*check)
    source.write_text(source.read_text() + "\nMore.\n")
    done = run(*check, check=False)
    assert done.returncode == 1
    assert "query-mapping. Run: make vignettes" in done.stderr
    assert "start-here" not in done.stderr


def look_at(page, pictures, results):
    """A page has its pictures, what only results can bring in, and no error."""
    images = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == pictures
    # an empty plot of this size compresses to less
    assert all(len(base64.b64decode(image)) > 3000 for image in images)
    body = re.sub(r"<(script|style).*?</\1>|<[^>]+>", "", page, flags=re.S)
    text = html.unescape(body)
    assert not re.search(r"^#> (Error|Warning)", text, re.M)
    for pattern in results:
        assert re.search(pattern, text), pattern


def test_only_installing_is_not_run(root):
    for path in (root / "vignettes").glob("*.Rmd"):
        chunks = re.findall(r"^```\{r(.*?)\}\n(.*?)^```", path.read_text(), re.M | re.S)
        assert chunks
        kept = [code for options, code in chunks if re.search(r"eval *= *(F|nzchar)", options)]
        assert all("install" in code for code in kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", VIGNETTES)
def test_a_vignette_has_its_pictures_and_no_error(built, name):
    pictures, results = VIGNETTES[name]
    page = built(name)
    assert len(page) < 2_000_000
    look_at(page, pictures, results)
