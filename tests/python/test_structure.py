"""The house: which room may import from which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import scsystems

ROOT = Path(scsystems.__file__).parent

# from the ground up: a module imports from its own floor or one below
FLOORS = (
    ("_version", "errors", "options", "words"),
    ("durable", "files", "collected", "threads", "torch_state", "checks"),
    ("data",),
    ("nn",),
    ("train",),
    ("tools",),
    ("models",),
    ("metrics",),
    ("plots",),
    ("reports",),
    ("tune",),
    ("r",),
    ("cli", "__main__"),
)
# the package's door opens any room, when it is first asked for
DOOR = ""
# a room above that is entered only when a call needs it
LAZY = {("data/containers", "r"), ("models/sysvi/model", "reports")}


def modules() -> dict[str, ast.Module]:
    return {
        path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("__init__").rstrip("/"): (
            ast.parse(path.read_text(encoding="utf8"))
        )
        for path in sorted(ROOT.rglob("*.py"))
    }


MODULES = modules()


def imported(name: str, only_top: bool) -> set[str]:
    """The modules of the package that a module imports."""
    tree = MODULES[name]
    is_package = (ROOT / name).is_dir()
    here = name.split("/") if name else []
    folder = here if is_package else here[:-1]
    found = set()
    for node in tree.body if only_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [(alias.name.split("."), ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            base = ["scsystems", *folder[: len(folder) - node.level + 1]] if node.level else []
            targets = [([*base, *module], [alias.name for alias in node.names])]
        else:
            continue
        for parts, names in targets:
            if parts[:1] != ["scsystems"]:
                continue
            inside = "/".join(parts[1:])
            submodules = {f"{inside}/{n}".lstrip("/") for n in names} & set(MODULES)
            found |= submodules or {inside}
    return found - {name}


def floor(name: str) -> int:
    room = name.split("/")[0]
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("name", [name for name in MODULES if name != DOOR])
def test_no_module_imports_from_a_floor_above(name):
    above = {
        other
        for other in imported(name, only_top=False)
        if other != DOOR and floor(other) > floor(name) and (name, other.split("/")[0]) not in LAZY
    }
    assert not above, f"{name} imports {sorted(above)}"


def test_no_circle_of_imports():
    arrows = {name: imported(name, only_top=True) & set(MODULES) - {DOOR} for name in MODULES}
    done, trail = set(), []

    def visit(name):
        assert name not in trail, f"circle: {' -> '.join([*trail[trail.index(name) :], name])}"
        if name in done:
            return
        trail.append(name)
        for other in arrows[name]:
            visit(other)
        trail.pop()
        done.add(name)

    for name in arrows:
        visit(name)


# what is read to learn what is computed; their fast twins import them, never the other way
READABLE = (
    "nn/layers",
    "nn/likelihoods",
    "nn/sysvi/net",
    "nn/sysvi/priors",
    "nn/sysvi/cycle",
    "nn/sysvi/adversary",
    "nn/sysvi/classifier",
    "nn/sysvi/imported",
    "nn/scspecies/net",
    "nn/scspecies/norm_layer",
    "nn/scspecies/alignment",
)


@pytest.mark.parametrize("name", READABLE)
def test_readable_code_does_not_know_its_fast_twin(name):
    reached, todo = set(), [name]
    while todo:
        for other in imported(todo.pop(), only_top=False) - reached:
            reached.add(other)
            todo.append(other)
    assert not {o for o in reached if o.startswith("nn/kernels") or o.endswith("gradients")}
