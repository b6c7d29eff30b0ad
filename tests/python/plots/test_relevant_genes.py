import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import relevant_genes


def test_relevant_genes_are_ranked_by_size():
    table = pd.DataFrame({"a": [0.1, -5.0, 2.0], "b": [1.0, 0.0, 0.0]}, index=["x", "y", "z"])
    axes = relevant_genes(table, n_genes=2)
    assert [t.get_text() for t in axes["a"].get_yticklabels()] == ["z", "y"]
    with pytest.raises(InputError, match="cell_types"):
        relevant_genes(table, ["c"])
