"""No door says another default than the table."""

import inspect
import re
from typing import get_args, get_origin, get_type_hints

import pytest
from documented import ROOT

from scsystems import ScSpecies, SysVI
from scsystems.cli import main
from scsystems.data import preprocess
from scsystems.models.scspecies import settings
from scsystems.models.sysvi import arguments, plan, presets
from scsystems.options import SCSPECIES, SYSVI, Option, by_preset, choices, defaults
from scsystems.train.loop import FitSettings

DOORS = {
    ("SysVI", "model"): SysVI.__init__,
    ("SysVI", "train"): SysVI.train,
    ("SysVI", "prepare"): preprocess.prepare,
    ("ScSpecies", "model"): ScSpecies.__init__,
    ("ScSpecies", "train"): ScSpecies.train,
}
TABLES = {"SysVI": SYSVI, "ScSpecies": SCSPECIES}
ROWS = [
    pytest.param(name, option, id=f"{name}-{option.name}")
    for name, table in TABLES.items()
    for option in table
]


def signature(name: str, option: Option):
    return inspect.signature(DOORS[name, option.where]).parameters


@pytest.mark.parametrize(("name", "option"), ROWS)
def test_python_has_the_default_of_the_table(name, option):
    if option.where == "plan":
        assert option.name in plan.KNOWN_PLAN_KWARGS
        return
    parameters = signature(name, option)
    assert option.name in parameters
    written = parameters[option.name].default
    # what a preset decides is written as None
    decided = option.by_preset and option.where == "model"
    assert written == (None if decided else option.default)


@pytest.mark.parametrize(("name", "option"), ROWS)
def test_types_name_the_choices(name, option):
    if not option.choices or option.where == "plan":
        return
    hint = get_type_hints(DOORS[name, option.where])[option.name]
    literals = [hint, *get_args(hint)] if get_origin(hint) is not None else [hint]
    found = {v for h in literals for v in get_args(h) if isinstance(v, str)}
    found |= {v for v in get_args(hint) if isinstance(v, str)}
    assert found == set(option.choices)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_presets_are_the_table(preset):
    model = defaults(SYSVI, preset, "model")
    assert presets.MODEL[preset] == {k: model[k] for k in by_preset(SYSVI)}
    chosen = defaults(SYSVI, preset, "plan")
    assert presets.TRAINING[preset]["plan"].items() <= chosen.items()
    assert presets.GENES[preset] == defaults(SYSVI, preset, "prepare")["n_top_genes"]
    species = defaults(SCSPECIES, preset, "model")
    assert settings.PRESETS[preset] == {k: species[k] for k in by_preset(SCSPECIES)}


def test_what_the_plan_does_not_get_is_the_trainers_own_default():
    fit = inspect.signature(FitSettings).parameters
    chosen = defaults(SYSVI, "default", "plan")
    assert fit["optimizer"].default == chosen["optimizer"]
    assert fit["weight_decay"].default == chosen["weight_decay"]
    read = plan.read_plan(None, presets.TRAINING["default"]["plan"]).weights
    assert (read.reconstruction, read.adversary) == (1.0, 0.0)
    assert (read.kl, read.cycle) == (chosen["kl_weight"], chosen["z_distance_cycle_weight"])


def test_choices_are_checked_against_the_table():
    # what may be a prior is what there is a class of
    known = choices(tuple(o for o in SYSVI if o.where == "model"))
    assert {k: set(v) for k, v in arguments._CHOICES.items()} == {
        k: set(v) for k, v in known.items()
    }


CLI = {"SysVI": "sysvi", "ScSpecies": "scspecies"}


@pytest.mark.parametrize(("name", "option"), [row for row in ROWS if row.values[1].cli is not None])
def test_the_command_line_has_the_option_and_states_its_default(name, option, capsys):
    assert main([CLI[name], "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    entry = re.search(rf"(?<=\s){option.cli} .*?\(default: ([^)]*)\)", text)
    assert entry
    if option.default is not None:
        stated = re.findall(r"[\w.]+", entry.group(1))
        assert stated[0] == (f"{option.default:g}" if option.choices == () else option.default)
        assert ("paper" in stated) == option.by_preset


@pytest.mark.parametrize(("name", "option"), ROWS)
def test_r_offers_the_choices_of_the_table(name, option):
    if not option.choices or option.r is None:
        return
    file = {"SysVI": "sysvi_options.R", "ScSpecies": "scspecies_options.R"}[name]
    source = (ROOT / "rpkg" / "R" / file).read_text()
    code = " ".join(line for line in source.splitlines() if not line.startswith("#'"))
    found = re.search(rf"(?<!\w){option.r}(?: = |, (?:\"{option.r}\", )?)c\(([^)]*)\)", code)
    assert found, option.r
    assert set(re.findall(r'"(\w+)"', found.group(1))) == set(option.choices)


def test_every_argument_of_the_constructors_is_in_the_table():
    # what says which data are meant is no option
    data = {
        "SysVI": {
            "self",
            "adata",
            "pseudoinputs_data_indices",
            "embedding_kwargs",
            "preset",
            "seed",
        },
        "ScSpecies": {
            *("self", "context", "targets", "context_labels", "orthologs", "target_labels"),
            *("batch_key", "layer", "preset", "seed"),
        },
    }
    for name, table in TABLES.items():
        known = {o.name for o in table if o.where == "model"}
        assert set(inspect.signature(DOORS[name, "model"]).parameters) - data[name] == known


def test_docstrings_that_state_a_default_state_that_of_the_table():
    """``name`` (value) in the plan's documentation of train()."""
    text = inspect.getdoc(SysVI.train)
    chosen = defaults(SYSVI, "default", "plan")
    for name in ("kl_weight", "reconstruction_weight", "z_distance_cycle_weight", "lr", "eps"):
        stated = re.search(rf"``{name}`` \(([\d.e+-]+)", text)
        assert stated, name
        assert float(stated.group(1)) == chosen[name]
