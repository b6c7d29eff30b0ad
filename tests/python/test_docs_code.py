"""Code that the documentation shows is code, and calls what there is with arguments that there are."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import scsystems as scs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# what names of objects on the pages stand for
OBJECTS = {"model": scs.SysVI, "mapped": scs.SysVI, "again": scs.SysVI}


def blocks(page: Path) -> list[str]:
    text = page.read_text(encoding="utf8")
    found = re.findall(r"^( *)```(?:python|\{code-cell\} python)\n(.*?)^ *```", text, re.S | re.M)
    return [textwrap.dedent(code) for _, code in found]


def called(node: ast.expr, objects: dict) -> object | None:
    """The function of the package that an expression names."""
    if isinstance(node, ast.Name):
        return {"scs": scs, **objects}.get(node.id)
    if isinstance(node, ast.Attribute):
        base = called(node.value, objects)
        return None if base is None else getattr(base, node.attr)
    return None


def test_code_is_found():
    assert sum(len(blocks(page)) for page in PAGES) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_code_calls_what_there_is(page):
    objects = dict(OBJECTS)
    for code in blocks(page):
        tree = ast.parse(code)
        if "ScSpecies(" in code:
            objects["model"] = scs.ScSpecies
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or (function := called(node.func, objects)) is None:
                continue
            known = inspect.signature(function).parameters
            free = any(p.kind is p.VAR_KEYWORD for p in known.values())
            for keyword in node.keywords:
                assert free or keyword.arg is None or keyword.arg in known, ast.unparse(node)
