"""What the help and the README state is what the code does."""

import inspect
import re
import shlex
from pathlib import Path

import pytest

from scsystems import ScSpecies, SysVI, options
from scsystems.cli import scspecies
from scsystems.cli.parser import build_parser
from scsystems.data.containers import AnnDataFile
from scsystems.models.scspecies.training import LARGE
from scsystems.models.scspecies.training import default_epochs as species_epochs
from scsystems.models.sysvi import presets
from scsystems.models.sysvi.training import default_epochs
from scsystems.r.rds import DEFAULT_NAMES

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf8")
PAGES = [page.read_text(encoding="utf8") for page in sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = build_parser()._subparsers._group_actions[0].choices
TABLES = {"sysvi": options.SYSVI, "scspecies": options.SCSPECIES}
ACTIONS = [
    pytest.param(name, action, id=f"{name} {action.option_strings[-1]}")
    for name, command in COMMANDS.items()
    for action in command._actions
    if action.option_strings
]


def stated(action) -> str | None:
    """The default that the help states."""
    found = re.search(r"\(default: (.*)\)", action.help, re.S)
    return found and found[1]


def option(command: str, name: str):
    return next(o for o in TABLES[command] if o.cli == name)


def plain(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(("command", "action"), ACTIONS)
def test_a_default_that_acts_is_stated(command, action):
    if action.default in (None, False, []) or action.dest == "help":
        return
    assert stated(action) is not None
    assert stated(action).split(",")[0] == plain(action.default)


@pytest.mark.parametrize(
    ("command", "name"),
    [(command, o.cli) for command, table in TABLES.items() for o in table if o.cli],
)
def test_options_of_the_table_are_there_with_its_defaults(command, name):
    found = option(command, name)
    action = next(a for a in COMMANDS[command]._actions if name in a.option_strings)
    if found.default is None:
        return  # the next test
    said = plain(found.value("default"))
    if found.by_preset:
        said += f", with --preset paper {plain(found.value('paper'))}"
    assert stated(action) == said
    # what the command line does not give is the model's own, or the same
    assert action.default in (None, found.default)


def help_of(command: str, name: str) -> str:
    return next(a.help for a in COMMANDS[command]._actions if name in a.option_strings)


def test_epochs():
    cells, most, paper = re.search(
        r"default: ([\d,]+) divided by the number of cells, but at most (\d+), with --preset paper at most (\d+)",
        help_of("sysvi", "--epochs"),
    ).groups()
    total = int(cells.replace(",", ""))
    for preset, limit in (("default", int(most)), ("paper", int(paper))):
        assert presets.TRAINING[preset]["most_epochs"] == limit
        for n in (1_000, 50_000, 100_000, 640_000):
            assert default_epochs(n, limit) == min(total // n, limit)
    few, above, many = re.search(
        r"default: (\d+), with more than ([\d,]+) cells (\d+)", help_of("scspecies", "--epochs")
    ).groups()
    assert int(above.replace(",", "")) == LARGE
    assert species_epochs(LARGE) == int(few)
    assert species_epochs(LARGE + 1) == int(many)


def test_batch_size_is_that_of_the_trainer():
    said = re.search(r"default: (\d+)", help_of("sysvi", "--batch-size"))[1]
    assert int(said) == inspect.signature(SysVI.train).parameters["batch_size"].default


def test_names_of_embeddings():
    names = [AnnDataFile.default_name, *DEFAULT_NAMES.values()]
    assert f"(default: {names[0]}, {names[1]} in Seurat, {names[2]} in SCE)" in help_of(
        "sysvi", "--name"
    )
    assert scspecies.EMBEDDING.keys() == {"AnnData", *DEFAULT_NAMES}


@pytest.mark.parametrize("model", [SysVI, ScSpecies])
def test_presets_and_seeds(model):
    parameters = inspect.signature(model).parameters
    command = COMMANDS[model.__name__.lower()]
    for name in ("preset", "seed"):
        assert command.get_default(name) == parameters[name].default
    assert command.get_default("device") == (
        inspect.signature(model.train).parameters["accelerator"].default
    )


# --- the commands that are shown -------------------------------------------------------------


def shown(text: str) -> list[str]:
    """Commands in a text, in one line each."""
    lines = re.sub(r"\\?\n\s+(?=--)", " ", text).splitlines()
    return [line.strip() for line in lines if line.strip().startswith("scsystems ")]


def commands_shown() -> list[str]:
    helps = [build_parser().epilog, *(command.epilog or "" for command in COMMANDS.values())]
    written = [b for page in (README, *PAGES) for b in re.findall(r"```sh\n(.*?)```", page, re.S)]
    blocks = [*written, *helps]
    return [command for block in blocks for command in shown(block)]


def test_commands_that_are_shown_are_understood():
    found = commands_shown()
    assert len(found) > 8
    assert sum("$SLURM_ARRAY_TASK_ID" in command for command in found) == 1
    for command in found:
        words = shlex.split(command.replace("$SLURM_ARRAY_TASK_ID", "3"), comments=True)
        build_parser().parse_args(words[1:])


def test_options_that_the_readme_names_exist():
    section = README.split("## On the command line")[1].split("\n## ")[0]
    known = {s for c in COMMANDS.values() for a in c._actions for s in a.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section)) <= known | {"--version"}
