import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.data.schema import Schema, Setup, gene_means
from scsystems.errors import InputError, NonFiniteError

SETUP = Setup("system", None, ("donor",), ("score",), True)


def test_codes_scales_and_weights(adata):
    schema = Schema.from_anndata(adata, SETUP)
    cells = schema.arrays(adata)
    np.testing.assert_array_equal(
        np.array(schema.systems)[cells.system], adata.obs["system"].astype(str)
    )
    np.testing.assert_array_equal(
        np.array(schema.categories[0])[cells.categorical[:, 0]], adata.obs["donor"].astype(str)
    )
    np.testing.assert_allclose(cells.continuous.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(cells.continuous.std(), 1, rtol=1e-6)
    assert cells.x is adata.X


def test_weights_balance_the_systems_with_mean_one(make):
    adata = make()
    adata = adata[(adata.obs["system"] == "human") | (np.arange(adata.n_obs) % 4 == 1)].copy()
    cells = Schema.from_anndata(adata, SETUP).arrays(adata)
    sums = np.bincount(cells.system, cells.weight)
    np.testing.assert_allclose(sums, len(cells) / 2, rtol=1e-5)
    np.testing.assert_allclose(cells.weight.mean(), 1, rtol=1e-5)


def test_json_round_trip(adata):
    schema = Schema.from_anndata(adata, SETUP)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    SETUP.write(adata)
    assert Setup.read(adata.copy()) == SETUP


def test_genes_in_another_order_are_put_right(adata):
    schema = Schema.from_anndata(adata, SETUP)
    shuffled = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    np.testing.assert_array_equal(schema.arrays(shuffled).x.toarray(), adata.X.toarray())


def test_unused_levels_are_dropped(adata):
    adata.obs["system"] = adata.obs["system"].cat.add_categories("zebrafish")
    assert Schema.from_anndata(adata, SETUP).systems == ("human", "mouse")


def test_level_order_follows_the_factor(adata):
    adata.obs["system"] = adata.obs["system"].cat.reorder_categories(["mouse", "human"])
    assert Schema.from_anndata(adata, SETUP).systems == ("mouse", "human")


def _set(column, value):
    def change(adata):
        adata.obs[column] = value(adata)

    return change


def _change_x(value):
    def change(adata):
        adata.X = adata.X.toarray()
        adata.X[5, 3] = value

    return change


def _names(axis):
    def change(adata):
        names = list(getattr(adata, axis))
        names[1] = names[0]
        setattr(adata, axis, names)

    return change


BAD = {
    "counts": (
        lambda a: setattr(a, "X", a.layers["counts"]),
        InputError,
        "raw counts.*scsystems.pp.prepare",
    ),
    "nan": (_change_x(np.nan), NonFiniteError, "cell 5, gene 3"),
    "inf": (_change_x(np.inf), NonFiniteError, "cell 5, gene 3"),
    "negative": (_change_x(-1.0), InputError, "negative values"),
    "one system": (_set("system", lambda a: "human"), InputError, "one level only"),
    "system of one cell": (
        _set("system", lambda a: ["fish"] + ["human", "mouse"] * 119 + ["human"]),
        InputError,
        "single cell: 'fish'",
    ),
    "donor of one cell": (
        _set("donor", lambda a: ["rare"] + ["d1"] * (a.n_obs - 1)),
        InputError,
        r"'donor'.*single cell: 'rare'",
    ),
    "missing column": (lambda a: a.obs.__delitem__("donor"), InputError, "'donor' is not a column"),
    "missing value in system": (
        _set("system", lambda a: a.obs["system"].where(np.arange(a.n_obs) != 7)),
        InputError,
        "missing for 1 of 240 cells .first: 'cell7'",
    ),
    "missing value in score": (
        _set("score", lambda a: np.where(np.arange(a.n_obs) == 2, np.nan, 1.0)),
        InputError,
        "'score'.*missing",
    ),
    "text as number": (_set("score", lambda a: "x"), InputError, "Expected numbers"),
    "infinite score": (_set("score", lambda a: np.inf), InputError, "infinite"),
    "duplicated genes": (_names("var_names"), InputError, "Gene names.*not unique"),
    "duplicated cells": (_names("obs_names"), InputError, "Cell names.*not unique"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore:(Variable|Observation) names are not unique:UserWarning")
def test_bad_input(adata, case):
    change, error, message = BAD[case]
    change(adata)
    with pytest.raises(error, match=message):
        Schema.from_anndata(adata, SETUP)


def test_missing_layer(adata):
    with pytest.raises(InputError, match=r"layer='logcounts' is not in adata.layers"):
        Schema.from_anndata(adata, Setup("system", "logcounts"))


def test_new_data_must_fit(adata):
    schema = Schema.from_anndata(adata, SETUP)
    with pytest.raises(InputError, match="lacks 3 of the model's 40 genes: 'g0', 'g1', 'g2'"):
        schema.arrays(adata[:, 3:].copy())
    other = adata.copy()
    other.obs["donor"] = pd.Categorical(["new"] * 10 + list(adata.obs["donor"][10:]))
    with pytest.raises(InputError, match=r"not seen: 'new'.*load_query_data"):
        schema.arrays(other)


def test_setup_must_come_first(adata):
    with pytest.raises(InputError, match="setup_anndata"):
        Setup.read(adata)


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix]
)
def test_gene_means_are_those_of_the_whole_matrix_without_a_copy_of_it(kind, monkeypatch):
    monkeypatch.setattr("scsystems.data.schema.BLOCK", 7)
    x = np.random.default_rng(0).poisson(0.3, (40, 6)).astype(np.float32)
    x[:, 2] = 0
    np.testing.assert_allclose(gene_means(kind(x)), x.astype(float).mean(0), rtol=1e-6)
