import numpy as np
import pandas as pd

from scsystems.tools.label_transfer import rank, transfer


def test_rank_takes_the_smallest_values_first():
    among = np.array([[10, 11, 12], [20, 21, 22]])
    values = np.array([[3.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    np.testing.assert_array_equal(rank(among, values, 2), [[11, 12], [22, 20]])


def test_transfer_counts_votes():
    labels = np.array(["a", "b", "b", "c"])
    found = transfer(np.array([[0, 1, 2], [3, 0, 1], [3, 3, 0]]), labels)
    assert list(found["label"]) == ["b", "c", "c"]
    np.testing.assert_allclose(found["confidence"], [2 / 3, 1 / 3, 2 / 3], rtol=1e-6)


def test_missing_labels_do_not_vote_but_lower_confidence():
    labels = pd.Series(["a", None, None, "c"])
    found = transfer(np.array([[1, 2, 3], [1, 2, 1], [0, 0, 3]]), labels)
    assert found["label"].tolist()[0] == "c"
    assert pd.isna(found["label"].iloc[1])
    np.testing.assert_allclose(found["confidence"], [1 / 3, 0, 2 / 3], rtol=1e-6)
