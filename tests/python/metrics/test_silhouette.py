import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from scsystems.errors import InputError
from scsystems.metrics import asw_batch, asw_label, asw_signed, isolated_labels, silhouettes
from scsystems.metrics.scib import scib


@pytest.mark.parametrize("block", [(256, 4096), (7, 50)])
def test_equals_scikit_learn(cells, block):
    expected = silhouette_samples(cells.embedding.astype(float), cells.labels)
    np.testing.assert_allclose(
        silhouettes(cells.embedding, cells.labels, block=block), expected, atol=5e-5
    )


def test_far_from_the_origin_and_single_cells():
    rng = np.random.default_rng(0)
    embedding = (rng.normal(size=(100, 3)) + 1000).astype(np.float32)
    groups = np.array(["alone"] + ["x", "y"] * 49 + ["x"])
    expected = silhouette_samples(embedding.astype(float), groups)
    np.testing.assert_allclose(silhouettes(embedding, groups), expected, atol=1e-3)
    assert silhouettes(embedding, groups)[0] == 0


def test_scores_equal_scib_metrics(cells):
    e, labels, systems = cells.embedding, cells.labels, cells.systems
    assert asw_label(e, labels) == pytest.approx(scib().silhouette_label(e, labels), abs=1e-5)
    assert asw_batch(e, labels, systems) == pytest.approx(
        scib().silhouette_batch(e, labels, systems), abs=1e-5
    )
    theirs = scib().isolated_labels(e, labels, systems)
    score = isolated_labels(e, labels, systems)
    assert score == pytest.approx(theirs, abs=1e-5)
    assert set(score.groups) == {"own"}


def test_known_silhouettes_are_used(cells):
    widths = np.zeros(360)
    assert asw_label(cells.embedding, cells.labels, widths=widths) == 0.5


def test_signed_is_not_absolute():
    # system y lies inside system x's spread: its cells are nearer to the others
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 5, (100, 2)), rng.normal(0, 0.1, (100, 2))
    embedding, systems = np.vstack([x, y]), np.repeat(["x", "y"], 100)
    labels = np.repeat("one", 200)
    expected = silhouette_samples(embedding, systems)
    assert (expected < 0).any()
    signed = asw_signed(embedding, labels, systems)
    assert signed == pytest.approx(expected.mean(), abs=1e-4)
    assert asw_batch(embedding, labels, systems) == pytest.approx(
        1 - np.abs(expected).mean(), abs=1e-4
    )


def test_micro_weights_by_cells(cells):
    score = asw_signed(cells.embedding, cells.labels, cells.systems)
    assert set(score.groups) == {"a", "b", "c"}
    sizes = {"a": 160, "b": 120, "c": 50}
    micro = sum(score.groups[name] * n for name, n in sizes.items()) / 330
    assert score.micro == pytest.approx(micro)
    assert score == score.macro == pytest.approx(np.mean(list(score.groups.values())))


def test_no_shared_label(cells):
    with pytest.raises(InputError, match="share"):
        asw_batch(cells.embedding, cells.systems, cells.systems)
    with pytest.raises(InputError, match="at least 2"):
        asw_label(cells.embedding, np.zeros(360))
