"""Values per cell in another order, by the names of the cells."""

import numpy as np
import pandas as pd
import pytest

from scsystems.data.by_name import aligned, per_cell, same_cells
from scsystems.errors import InputError

CELLS = pd.Index(["c0", "c1", "c2", "c3"])
VALUES = ["a", "b", "a", "d"]
SERIES = pd.Series(VALUES, index=CELLS)


@pytest.mark.parametrize(
    "values",
    [
        SERIES,
        SERIES.iloc[[3, 1, 0, 2]],
        SERIES.iloc[[3, 1, 0, 2]].astype("category"),
        pd.concat([pd.Series(["z"], index=["other"]), SERIES.iloc[::-1]]),
        dict(SERIES.iloc[::-1]),
        VALUES,
        tuple(VALUES),
        (v for v in VALUES),
        np.array(VALUES),
        pd.Categorical(VALUES),
        pd.array(VALUES, dtype="string"),
        pd.Series(VALUES),
        pd.Index(VALUES),
    ],
    ids=lambda v: type(v).__name__,
)
def test_values_come_in_the_order_of_the_cells(values):
    found = per_cell("labels", values, CELLS)
    assert list(found) == VALUES
    assert found.index.equals(CELLS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (SERIES.iloc[:3], r"labels has no value for 1 of 4 cells: 'c3'"),
        (SERIES.set_axis(["x0", "x1", "x2", "x3"]), r"no value for 4 of 4 .*names like 'x0'"),
        (pd.concat([SERIES, SERIES.iloc[:1]]), "more than once: 'c0'"),
        (pd.Series(VALUES, index=[3, 1, 0, 2]), "no value for 4 of 4"),
        (pd.Series(VALUES[:3]), "no value for 4 of 4"),
        (VALUES[:3], r"labels has shape \(3,\). Expected one value for each of 4 cells"),
        (np.zeros((4, 1)), r"shape \(4, 1\)"),
        (SERIES.to_frame(), "is a DataFrame"),
        ("cell_type", "is the text 'cell_type'"),
        (3, "is 3"),
    ],
)
def test_what_does_not_name_every_cell(values, message):
    with pytest.raises(InputError, match=message):
        per_cell("labels", values, CELLS)


def test_cells_named_by_numbers():
    cells = pd.Index(["2", "0", "1"])
    # shuffled with their names, which pandas made numbers of
    assert list(per_cell("x", pd.Series(["a", "b", "c"], index=[1, 2, 0]), cells)) == list("bca")
    # nobody knows whether the first value belongs to the first cell or to "0"
    with pytest.raises(InputError, match="numbered from 0, and so are the cells, in another order"):
        per_cell("x", pd.Series(["a", "b", "c"]), cells)
    in_order = pd.Index(["0", "1", "2"])
    assert list(per_cell("x", pd.Series(["a", "b", "c"]), in_order)) == list("abc")
    # other numbers than positions are no names of these cells, but positions can be meant
    assert list(per_cell("x", pd.Series(["a", "b", "c"]), pd.Index(["7", "8", "9"]))) == list("abc")


def test_several_are_put_into_the_order_of_the_first_with_names():
    frame = pd.DataFrame({"x": range(4)}, index=CELLS)
    plain = np.arange(4)
    given = {
        "plain": plain,
        "frame": frame,
        "labels": SERIES.iloc[::-1],
        "other": pd.Series(VALUES),
    }
    found = aligned(given)
    assert found["plain"] is plain
    assert found["frame"] is frame
    assert list(found["labels"]) == VALUES
    assert list(found["other"]) == VALUES
    with pytest.raises(InputError, match="labels has no value for 1 of 4 cells: 'c3'"):
        aligned({"frame": frame, "labels": SERIES.iloc[:3]})


def test_a_function_of_same_cells():
    @same_cells("first", "second")
    def pairs(first, other, second=None, *, third=0):
        """What it does."""
        return list(first), None if second is None else list(second), other, third

    expected = (VALUES, VALUES, "o", 0)
    assert pairs(SERIES, "o", SERIES.iloc[::-1]) == expected
    assert pairs(other="o", second=SERIES.iloc[::-1], first=SERIES) == expected
    assert pairs(SERIES, "o") == (VALUES, None, "o", 0)
    assert pairs.__doc__ == "What it does."
