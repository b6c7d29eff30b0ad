import numpy as np
import pytest
from scipy import sparse

from scsystems.data.spread import spread_cells


def clusters(sizes, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 5, (len(sizes), 30))
    kind = np.repeat(np.arange(len(sizes)), sizes)
    return centers[kind] + rng.normal(size=(len(kind), 30)), kind


@pytest.mark.parametrize("kind_of_matrix", [np.asarray, sparse.csr_matrix])
def test_rare_kinds_are_among_the_chosen(kind_of_matrix):
    x, kind = clusters([500, 500, 10, 8])
    hits = [
        np.unique(kind[spread_cells(kind_of_matrix(x), np.zeros(len(x), int), 8, seed)]).size
        for seed in range(10)
    ]
    assert np.mean(hits) > 3.5
    # drawing all cells alike misses them
    at_random = [np.unique(np.random.default_rng(s).choice(kind, 8)).size for s in range(10)]
    assert np.mean(at_random) < 2.5


def test_groups_share_evenly_whatever_their_size():
    x, kind = clusters([300, 40, 20])
    chosen = spread_cells(x, kind, 10, 0)
    assert np.bincount(kind[chosen]).tolist() == [4, 3, 3]
    assert np.unique(chosen).size == 10


def test_the_seed_decides_and_small_groups_repeat():
    x, kind = clusters([30, 3])
    assert spread_cells(x, kind, 8, 1).tolist() == spread_cells(x, kind, 8, 1).tolist()
    assert spread_cells(x, kind, 8, 1).tolist() != spread_cells(x, kind, 8, 2).tolist()
    chosen = spread_cells(x, kind, 10, 0)
    assert set(chosen[kind[chosen] == 1]) == {30, 31, 32}


def test_large_groups_are_looked_at_in_part(monkeypatch):
    monkeypatch.setattr("scsystems.data.spread.MOST_CELLS", 50)
    x, _ = clusters([200])
    chosen = spread_cells(x, np.zeros(200, int), 6, 0)
    looked_at = np.random.default_rng(0).choice(np.arange(200), 50, replace=False)
    assert np.unique(chosen).size == 6
    assert set(chosen) <= set(looked_at)
