import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from scsystems.errors import InputError, NonFiniteError
from scsystems.metrics import principal_components


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    matrix = rng.poisson(rng.gamma(1, 1, (80, 3)) @ rng.gamma(1, 1, (3, 30)))
    return np.log1p(matrix).astype(np.float32)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_equals_scikit_learn(matrix, make, scale):
    ours = principal_components(make(matrix), 4, scale=scale)
    scaled = StandardScaler().fit_transform(matrix.astype(float)) * np.sqrt(79 / 80)
    theirs = PCA(4).fit_transform(scaled if scale else matrix.astype(float))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=2e-3)


def test_constant_genes_do_not_matter(matrix):
    padded = np.hstack([matrix, np.ones((80, 2), np.float32)])
    np.testing.assert_allclose(
        np.abs(principal_components(padded, 3)), np.abs(principal_components(matrix, 3)), atol=1e-3
    )


def test_bad_matrices(matrix):
    bad = matrix.copy()
    bad[3, 4] = np.nan
    with pytest.raises(NonFiniteError, match="NaN"):
        principal_components(bad)
    with pytest.raises(InputError, match="at least 3 cells"):
        principal_components(matrix[:2])
    with pytest.raises(InputError, match="vary"):
        principal_components(np.ones((10, 10)))
