import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from scsystems.data import neighbors as neighbors
from scsystems.data.neighbors import agreeing, nearest, vote
from scsystems.errors import InputError


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_nearest_is_exact_over_several_blocks(metric, kind, monkeypatch):
    monkeypatch.setattr(neighbors, "QUERY_BLOCK", 7)
    monkeypatch.setattr(neighbors, "REFERENCE_BLOCK", 11)
    rng = np.random.default_rng(0)
    query, reference = rng.poisson(1.0, (23, 30)) + 0.0, rng.poisson(1.0, (40, 30)) + 0.0
    truth = NearestNeighbors(n_neighbors=13, metric=metric, algorithm="brute").fit(reference)
    expected, _ = truth.kneighbors(query)
    make = sparse.csc_matrix if kind == "sparse" else np.asarray
    index, distance = nearest(make(query), make(reference), 13, metric)
    np.testing.assert_allclose(distance, expected, atol=2e-6)
    # ties may swap, but every neighbor lies at the distance that is told of it
    all_distances = NearestNeighbors(n_neighbors=40, metric=metric, algorithm="brute").fit(
        reference
    )
    d, at = all_distances.kneighbors(query)
    table = np.empty_like(d)
    np.put_along_axis(table, at, d, 1)
    np.testing.assert_allclose(np.take_along_axis(table, index, 1), expected, atol=2e-6)
    assert all(len(set(row)) == 13 for row in index)


def test_a_cell_without_counts_is_at_cosine_distance_one():
    _, distance = nearest(np.zeros((1, 3)), np.eye(3), 2, "cosine")
    np.testing.assert_array_equal(distance, 1.0)


@pytest.mark.parametrize("k", [0, 6])
def test_impossible_numbers_of_neighbors_are_refused(k):
    with pytest.raises(InputError, match="Expected 1 to 5"):
        nearest(np.ones((2, 2)), np.ones((5, 2)), k)


def test_vote_counts_and_breaks_ties_by_nearness():
    label, share = vote(np.array([[0, 1, 1], [2, 0, 1], [1, 1, 1]]), 3)
    np.testing.assert_array_equal(label, [1, 2, 1])
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 1.0], rtol=1e-6)


def test_quantile_rule_in_closed_cases():
    label = np.array([0, 0, 0, 0, 0, 1, 1])
    agreement = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.7])
    np.testing.assert_array_equal(agreeing(label, agreement, 0.0), True)
    np.testing.assert_array_equal(
        agreeing(label, agreement, 0.75), [False, False, False, True, True, False, True]
    )
    np.testing.assert_array_equal(np.flatnonzero(agreeing(label, agreement, 1.0)), [4, 6])
    # the best three of each label at least; the second label has only two
    np.testing.assert_array_equal(
        np.flatnonzero(agreeing(label, agreement, 1.0, 3)), [2, 3, 4, 5, 6]
    )


def test_a_label_on_which_all_agree_keeps_all_its_cells():
    assert agreeing(np.zeros(4, int), np.ones(4, np.float32), 0.8).all()


def test_levels_outside_zero_to_one_are_refused():
    with pytest.raises(InputError, match="quantile"):
        agreeing(np.zeros(2, int), np.ones(2), 1.5)


MEASURE = """
import resource
import sys
import numpy as np
from scsystems.data.neighbors import nearest

def peak():
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1 if sys.platform == "darwin" else 1024)

cells = np.random.default_rng(0).normal(size=(2, 12_000, 4)).astype(np.float32)
nearest(cells[0, :100], cells[1, :100], 5)
before = peak()
nearest(*cells, 5)
print(peak() - before)
"""


def test_the_distances_of_all_pairs_are_never_in_memory():
    """They would take 550 MiB."""
    used = float(subprocess.check_output([sys.executable, "-c", MEASURE], text=True))
    assert used < 300
