import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import jaccard_by_type


@pytest.fixture
def table():
    rows = []
    for run, (mixing, rare) in {"a": (0.1, 0.8), "b": (0.5, 0.4), "c": (0.9, 0.0)}.items():
        rows += [
            [run, "ilisi", "overall", "", mixing],
            [run, "jaccard", "group", "common", 1.0],
            [run, "jaccard", "group", "rare", rare],
        ]
    return pd.DataFrame(rows, columns=["embedding", "metric", "level", "group", "value"])


def test_a_panel_per_type(table, drawn):
    axes = jaccard_by_type(table)
    assert list(axes) == ["common", "rare"]
    assert drawn(axes["rare"])
    assert axes["rare"].collections[0].get_offsets().tolist() == [[0.1, 0.8], [0.5, 0.4], [0.9, 0]]


def test_scaled_within_a_type(table):
    axes = jaccard_by_type(table, scale=True)
    heights = axes["rare"].collections[0].get_offsets()[:, 1]
    assert heights.tolist() == [1.0, 0.5, 0.0]
    assert axes["common"].collections[0].get_offsets()[:, 1].tolist() == [1.0, 1.0, 1.0]


def test_sizes_in_titles(table):
    sizes = pd.DataFrame({"s1": [100, 20], "s2": [80, 5]}, index=["common", "rare"])
    titles = {name: ax.get_title() for name, ax in jaccard_by_type(table, sizes=sizes).items()}
    assert titles == {
        "common": "common\n100 cells, ratio 0.8",
        "rare": "rare\n20 cells, ratio 0.25",
    }


def test_colored_by_method(table):
    table["method"] = table["embedding"].map({"a": "one", "b": "one", "c": "two"})
    axes = jaccard_by_type(table, by="method")
    (legend,) = axes["rare"].figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["one", "two"]


def test_bad_tables(table):
    with pytest.raises(InputError, match="no column 'method'"):
        jaccard_by_type(table, by="method")
    with pytest.raises(InputError, match="compute both"):
        jaccard_by_type(table[table["metric"] == "ilisi"])
    with pytest.raises(InputError, match="no two systems"):
        jaccard_by_type(table, sizes=pd.DataFrame({"s1": [1, 1]}, index=["common", "rare"]))
