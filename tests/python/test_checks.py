"""Arguments: what is as good as a Python value becomes one, the rest is refused in the user's words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scsystems import checks
from scsystems.errors import InputError
from scsystems.words import spoken_by

ZERO_D = np.array


def same(found, expected):
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found)


@pytest.mark.parametrize("make", [int, float, np.int64, np.uint8, np.float32, ZERO_D])
def test_a_count_is_an_int(make):
    same(checks.count("n", make(3)), 3)
    same(checks.seed(make(3)), 3)


@pytest.mark.parametrize("value", [0, 2.5, True, np.bool_(True), "3", None, np.nan, np.inf, [3]])
def test_what_is_no_count(value):
    with pytest.raises(InputError, match="Expected a whole number of at least 1"):
        checks.count("n", value)


def test_bounds_of_counts_and_seeds():
    assert checks.count("n", 0, at_least=0) == 0
    with pytest.raises(InputError, match=r"n=-1. Expected a whole number of at least 0"):
        checks.count("n", np.int8(-1), at_least=0)
    assert checks.seed(None, 5) == 5
    assert checks.seed(2**32 - 1) == 2**32 - 1
    for value in (-1, 2**32, 0.5, None):
        with pytest.raises(
            InputError, match=r"seed=.*Expected a whole number from 0 to 4294967295"
        ):
            checks.seed(value)


@pytest.mark.parametrize("make", [float, np.float32, np.float64, ZERO_D])
def test_a_number_is_a_float(make):
    same(checks.number("x", make(0.5), above=0, below=1), 0.5)
    same(checks.fraction("x", make(0.5)), 0.5)


@pytest.mark.parametrize(
    ("bounds", "wrong", "message"),
    [
        ({}, "a", "Expected a finite number."),
        ({}, np.inf, "Expected a finite number."),
        ({"finite": False}, np.nan, "Expected a number."),
        ({"at_least": 0}, -1, "Expected a finite number of at least 0."),
        ({"above": 0, "at_most": 1}, 0, "Expected a finite number above 0 and of at most 1."),
        ({"above": 0, "at_most": 1}, 2, "Expected a finite number above 0 and of at most 1."),
        ({"below": 1}, 1.0, "Expected a finite number below 1."),
        ({}, True, "Expected a finite number."),
    ],
)
def test_bounds_of_numbers(bounds, wrong, message):
    with pytest.raises(InputError) as found:
        checks.number("x", wrong, **bounds)
    assert str(found.value).endswith(message)
    assert checks.number("x", np.inf, finite=False, at_least=0) == np.inf


def test_ends_of_fractions():
    assert checks.fraction("x", 0) == 0.0
    assert checks.fraction("x", 1) == 1.0
    for options, wrong in (({"zero": False}, 0), ({"one": False}, 1), ({}, 1.1), ({}, -0.1)):
        with pytest.raises(InputError, match="Expected a fraction"):
            checks.fraction("x", wrong, **options)


def test_flags_and_choices():
    for value in (True, np.bool_(True), np.array(True)):
        same(checks.flag("x", value), True)
    for value in (1, "True", None):
        with pytest.raises(InputError, match="Expected True or False"):
            checks.flag("x", value)
    same(checks.choice("x", np.str_("a"), ("a", "b")), "a")
    same(checks.choice("x", np.array("a"), ("a", "b")), "a")
    with pytest.raises(InputError, match=r"x='c' is not known. Expected 'a' or 'b'."):
        checks.choice("x", "c", ("a", "b"))
    with pytest.raises(InputError, match=r"Expected one of 'a', 'b', 'c'"):
        checks.choice("x", ["a"], ("a", "b", "c"))


@pytest.mark.parametrize(
    "several",
    [
        ["a", "b"],
        ("a", "b"),
        np.array(["a", "b"]),
        pd.Index(["a", "b"]),
        pd.Series(["a", "b"]),
        [np.str_("a"), "b"],
        {"a": 1, "b": 2}.keys(),
        (name for name in "ab"),
    ],
)
def test_names_come_in_any_list(several):
    same(checks.names("keys", several), ["a", "b"])


def test_a_name_alone_and_what_are_no_names():
    same(checks.names("keys", np.str_("donor")), ["donor"])
    same(checks.names("keys", np.array("donor")), ["donor"])
    same(checks.name("key", np.array("donor")), "donor")
    assert checks.optional_name("key", None) is None
    for wrong in (3, None, ["a", 1], {"a": 1}, pd.DataFrame({"a": [1]}), b"a"):
        with pytest.raises(InputError, match="Expected a list of names"):
            checks.names("keys", wrong)
    for wrong in (["a"], 3, pd.Series(["a"])):
        with pytest.raises(InputError, match="Expected a single name"):
            checks.name("key", wrong)


def test_json_of_whatever_numpy_made():
    given = {
        "a": np.int64(1),
        np.str_("b"): [np.float32(0.5), (np.bool_(True),)],
        "c": np.arange(2),
        "d": range(2),
        "e": Path("x") / "y",
    }
    found = checks.plain_json(given)
    assert json.loads(json.dumps(found)) == {
        "a": 1, "b": [0.5, [True]], "c": [0, 1], "d": [0, 1], "e": str(Path("x") / "y")
    }  # fmt: skip


# --- columns ---------------------------------------------------------------------------------


@pytest.fixture
def cells():
    obs = pd.DataFrame({"donor": ["a", None, "b"], "system": ["x", "y", "x"]}, index=list("pqr"))
    return AnnData(np.zeros((3, 1), np.float32), obs=obs)


def test_a_column_is_found_and_complete(cells):
    assert list(checks.column(cells, np.str_("system"), "system")) == ["x", "y", "x"]
    assert checks.column(cells, "donor", "sample", complete=False).isna().sum() == 1
    with pytest.raises(
        InputError, match=r"adata.obs\['donor'\] \(batch_key\) is missing for 1 of 3 .*'q'"
    ):
        checks.column(cells, "donor", "sample")
    with pytest.raises(
        InputError, match=r"mouse: batch_key='sex' is not a column .*'donor', 'system'"
    ):
        checks.column(cells, "sex", "system", owner="mouse")


@pytest.mark.parametrize("key", [["system"], 1, None, pd.Series(["x", "y", "x"])])
def test_a_column_is_named_by_text(cells, key):
    with pytest.raises(InputError, match=r"batch_key is .*Expected the name of one column"):
        checks.column(cells, key, "system")


def test_a_column_that_is_there_twice(cells):
    cells.obs = pd.concat([cells.obs, cells.obs[["system"]]], axis=1)
    with pytest.raises(InputError, match="names 2 columns"):
        checks.column(cells, "system", "system")


def test_columns_are_spoken_of_in_the_users_words(cells):
    with spoken_by("r"), pytest.raises(InputError) as of_r:
        checks.column(cells, "sex", "system")
    assert 'system = "sex" is not a column of the cells\' metadata' in str(of_r.value)
    with spoken_by("cli"), pytest.raises(InputError, match=r"--system .*sex"):
        checks.column(cells, "sex", "system")


def test_an_anndata_and_nothing_else(cells):
    assert checks.anndata("adata", cells) is cells
    assert checks.anndata("adata", cells[:2]).n_obs == 2
    with pytest.raises(InputError, match=r"reference is of type str.*anndata.read_h5ad"):
        checks.anndata("reference", "cells.h5ad")
    with pytest.raises(InputError, match=r"Name them"):
        checks.anndata("adata", [cells], remedy="Name them.")
