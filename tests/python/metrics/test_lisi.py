import numpy as np
import pytest

from scsystems.errors import InputError
from scsystems.metrics import Neighbors, clisi, condition_ilisi, ilisi, lisi, nearest_neighbors
from scsystems.metrics.scib import scib, scib_neighbors


def test_equals_scib_metrics(cells):
    neighbors = nearest_neighbors(cells.embedding, 90)
    theirs = scib_neighbors(neighbors, 90)
    assert ilisi(neighbors, cells.systems) == pytest.approx(
        scib().ilisi_knn(theirs, cells.systems), abs=1e-6
    )
    assert clisi(neighbors, cells.labels) == pytest.approx(
        scib().clisi_knn(theirs, cells.labels), abs=1e-6
    )


def test_closed_form():
    # 13 near neighbors (a third of 41, the perplexity) at one distance, all others far away:
    # the near ones weigh the same and LISI is 1 / sum of their squared shares
    n = 41
    indices = np.array([[i, *[j for j in range(n) if j != i]] for i in range(n)])
    distances = np.repeat([[0.0, *[1.0] * 13, *[50.0] * 27]], n, axis=0)
    systems = np.array(["x"] * 5 + ["y"] * 36)
    values = lisi(Neighbors(indices, distances), systems)
    for cell, share in ((0, 4 / 13), (20, 5 / 13)):
        assert values[cell] == pytest.approx(1 / (share**2 + (1 - share) ** 2), rel=1e-3)


def test_apart_and_mixed():
    rng = np.random.default_rng(0)
    systems = np.repeat(["x", "y"], 300)
    mixed = nearest_neighbors(rng.normal(size=(600, 4)))
    apart = nearest_neighbors(rng.normal(size=(600, 4)) + 100 * (systems == "x")[:, None])
    assert ilisi(mixed, systems) > 0.9
    assert ilisi(apart, systems) == 0
    assert clisi(apart, systems) == 1


def test_macro_counts_shared_types_equally(cells):
    neighbors = nearest_neighbors(cells.embedding)
    score = ilisi(neighbors, cells.systems, cells.labels)
    assert set(score.groups) == {"a", "b", "c"}
    values = lisi(neighbors, cells.systems) - 1
    assert score.groups["c"] == pytest.approx(np.median(values[cells.labels == "c"]))
    assert score.macro == pytest.approx(np.mean(list(score.groups.values())))
    assert score.micro == score == pytest.approx(np.median(values))


def test_neighbors_all_equally_far_have_no_value():
    # no weighting of them has the perplexity asked for
    indices = np.array([[i, *[j for j in range(41) if j != i]] for i in range(41)])
    neighbors = Neighbors(indices, np.repeat([[0.0, *[1.0] * 40]], 41, axis=0))
    systems = np.arange(41) % 2
    assert np.isnan(lisi(neighbors, systems)).all()
    assert np.isnan(ilisi(neighbors, systems, systems))


def test_conditions_across_systems():
    rng = np.random.default_rng(0)
    systems = np.tile(["x", "y"], 200)
    diseased = np.arange(400) >= 200
    embedding = rng.normal(size=(400, 3)) + 50 * diseased[:, None]
    similar = ~diseased
    dissimilar = (systems == "x") & ~diseased | (systems == "y") & diseased
    scores = condition_ilisi(embedding, systems, similar, dissimilar)
    assert scores["similar"] > 0.8
    assert scores["dissimilar"] == 0
    assert scores["difference"] == scores["similar"] - scores["dissimilar"]


@pytest.mark.parametrize(
    ("similar", "message"),
    [
        (np.ones(400), "expected a mask"),
        (np.ones(3, bool), "expected a mask"),
        (np.arange(400) % 2 == 0, "1 system"),
    ],
)
def test_conditions_need_masks_over_two_systems(similar, message):
    systems = np.tile(["x", "y"], 200)
    with pytest.raises(InputError, match=message):
        condition_ilisi(np.zeros((400, 2)), systems, similar, np.ones(400, bool))


def test_one_system(cells):
    with pytest.raises(InputError, match="at least 2"):
        ilisi(nearest_neighbors(cells.embedding), np.zeros(360))


def test_too_few_neighbors(cells):
    with pytest.raises(InputError, match="at least 4 neighbors"):
        lisi(nearest_neighbors(cells.embedding, 3), cells.systems)
