import numpy as np

from scsystems.tools.label_centers import RIDGE, label_centers


def test_centers_are_means_and_the_precision_is_of_what_is_left():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 2], [30, 50])
    z = rng.normal(size=(80, 3)) * [1, 2, 0.1] + label[:, None]
    centers, precision = label_centers(z, label, 4)
    np.testing.assert_allclose(centers[0], z[:30].mean(0))
    np.testing.assert_allclose(centers[2], z[30:].mean(0))
    assert np.isinf(centers[[1, 3]]).all()
    within = (30 * np.cov(z[:30].T, bias=True) + 50 * np.cov(z[30:].T, bias=True)) / 80
    ridge = RIDGE * np.trace(within) / 3
    np.testing.assert_allclose(precision @ (within + ridge * np.eye(3)), np.eye(3), atol=1e-9)


def test_cells_that_are_all_alike_have_no_spread_and_no_infinite_precision():
    _, precision = label_centers(np.ones((5, 2)), np.zeros(5, np.int64), 1)
    assert np.isfinite(precision).all()
