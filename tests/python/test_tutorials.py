"""The code of the tutorials runs from top to bottom, with few cells and epochs."""

import re
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
TUTORIALS = sorted(p for p in FOLDER.glob("*.md") if "{code-cell}" in p.read_text(encoding="utf8"))
# what trains longer than a test needs
EPOCHS = re.compile(r"(?<=max_epochs=)\d+")
# every second or third cell
STEP = re.compile(r"\[::\d\]")


def cells(page: Path) -> list[str]:
    text = page.read_text(encoding="utf8")
    return re.findall(r"^```\{code-cell\} python\n(.*?)^```", text, re.S | re.M)


def test_tutorials_are_found():
    assert len(TUTORIALS) >= 6
    # a training without a number of epochs would take minutes
    for page in TUTORIALS:
        code = "\n".join(cells(page))
        trained = len(re.findall(r"\.train\(|tune\.grid\(", code))
        assert len(EPOCHS.findall(code)) == trained, page.name


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_tutorial_runs(page, tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": page.stem}
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.use("agg")
        for number, code in enumerate(cells(page)):
            code = EPOCHS.sub(lambda found: str(min(int(found[0]), 2)), code)
            code = STEP.sub("[::5]", code)
            exec(compile(code, f"{page.name}, cell {number + 1}", "exec"), names)
        matplotlib.pyplot.close("all")
