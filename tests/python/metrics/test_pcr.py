import numpy as np
import pytest

from scsystems.errors import InputError
from scsystems.metrics import explained_variance, pcr_comparison
from scsystems.metrics.scib import scib


def test_equals_regression_on_principal_components():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 3, 200)
    embedding = rng.normal(size=(200, 5)) + rng.normal(0, 2, (3, 5))[groups]
    theirs = scib().utils.principal_component_regression(
        embedding, groups, categorical=True, n_components=5
    )
    assert explained_variance(embedding, groups) == pytest.approx(theirs, abs=1e-4)


def test_equals_scib_metrics(cells):
    after = cells.embedding[:, 2:] * 0.5
    theirs = scib().pcr_comparison(cells.embedding, after, cells.systems, categorical=True)
    assert pcr_comparison(cells.embedding, after, cells.systems) == pytest.approx(theirs, abs=1e-4)


def test_extremes():
    groups = np.repeat([0, 1], 50)
    step = np.where(groups, 1.0, -1.0)[:, None]
    assert explained_variance(step, groups) == pytest.approx(1)
    alternating = np.tile([1.0, -1.0], 50)[:, None]
    assert explained_variance(alternating, groups) == pytest.approx(0)
    assert pcr_comparison(step, alternating, groups) == pytest.approx(1)
    assert pcr_comparison(step + 3 * alternating, step, groups) == 0  # made worse


def test_nothing_varies():
    with pytest.raises(InputError, match="same embedding"):
        explained_variance(np.ones((10, 2)), np.arange(10) % 2)
    alternating = np.tile([1.0, -1.0], 50)[:, None]
    with pytest.raises(InputError, match="no effect to remove"):
        pcr_comparison(alternating, alternating, np.repeat([0, 1], 50))
