"""Would the tests notice? Drop or swap an argument somewhere in the package and run them.

    python scripts/mutants.py --n 40 --seed 1 --jobs 2

A mutant is a copy of the package in which one call has lost an argument that it can do without
(a keyword argument, or the last positional one), or has two neighboring positional arguments
swapped. The tests nearest to it run first, then those in ``tests/python/felt/``, then those of the
rooms that use it, and the rest of the suite last, until one fails; ``--far`` says how many of
these stages to run. Mutants that survive are shown as a difference: each is an option that
nothing feels, or a change that changes nothing (the person who reads it decides).
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "scsystems"
TESTS = ROOT / "tests" / "python"
# rooms whose tests use a room, the nearest first
USERS = {
    "data": ("models", "r", "cli", "tune"),
    "nn": ("models", "train"),
    "train": ("models",),
    "tools": ("models", "r"),
    "models": ("r", "cli", "tune"),
    "metrics": ("tune", "cli"),
    "plots": ("tune",),
}
# tests that feel every argument of what a room is seen through
FELT = {
    "data": ("sysvi", "scspecies", "datasets_and_tools"),
    "nn": ("sysvi", "scspecies"),
    "train": ("sysvi", "scspecies"),
    "models": ("sysvi", "scspecies"),
    "tools": ("datasets_and_tools", "scspecies"),
    "tune": ("datasets_and_tools",),
    "metrics": ("metrics",),
    "plots": ("plots",),
}
# what such calls say is for people: no test has to notice each word
SPOKEN = {"print", "warn", "warning", "info", "debug", "format", "join"}
LIMIT_S = 1200


@dataclass(frozen=True)
class Mutant:
    """One changed call: the file, its new text, and what was done where."""

    file: Path
    text: str
    what: str

    def difference(self) -> str:
        before = self.file.read_text(encoding="utf8").splitlines()
        name = str(self.file.relative_to(ROOT))
        lines = difflib.unified_diff(before, self.text.splitlines(), name, name, n=1, lineterm="")
        return "\n".join(lines)


def mutants_of(file: Path) -> list[Mutant]:
    """All mutants of a file."""
    text = file.read_text(encoding="utf8")
    found = []
    for call in (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in SPOKEN or name.endswith(("Error", "Warning")):
            continue
        place = f"line {call.lineno}: {name}()"
        plain = [a for a in call.args if not isinstance(a, ast.Starred)]
        for keyword in call.keywords:
            if keyword.arg is not None:
                new = cut(text, keyword, call)
                found.append(Mutant(file, new, f"{place} without {keyword.arg}"))
        if len(plain) == len(call.args) >= 2:
            new = cut(text, call.args[-1], call)
            found.append(Mutant(file, new, f"{place} without its last argument"))
            for a, b in zip(call.args, call.args[1:], strict=False):
                new = swapped(text, a, b)
                if new != text:
                    found.append(Mutant(file, new, f"{place} with arguments swapped"))
    return [m for m in found if parses(m.text)]


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def span(text: str, node) -> tuple[int, int]:
    """Where a node begins and ends in a text, as offsets of characters."""
    lines = text.splitlines(keepends=True)

    def offset(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        return before + len(lines[line - 1].encode()[:column].decode())

    return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)


def cut(text: str, node, call: ast.Call) -> str:
    """The text without an argument and the comma beside it."""
    start, stop = span(text, node)
    after = text[stop:].lstrip()
    if after.startswith(","):
        stop = len(text) - len(after) + 1
    else:
        head = text[:start].rstrip()
        start = len(head) - 1 if head.endswith(",") else start
    return text[:start] + text[stop:]


def swapped(text: str, first, second) -> str:
    (a, b), (c, d) = span(text, first), span(text, second)
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


def stages(file: Path) -> list[list[str]]:
    """Tests to run for a file, stage after stage; what has run is not run again."""
    inside = file.relative_to(PACKAGE)
    room = inside.parts[0].removesuffix(".py")
    felt = [f"test_{name}.py" for name in FELT.get(room, ())]
    # a model's own parts are not in the other model
    own = [f"test_{part}.py" for part in inside.parts if f"test_{part}.py" in felt]
    order = [
        [TESTS / inside.parent / f"test_{inside.name}"],
        [TESTS / inside.parent] if inside.parent != Path(".") else [],
        [TESTS / "felt" / name for name in own or felt],
        [TESTS / name for name in USERS.get(room, ())],
    ]
    found = [[str(p.relative_to(ROOT)) for p in stage if p.exists()] for stage in order]
    done = [f"--ignore={name}" for stage in found for name in stage]
    return [*found, [str(TESTS.relative_to(ROOT)), *done]]


def noticed(mutant: Mutant, far: int) -> str | None:
    """The stage of tests that failed, or ``None`` if the mutant survived the first ``far``."""
    with tempfile.TemporaryDirectory(prefix="scsystems-mutant-") as folder:
        copy = Path(folder)
        skip = shutil.ignore_patterns("__pycache__", ".*")
        for part in ("python", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=skip)
        for part in ("pyproject.toml", "README.md", "docs", "benchmarks", "scripts"):
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / part)
        (copy / mutant.file.relative_to(ROOT)).write_text(mutant.text, encoding="utf8")
        environment = os.environ | {
            "PYTHONPATH": str(copy / "python"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            # compiled loops of one mutant must not serve another
            "NUMBA_CACHE_DIR": str(copy / "numba"),
        }
        for stage in filter(None, stages(mutant.file)[:far]):
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *stage]
            try:
                done = subprocess.run(
                    command, cwd=copy, env=environment, capture_output=True, timeout=LIMIT_S
                )
            except subprocess.TimeoutExpired:
                return f"{' '.join(stage)} (no end)"
            # 5: no tests there
            if done.returncode not in (0, 5):
                return " ".join(stage)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40, help="mutants to try (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="decides which (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default 1)")
    parser.add_argument("--far", type=int, default=5, help="stages of tests (default 5: all)")
    parser.add_argument("--only", default="", help="only files whose path holds this text")
    options = parser.parse_args()
    files = [f for f in sorted(PACKAGE.rglob("*.py")) if options.only in str(f)]
    everything = [m for f in files for m in mutants_of(f)]
    chosen = random.Random(options.seed).sample(everything, min(options.n, len(everything)))
    print(f"{len(chosen)} of {len(everything)} mutants, seed {options.seed}", flush=True)
    survived = []
    with ThreadPoolExecutor(options.jobs) as pool:
        started = time.time()
        for i, (mutant, stage) in enumerate(
            zip(chosen, pool.map(partial(noticed, far=options.far), chosen), strict=True), start=1
        ):
            where = f"{mutant.file.relative_to(PACKAGE)}, {mutant.what}"
            said = "SURVIVED" if stage is None else f"noticed by {stage.split(' --ignore')[0]}"
            print(f"{i:3d} {time.time() - started:6.0f} s  {where}: {said}", flush=True)
            if stage is None:
                survived.append(mutant)
    for mutant in survived:
        print(f"\n{mutant.difference()}")
    print(f"\n{len(survived)} of {len(chosen)} mutants survived")


if __name__ == "__main__":
    main()
