"""Products of sparse rows against dense ones in float64."""

import numpy as np
import pytest
import torch
from scipy import sparse

from scsystems.nn.kernels.sparse import is_sparse_enough, sparse_rows
from scsystems.nn.layers import Covariates, CovariateSizes, HiddenLayer


def cells(n=23, n_genes=41, density=0.3):
    x = sparse.random(n, n_genes, density, random_state=0).toarray()
    x[4] = 0  # a cell without any
    return sparse.csr_matrix(x)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_products(index):
    x = cells()
    x.indptr, x.indices = x.indptr.astype(index), x.indices.astype(index)
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(7, x.shape[1])), rng.normal(size=7)
    got = sparse_rows(x).product(*(torch.tensor(a).float() for a in (weight, bias)))
    np.testing.assert_allclose(got, x.toarray() @ weight.T + bias, rtol=1e-5, atol=1e-5)


def test_a_layer_gives_the_same_for_both():
    x = cells()
    layer = HiddenLayer(
        x.shape[1], 6, CovariateSizes(2, (), 0), 0.1, "linear", torch.Generator().manual_seed(0)
    )
    covariates = Covariates(design=torch.eye(2)[torch.arange(len(x.indptr) - 1) % 2])
    with torch.inference_mode():
        dense = layer(torch.tensor(x.toarray()).float(), covariates, False)
        torch.testing.assert_close(layer(sparse_rows(x), covariates, False), dense)


def test_which_is_sparse_enough():
    assert is_sparse_enough(cells(density=0.1))
    assert not is_sparse_enough(cells(density=0.5))
    assert not is_sparse_enough(cells().toarray())
