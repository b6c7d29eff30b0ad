"""The prose of the documentation as plain text, by page: pages of R, Markdown, docstrings."""

import inspect
import re
from pathlib import Path
from types import ModuleType

import scsystems

ROOT = Path(__file__).parents[2]


def sentences(text: str) -> list[str]:
    """Sentences and table cells, with the signs of markup gone."""
    text = re.sub(r"[`*]+|\\%", lambda m: "%" if m[0] == "\\%" else "", text)
    text = re.sub(r"\s+", " ", text)
    return [s.strip() for s in re.split(r"(?<=[.!?])\s+(?=[A-Z(~])|\s\|\s|\0", text) if s.strip()]


def of_rd(path: Path) -> str:
    """A page of R without usage and examples; an argument begins with its name and a colon."""
    text = re.sub(r"(?m)^%.*$", "", path.read_text(encoding="utf8"))
    for part in ("usage", "examples"):
        start = text.find("\\" + part + "{")
        if start >= 0:
            text = text[:start] + text[_closing(text, start + len(part) + 1) :]
    text = re.sub(r"\\item\{([^}]*)\}\{", "\0\\1: ", text)
    text = re.sub(r"\\(title|description|details|value|section|references|seealso)\b", "\0", text)
    for _ in range(4):  # nested
        text = re.sub(r"\\\w+(?:\[[^]]*\])?\{([^{}]*)\}", r"\1", text)
    return re.sub(r"[{}]", " ", text)


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if text[at] == "}" and depth == 0:
            return at + 1
    raise AssertionError("braces do not match")


def of_markdown(path: Path) -> str:
    """A page of Markdown without code and head."""
    text = path.read_text(encoding="utf8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"```.*?```", "\0", text, flags=re.S)
    return re.sub(r"\n(?=#|- |\* |\||\d+\. )|\n\n", "\0", text)


def usage(path: Path, function: str) -> dict[str, str]:
    """Arguments and defaults, as they are written, of a function in the usage of a page of R."""
    text = path.read_text(encoding="utf8")
    start = text.index("\\usage{")
    text = text[start : _closing(text, start + 6)]
    method = re.match(r"(\w+)\.(\w+)$", function)
    head = rf"\\method\{{{method[1]}\}}\{{{method[2]}\}}\(" if method else rf"\b{function}\("
    inner = text[re.search(head, text).end() :]
    found, depth, word = [], 0, ""
    for sign in inner:
        if sign == ")" and depth == 0:
            break
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            found.append(word)
            word = ""
        else:
            word += sign
    pairs = [entry.strip().partition(" = ") for entry in [*found, word]]
    return {name: value for name, _, value in pairs}


def of_python() -> dict[str, str]:
    """Docstrings of what is public, and of its public methods."""
    found = {}
    for name, thing in _public(scsystems, "scs"):
        text = inspect.getdoc(thing)
        if text:
            found[name] = re.sub(r"\n(?=\S)", "\0", text)
    return found


def _public(place, prefix: str):
    for name in getattr(place, "__all__", None) or [n for n in vars(place) if n[0] != "_"]:
        thing = getattr(place, name)
        if isinstance(thing, ModuleType):
            if thing.__name__.startswith("scsystems."):
                yield from _public(thing, f"{prefix}.{name}")
        elif callable(thing) and (getattr(thing, "__module__", None) or "").startswith("scsystems"):
            yield f"{prefix}.{name}", thing
            if inspect.isclass(thing):
                for method, f in inspect.getmembers(thing, inspect.isroutine):
                    if method[0] != "_" and (getattr(f, "__module__", None) or "").startswith(
                        "scsystems"
                    ):
                        yield f"{prefix}.{name}.{method}", f


def pages() -> dict[str, list[str]]:
    """All pages: ``RunSysVI.Rd``, ``README.md``, ``scs.SysVI.train``, ..."""
    found = {p.name: of_rd(p) for p in sorted((ROOT / "rpkg" / "man").glob("*.Rd"))}
    # the other pages in docs/ are made from tables, see test_pages.py
    prose = [ROOT / "README.md", ROOT / "docs" / "differences.md", ROOT / "docs" / "scspecies.md"]
    for path in [*prose, *sorted((ROOT / "vignettes").glob("*.Rmd"))]:
        found[path.name] = of_markdown(path)
    return {name: sentences(text) for name, text in (found | of_python()).items()}
