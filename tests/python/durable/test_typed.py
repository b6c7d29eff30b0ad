from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from scsystems.durable.typed import arguments, typed
from scsystems.errors import ModelFileError


@dataclass(frozen=True)
class Inner:
    names: tuple[str, ...]
    size: int | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    mode: Literal["a", "b"]
    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    anything: Any = None


def test_a_data_class_is_filled_with_values_of_its_kinds():
    raw = {"inner": {"names": ["x", "y"]}, "mode": "a", "points": {"k": [[0, 1], [1, 2.5]]}}
    found = typed(Outer, raw, "file")
    assert found == Outer(Inner(("x", "y")), "a", {"k": [(0, 1.0), (1, 2.5)]})
    assert type(found.points["k"][0][1]) is float


WRONG = [
    (int, True, "whole number"),
    (int, 1.5, "whole number"),
    (int, "1", "whole number"),
    (bool, 1, "true or false"),
    (float, float("nan"), "finite"),
    (float, float("inf"), "finite"),
    (float, 10**400, "finite"),
    (float, "x", "finite"),
    (str, None, "text"),
    (str, ["a"], "text"),
    (None, 0, "null"),
    (int | None, "x", "whole number"),
    (str | None, 1, "text"),
    (Literal["a", "b"], "c", "one of 'a', 'b'"),
    (Literal["a", "b"], ["a"], "one of 'a', 'b'"),
    (Literal[1], True, "one of 1"),
    (tuple[str, ...], "ab", "a list"),
    (tuple[str, ...], ["a", 1], "text"),
    (tuple[int, float], [1], "2 values"),
    (list[int], {"a": 1}, "a list"),
    (dict[str, int], [1], "named entries"),
    (Inner, [1], "named entries"),
    (Inner, {}, "lacks the entry 'names'"),
    (Inner, {"names": [], "x": 1}, "entry 'x', which this version does not know"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), WRONG)
def test_other_values_are_refused_with_their_place(kind, value, expected):
    with pytest.raises(ModelFileError, match=expected) as caught:
        typed(dict[str, kind], {"k": value}, "m.json")
    assert str(caught.value).startswith("m.json.k")


def test_whole_numbers_from_r_are_whole_numbers():
    assert typed(int, 3.0, "x") == 3
    assert type(typed(int, 3.0, "x")) is int


def test_messages_stay_short():
    deep: list = []
    for _ in range(900):
        deep = [deep, deep]
    with pytest.raises(ModelFileError) as caught:
        typed(str, deep, "x")
    assert len(str(caught.value)) < 300


def test_arguments_of_a_function():
    def function(a: int, b: Literal["x"] = "x", *, c: float | None = None):
        pass

    assert arguments(function, {"a": 1, "c": 2}, "m") == {"a": 1, "c": 2.0}
    for given, message in (
        ({"a": "1"}, r"^m\.a is '1'"),
        ({"d": 1}, r"^m is 'd'. Expected arguments"),
    ):
        with pytest.raises(ModelFileError, match=message):
            arguments(function, given, "m")
