import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import fold_change_scatter


def texts(ax):
    return [t.get_text() for t in ax.texts]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    rows = {"cell_type": np.repeat(["a", "b"], 20), "target_gene": [f"G{i}" for i in range(20)] * 2}
    for kind in ("", "_absolute", "_null"):
        rows |= {f"lfc{kind}": rng.normal(size=40), f"probability{kind}": rng.random(40)}
    return pd.DataFrame(rows)


def test_fold_changes_name_the_genes_that_differ_most(table):
    axes = fold_change_scatter(table, n_genes=2)
    assert list(axes) == ["a", "b"]
    order = table[table["cell_type"] == "a"].sort_values("lfc")["target_gene"].tolist()
    assert texts(axes["a"]) == ["\n".join(order[:2]), "\n".join(order[:-3:-1])]
    share = (table[table["cell_type"] == "b"]["probability"] >= 0.9).mean()
    assert f"{share:.0%}" in axes["b"].get_title()
    assert list(fold_change_scatter(table, ["b"], kind="_null")) == ["b"]
    with pytest.raises(InputError, match="cell_types"):
        fold_change_scatter(table, ["c"])
    with pytest.raises(InputError, match="lacks"):
        fold_change_scatter(table.drop(columns="lfc"))
