import numpy as np

from scsystems.models.label_votes import vote


def test_votes_ties_and_distances():
    reference = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    labels = np.array(["a", "a", "b", "c", "c", "c"])
    found = vote(reference, labels, np.array([[0.5], [11.0], [100.0]]), 3)
    assert list(found["label"]) == ["a", "c", "c"]
    np.testing.assert_allclose(found["confidence"], [2 / 3, 1, 1])
    # three neighbours of a reference cell, itself left out: mean distances 13/3, 10/3 (twice each side)
    assert found["distance"][2] > 5 * found["distance"][1]
    # one vote each: the nearer wins
    tie = vote(reference, labels, np.array([[1.6], [1.4]]), 2)
    assert list(tie["label"]) == ["b", "a"]


def test_no_query_cells_give_no_rows():
    assert len(vote(np.zeros((4, 2)), np.array(list("aabb")), np.zeros((0, 2)), 2)) == 0
