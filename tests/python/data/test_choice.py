import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scsystems.data.choice import choose_expression
from scsystems.errors import InputError

COUNTS = np.random.default_rng(0).poisson(2.0, (20, 5)).astype(np.float32)
LOGS = np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 1e4)
SCALED = LOGS - LOGS.mean(0)
MATRICES = {"counts": COUNTS, "logs": LOGS, "scaled": SCALED, "none": None}


def cells(x, raw=None, layer=None):
    """Cells whose X, .raw and layer 'counts' are what their names say."""
    obs = pd.DataFrame({"a": range(20)}, index=[f"c{i}" for i in range(20)])
    adata = AnnData(MATRICES[x], obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(5)]))
    adata.obsm["e"] = SCALED[:, :2]
    if raw is not None:
        adata.raw = AnnData(MATRICES[raw].copy(), adata.obs, adata.var)
    if layer is not None:
        adata.layers["counts"] = MATRICES[layer]
    return adata


@pytest.mark.parametrize(
    ("x", "raw", "layer", "wanted", "expected"),
    [
        ("counts", "logs", None, "any", "X"),
        ("logs", "counts", None, "any", "X"),
        ("scaled", "counts", None, "any", "raw"),
        ("scaled", "logs", None, "any", "raw"),
        ("none", "logs", None, "any", "raw"),
        ("scaled", "scaled", None, "any", "X"),
        ("scaled", None, "counts", "any", "X"),
        ("logs", "counts", None, "counts", "raw"),
        ("logs", "counts", "counts", "counts", "raw"),
        ("logs", "logs", "counts", "counts", "counts"),
        ("logs", None, "counts", "counts", "counts"),
        ("none", None, "counts", "counts", "counts"),
        ("logs", "logs", "logs", "counts", "X"),
        ("counts", "logs", None, "logs", "raw"),
        ("scaled", "counts", None, "logs", "X"),
        ("logs", "counts", None, "logs", "X"),
    ],
)
def test_the_first_that_holds_what_is_wanted(x, raw, layer, wanted, expected):
    adata = cells(x, raw, layer)
    found = choose_expression(adata, wanted=wanted)
    if expected == "X":
        assert found is adata
        return
    assert found is not adata
    np.testing.assert_array_equal(found.X, MATRICES[raw if expected == "raw" else layer])
    assert list(found.obs["a"]) == list(range(20))
    assert "e" in found.obsm


def test_raw_has_genes_of_its_own():
    adata = cells("scaled", "counts")[:, :2].copy()
    assert adata.n_vars == 2
    found = choose_expression(adata)
    assert list(found.var_names) == list(adata.raw.var_names) == ["g0", "g1", "g2", "g3", "g4"]


def test_what_is_named_is_taken_whatever_it_holds():
    adata = cells("counts", "scaled", "scaled")
    for found in (choose_expression(adata, raw=True), choose_expression(adata, layer="counts")):
        np.testing.assert_array_equal(found.X, SCALED)
    with pytest.raises(InputError, match=r"no .raw"):
        choose_expression(cells("logs"), raw=True)
    with pytest.raises(InputError, match="'log'"):
        choose_expression(adata, layer="log")
