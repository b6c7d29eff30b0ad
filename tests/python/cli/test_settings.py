"""Settings as they are written on the command line, each as its table of options allows it."""

import argparse
import json

import pytest

from scsystems.cli.settings import combined, names, read_settings, varied
from scsystems.errors import ScsystemsError
from scsystems.options import SYSVI


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("cycle-weight=1,3,2.5", "z_distance_cycle_weight", [1.0, 3.0, 2.5]),
        ("z_distance_cycle_weight=1", "z_distance_cycle_weight", [1.0]),
        ("--prior=vamp,gmm", "prior", ["vamp", "gmm"]),
        ("dims=5, 10", "n_latent", [5, 10]),
        ("n_layers_decoder=none,2", "n_layers_decoder", [None, 2]),
        ("encode_covariates=yes,no", "encode_covariates", [True, False]),
        ("epochs=3", "max_epochs", [3]),
        ("dropout_rate=0,0.5", "dropout_rate", [0.0, 0.5]),
    ],
)
def test_values_are_read_as_the_table_says(text, name, values):
    found = varied(text)
    assert found == (name, values)
    assert [type(a) for a in found[1]] == [type(b) for b in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cycle-weight", "Expected NAME=VALUE,VALUE"),
        ("cycle-weight=", "Expected NAME=VALUE,VALUE"),
        ("cycles=1", "cycle-weight"),
        ("threads=1", "Expected one of"),
        ("cycle-weight=a", "cycle-weight=a. Expected numbers of at least 0"),
        ("cycle-weight=-1", "at least 0"),
        ("cycle-weight=nan", "at least 0"),
        ("cycle-weight=inf", "at least 0"),
        ("dims=2.5", "dims=2.5. Expected whole numbers of at least 1"),
        ("dims=0", "at least 1"),
        ("dims=none", "at least 1"),
        ("dropout_rate=1", "and below 1"),
        ("prior=vamp,normal", "prior=normal. Expected some of standard_normal, vamp, gmm"),
        ("encode_covariates=maybe", "yes, no"),
        ("dims=2,2", "a value twice"),
    ],
)
def test_other_values_are_refused(text, message):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        varied(text)
    assert message in str(error.value)


def test_every_setting_of_the_table_has_a_name():
    varying = {o.name for o in SYSVI if o.where != "prepare"}
    assert {varied(f"{n}={value(n)}")[0] for n in names()} == varying - {
        "n_threads", "checkpoint_every",
    }  # fmt: skip


def value(name):
    option = next(o for o in SYSVI if name in (o.name, (o.cli or "").lstrip("-")))
    if option.choices:
        return option.choices[0]
    return (
        "yes"
        if isinstance(option.default, bool)
        else {"below": "0.5"}.get("", "0.5" if option.below else "2")
    )


def test_combinations_are_named_by_what_differs():
    grid = {
        "z_distance_cycle_weight": [1.0, 2.5],
        "n_latent": [5],
        "encode_covariates": [True, False],
    }
    found = combined(grid)
    assert [s.pop("name") for s in found] == [
        "cycle-weight=1, encode_covariates=yes",
        "cycle-weight=1, encode_covariates=no",
        "cycle-weight=2.5, encode_covariates=yes",
        "cycle-weight=2.5, encode_covariates=no",
    ]
    assert found[2] == {
        "z_distance_cycle_weight": 2.5, "n_latent": 5, "encode_covariates": True,
    }  # fmt: skip
    assert [s["name"] for s in combined({"n_latent": [5]})] == ["dims=5"]


def test_a_file_of_settings_is_sorted_by_where_they_go(tmp_path):
    file = tmp_path / "best.json"
    parameters = {"prior": "gmm", "max_epochs": 3, "kl_weight": 0.5, "preset": "paper"}
    file.write_text(json.dumps({"parameters": parameters}))
    assert read_settings(file) == {
        "model": {"prior": "gmm", "preset": "paper"},
        "train": {"max_epochs": 3},
        "plan": {"kl_weight": 0.5},
    }
    assert read_settings(None) == {"model": {}, "train": {}, "plan": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"parameters": 3}',
        '{"parameters": {"other": 3}}',
        '{"parameters": {"devices": 1}}',
    ],
)
def test_other_files_are_refused(tmp_path, text):
    file = tmp_path / "best.json"
    file.write_text(text)
    with pytest.raises(
        ScsystemsError, match=r"--settings: .*best\.json.* as scsystems tune writes it"
    ):
        read_settings(file)
    with pytest.raises(ScsystemsError, match="could not be read"):
        read_settings(tmp_path / "none.json")
