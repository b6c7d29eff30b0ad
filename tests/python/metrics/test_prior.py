import numpy as np
import pytest
from scipy.stats import multivariate_normal

from scsystems.errors import InputError
from scsystems.metrics import component_shares, prior_component


def test_highest_support():
    rng = np.random.default_rng(0)
    z, means, variances = rng.normal(size=(50, 3)), rng.normal(size=(4, 3)), rng.gamma(2, 1, (4, 3))
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    density = [
        np.log(w) + multivariate_normal(m, np.diag(v)).logpdf(z.astype(np.float32))
        for w, m, v in zip(weights, means, variances, strict=True)
    ]
    expected = np.argmax(density, axis=0)
    assert (prior_component(z, means, variances, weights) == expected).all()
    assert set(prior_component(z, means, variances, [0, 0, 1, 0])) == {2}


def test_shares_sum_to_one_per_group():
    table = component_shares([0, 1, 1, 2], ["x", "x", "y", None], n_components=4)
    assert table.loc["x"].tolist() == [0.5, 0.5, 0, 0]
    assert table.loc["y"].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("means", "variances", "weights", "message"),
    [
        (np.zeros((2, 4)), np.ones((2, 4)), None, "3 dimensions"),
        (np.zeros((2, 3)), np.zeros((2, 3)), None, "positive variances"),
        (np.zeros((2, 3)), np.ones((2, 3)), [1], "expected 2 values"),
    ],
)
def test_bad_input(means, variances, weights, message):
    with pytest.raises(InputError, match=message):
        prior_component(np.zeros((5, 3)), means, variances, weights)
