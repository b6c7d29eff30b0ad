import numpy as np
import pytest
from scipy import sparse

from scsystems.data.scale.normalize import base_number, normalize

BASES = (np.e, 2.0, 10.0)


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    mean = rng.gamma(1, 3, 80) * rng.gamma(5, 0.2, (60, 1))
    return rng.poisson(mean) + np.eye(60, 80, dtype=int)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dense", [False, True])
def test_counts_are_normalized_and_other_cells_left(counts, base, dense):
    totals = counts.sum(1) * 1.5  # over more genes than there are here
    expected = np.log1p(counts / totals[:, None] * 2e5) / np.log(base)
    expected[::4] = counts[::4]
    x = counts.astype(np.float32)
    x = x if dense else sparse.csr_matrix(x)
    totals[::4] = np.nan
    normalize(x, totals, 2e5, base)
    np.testing.assert_allclose(x if dense else x.toarray(), expected, rtol=1e-5)


def test_bases_are_numbers():
    assert [base_number(base) for base in ("e", "2", "10")] == [np.e, 2.0, 10.0]
    assert np.isnan(base_number(None))
