import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scsystems as scs
from scsystems.data.matrix import expression
from scsystems.models.sysvi.model import Schema, Setup
from scsystems.tune.cells import read_cells, write_cells

KINDS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr array": sparse.csr_array,
    "dense": lambda x: x.toarray(),
}


def cells(kind: str = "csr", layer: str | None = None) -> AnnData:
    rng = np.random.default_rng(0)
    x = KINDS[kind](sparse.random(30, 12, 0.4, "csr", dtype=np.float32, random_state=rng))
    obs = pd.DataFrame(
        {
            "system": pd.Categorical(np.repeat(["tissue", "organoid"], 15), ["tissue", "organoid"]),
            "donor/number": rng.integers(8, 12, 30),
            "age": rng.normal(size=30),
            "unused": "x",
        },
        index=[f"cell{i}" for i in range(30)],
    )
    var = pd.DataFrame(index=[f"{gene}" for gene in range(12)])
    adata = AnnData(None if layer else x, obs=obs, var=var, layers={layer: x} if layer else None)
    scs.SysVI.setup_anndata(adata, "system", layer, ["donor/number"], ["age"])
    return adata


@pytest.mark.parametrize("kind", KINDS)
def test_expression_is_the_same(kind, tmp_path):
    adata = cells(kind)
    write_cells(tmp_path, adata)
    back = read_cells(tmp_path)
    assert type(back.X) is type(expression(adata))
    assert back.X.dtype == np.float32
    difference = back.X - adata.X
    assert abs(difference).max() == 0
    assert list(back.var_names) == list(adata.var_names)
    assert list(back.obs_names) == list(adata.obs_names)


def test_a_model_sees_the_same_systems_and_covariates(tmp_path):
    adata = cells(layer="log")
    write_cells(tmp_path, adata)
    back = read_cells(tmp_path)
    assert Setup.read(back) == Setup.read(adata)
    assert "unused" not in back.obs
    schemas = [Schema.from_anndata(a, Setup.read(a)) for a in (adata, back)]
    assert schemas[0] == schemas[1]
    assert schemas[1].systems == ("tissue", "organoid")
    assert schemas[1].categories == (("10", "11", "8", "9"),)
    first, second = (schema.arrays(a) for schema, a in zip(schemas, (adata, back), strict=True))
    for name in ("system", "categorical", "continuous"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))


def test_expression_is_mapped_and_the_file_is_left_alone(tmp_path):
    adata = cells("dense")
    write_cells(tmp_path, adata)
    back = read_cells(tmp_path)
    assert isinstance(back.X.base, np.memmap)
    back.X[:] = 0
    np.testing.assert_array_equal(read_cells(tmp_path).X, adata.X)


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(np.repeat(["2020-01-01", "2020-01-02"], 15)),
        np.repeat(np.array([1, "1", "x"], dtype=object), 10),
        np.repeat([0.1, 0.2, 1], 10).astype(np.float32),
        np.repeat([True, False], 15),
        pd.array(np.repeat([2, 10], 15), dtype="Int64"),
        pd.Categorical(np.repeat([10.0, 2.0], 15), categories=[10.0, 2.0]),
    ],
)
def test_covariates_of_any_kind_are_the_same_levels(values, tmp_path):
    adata = cells()
    adata.obs["donor/number"] = values
    write_cells(tmp_path, adata)
    schemas = [Schema.from_anndata(a, Setup.read(a)) for a in (adata, read_cells(tmp_path))]
    assert schemas[0] == schemas[1]
    codes = [
        s.arrays(a).categorical for s, a in zip(schemas, (adata, read_cells(tmp_path)), strict=True)
    ]
    np.testing.assert_array_equal(*codes)
