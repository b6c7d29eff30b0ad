import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import label_transfer_heatmap, similarity_heatmap


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_label_transfer_heatmap_shows_shares_and_shared_types_first():
    known = ["z", "z", "z", "z", "own", None]
    given = ["z", "z", "z", "a", "a", "a"]
    ax = label_transfer_heatmap(known, given)
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0.0, 1.0]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["z", "own"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["z", "a"]
    assert "0.75" in texts(ax)
    with pytest.raises(InputError, match="one per cell"):
        label_transfer_heatmap(known, given[:2])
    with pytest.raises(InputError, match="No cell"):
        label_transfer_heatmap([None], ["a"])


def test_types_that_are_equally_similar_are_numbered_in_their_order():
    table = pd.DataFrame([[1.0, 0.0, 0.0]], index=["a"], columns=["a", "b", "c"])
    for n_best, expected in ((1, {1: "1"}), (2, {1: "1", 2: "2"})):
        ax = similarity_heatmap(table, n_best=n_best)
        assert {t.get_position()[0]: t.get_text() for t in ax.texts} == expected


def test_similarity_heatmap_marks_the_most_similar():
    table = pd.DataFrame(
        [[0.0, 50.0, 9.0], [80.0, 1.0, 2.0]], index=["a", "b"], columns=["a", "b", "c"]
    )
    ax = similarity_heatmap(table, n_best=2)
    marks = {tuple(t.get_position()): t.get_text() for t in ax.texts}
    assert marks == {(0, 0): "1", (2, 0): "2", (1, 1): "1", (2, 1): "2"}
    with pytest.raises(InputError, match="empty"):
        similarity_heatmap(table.iloc[:0])
