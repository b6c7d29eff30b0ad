import numpy as np
import pytest

from scsystems.errors import InputError
from scsystems.metrics import kbet, nearest_neighbors
from scsystems.metrics.kbet import pvalues
from scsystems.metrics.scib import scib, scib_neighbors


def test_the_test_equals_scib_metrics(cells):
    neighbors = nearest_neighbors(cells.embedding, 30)
    codes = (cells.systems == "mouse").astype(int)
    acceptance, _, theirs = scib().kbet(scib_neighbors(neighbors, 30), codes)
    ours = pvalues(codes[neighbors.indices], codes)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert (ours >= 0.05).mean() == pytest.approx(acceptance, abs=0.01)


def test_mixed_apart_and_untestable():
    rng = np.random.default_rng(0)
    labels = np.repeat(["mixed", "apart", "one system", "few"], [300, 300, 100, 5])
    systems = np.arange(705) % 2
    systems[labels == "one system"] = 0
    embedding = rng.normal(size=(705, 4))
    embedding[(labels == "apart") & (systems == 1)] += 50
    score = kbet(embedding, labels, systems)
    assert score.groups["mixed"] > 0.85
    assert score.groups["apart"] == 0
    assert np.isnan(score.groups["one system"])
    assert np.isnan(score.groups["few"])
    assert score == score.macro == pytest.approx(score.groups["mixed"] / 2)
    assert score.micro == pytest.approx(score.macro)  # both types have 300 cells


def test_nothing_to_test(cells):
    with pytest.raises(InputError, match="No label has 10 cells of two systems"):
        kbet(cells.embedding, cells.systems, cells.systems)
