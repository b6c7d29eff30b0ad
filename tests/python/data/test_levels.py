"""Names of levels: one text for one value, whatever holds it."""

import datetime

import numpy as np
import pandas as pd
import pytest

from scsystems.data.levels import (
    coded,
    codes_among,
    level_name,
    level_names,
    texts,
    unique_names,
    writable,
)
from scsystems.errors import InputError

NUMBERS = [1, 2, 10, 2]
DAYS = ["2020-01-01", "2020-12-31", "2020-01-02", "2020-12-31"]


@pytest.mark.parametrize(
    "values",
    [
        NUMBERS,
        np.array(NUMBERS),
        np.array(NUMBERS, np.int8),
        np.array(NUMBERS, float),
        np.array(NUMBERS, np.float32),
        np.array(NUMBERS, object),
        list(map(str, NUMBERS)),
        pd.array(NUMBERS, dtype="Int64"),
        pd.array(NUMBERS, dtype="Float64"),
        pd.array(list(map(str, NUMBERS)), dtype="string"),
        pd.Categorical(NUMBERS),
        pd.Categorical(np.array(NUMBERS, float)),
        pd.Series([1, 2.0, "10", "2"], dtype=object),
        pd.Categorical([1, 2.0, "10", "2"]),
        pd.Index(NUMBERS),
    ],
    ids=lambda v: f"{type(v).__name__} {getattr(v, 'dtype', '')}",
)
def test_whole_numbers_have_one_name(values):
    assert list(level_names(values, "x")) == ["1", "2", "10", "2"]
    codes, unknown = codes_among(values, ("2", "10"), "x")
    np.testing.assert_array_equal(codes, [-1, 0, 1, 0])
    assert unknown == ["1"]


def test_order_of_levels():
    # as text, whatever the kind; categories in their own order, and only those that occur
    for values in (NUMBERS, np.array(NUMBERS, float), list(map(str, NUMBERS))):
        codes, names = coded(values, "x")
        assert names == ["1", "10", "2"]
        np.testing.assert_array_equal(codes, [0, 2, 1, 2])
    codes, names = coded(pd.Categorical(list("cab"), categories=list("cxab")), "x")
    assert names == ["c", "a", "b"]
    np.testing.assert_array_equal(codes, [0, 1, 2])


@pytest.mark.parametrize("value", [0.1, 0.3, -1.5, 1e-7, 1234.5])
def test_fractions_have_the_name_they_were_written_with(value):
    single = np.float32(value)
    name = level_name(value)
    assert float(name) == value
    # single precision, as it is and after a detour over doubles (R has no others)
    assert level_name(single) == level_name(float(single)) == str(single)


def test_large_and_odd_numbers():
    assert level_name(2**60) == level_name(float(2**60)) == str(2**60)
    assert level_name(-0.0) == "0"
    assert level_name(np.inf) == "inf"
    assert level_name(1e-300 / 3) == repr(1e-300 / 3)


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(DAYS),
        np.array(DAYS, "datetime64[D]"),
        pd.Categorical(pd.to_datetime(DAYS)),
        [datetime.date.fromisoformat(day) for day in DAYS],
        pd.Series([pd.Timestamp(day) for day in DAYS], dtype=object),
        pd.Categorical([datetime.date.fromisoformat(day) for day in DAYS]),
        DAYS,
    ],
    ids=lambda v: f"{type(v).__name__} {getattr(v, 'dtype', '')}",
)
def test_days_are_written_as_iso_dates(values):
    assert list(level_names(values, "x")) == DAYS


def test_times_of_the_day_do_not_change_how_days_are_written():
    times = pd.to_datetime(["2020-01-01 00:00", "2020-01-01 10:30"])
    assert list(level_names(times, "x")) == ["2020-01-01", "2020-01-01 10:30:00"]


def test_truth_values_are_not_numbers():
    for values in (
        [True, False],
        np.array([True, False]),
        pd.array([True, False], dtype="boolean"),
    ):
        assert list(level_names(values, "x")) == ["True", "False"]
    codes, names = coded(pd.Series([1, True, 1.0, "True"], dtype=object), "x")
    assert names == ["1", "True"]
    np.testing.assert_array_equal(codes, [0, 1, 0, 1])


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "nan"],
        pd.Series(["a", np.nan, "nan"], dtype=object),
        pd.array(["a", pd.NA, "nan"], dtype="string"),
        pd.Categorical(["a", None, "nan"]),
        [1, float("nan"), "nan"],
        [1.5, pd.NaT, "nan"],
    ],
)
def test_missing_is_no_name_and_nan_is_one(values):
    names = level_names(values, "x")
    assert names[1] is None
    assert names[2] == "nan"


def test_names_that_differ_by_case_or_blanks_stay_apart():
    assert coded(["a", "A", "a "], "x")[1] == ["A", "a", "a "]


def test_a_number_and_its_text_are_one_level_unless_spelled_differently():
    assert coded([1, "1", 2, "x"], "x")[1] == ["1", "2", "x"]
    assert coded(["1", "1.0", "01"], "x")[1] == ["01", "1", "1.0"]
    for text in ("1.0", "01", "1e0", " 1"):
        with pytest.raises(InputError, match=r"donor holds a number and a text .*: 1 and "):
            coded([1, text, 2], "donor")


@pytest.mark.parametrize("odd", [[["a"], ["b"]], [("a", 1), "b"], [{"a": 1}, "b"]])
def test_values_that_are_no_names(odd):
    values = pd.Series(odd, dtype=object)
    with pytest.raises(InputError, match=r"donor holds a .*Expected text, numbers, dates"):
        coded(values, "donor")


def test_names_of_genes_and_cells():
    names = pd.Index(["a", "b"])
    assert unique_names(names, "Gene names", "Mend it.") is names
    assert list(unique_names(pd.Index([1.0, 2.0]), "Gene names", "")) == ["1", "2"]
    # nanchung of flies, beside a name that is missing
    assert list(unique_names(pd.Index(["nan", "tor", "Tor"]), "x", "")) == ["nan", "tor", "Tor"]
    with pytest.raises(InputError, match=r"Gene names: 1 of 2 are missing.*Mend it"):
        unique_names(pd.Index(["nan", np.nan], dtype=object), "Gene names", "Mend it.")
    with pytest.raises(InputError, match="not unique: '1' occur"):
        unique_names(pd.Index([1, "1"], dtype=object), "Gene names", "")


def test_levels_that_an_argument_names():
    for given in (1, 1.0, "1", [1], np.array([1.0]), pd.Index(["1"]), np.int64(1)):
        assert texts("group1", given) == ["1"]
    for wrong in (None, {"a": 1}, [None], [[1]]):
        with pytest.raises(InputError, match="Expected names"):
            texts("group1", wrong)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, "a"], dtype=object),
        pd.Series(["a", None], dtype="string"),
        pd.Series(pd.to_datetime(DAYS[:2])),
        pd.Series(pd.Categorical([1, "a"])),
        pd.Series(pd.Categorical(pd.to_datetime(DAYS[:2]))),
        pd.Series([True, None], dtype=object),
    ],
)
def test_columns_that_files_cannot_hold_become_categories_of_text(values, tmp_path):
    found = writable(values, "x")
    assert all(type(name) is str for name in found.cat.categories)
    names = level_names(values, "x")
    assert [None if pd.isna(v) else v for v in found] == list(names)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2]),
        pd.Series([1.5, np.nan]),
        pd.Series([True, False]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(pd.Categorical(["b", "a"], ["b", "a", "c"])),
        pd.Series(pd.Categorical([2, 1])),
    ],
)
def test_columns_that_files_can_hold_stay(values):
    assert writable(values, "x") is values
