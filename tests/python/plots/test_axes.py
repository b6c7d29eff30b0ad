import sys

import pandas as pd
import pytest

from scsystems.errors import MissingExtraError
from scsystems.plots.axes import colors, group_names, one_axes


def test_every_name_gets_its_own_color():
    for n in (3, 15, 40):
        names = [f"t{i}" for i in range(n)]
        assert len({tuple(c) for c in colors(names).values()}) == n


def test_names_follow_categories():
    values = pd.Series(pd.Categorical(["b", "a", None], ["c", "b", "a"]))
    assert group_names(values) == ["b", "a"]
    assert group_names(["z", "y", "z"]) == ["y", "z"]


def test_without_matplotlib_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'scsystems\[plots\]'"):
        one_axes(None)
