import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.metrics.batch_strength import BatchStrength, compare_distances
from scsystems.plots import batch_strength


@pytest.fixture
def strength():
    columns = ["label", "sample_a", "sample_b", "system_a", "system_b", "kind", "distance"]
    samples = {"h1": 0.0, "h2": 1.0, "h3": 2.0, "m1": 20.0, "m2": 21.5, "m3": 22.0}
    rows = [
        [
            "x",
            a,
            b,
            a[0],
            b[0],
            "within" if a[0] == b[0] else "between",
            abs(samples[a] - samples[b]),
        ]
        for i, a in enumerate(samples)
        for b in list(samples)[i + 1 :]
    ]
    distances = pd.DataFrame(rows, columns=columns)
    return BatchStrength("", True, compare_distances(distances), distances, pd.DataFrame())


def test_draws_every_pair_and_marks_the_significant(strength, drawn):
    ax = batch_strength(strength)
    assert drawn(ax)
    dots = sum(len(c.get_offsets()) for c in ax.collections if c.get_offsets().shape[0] > 1)
    assert dots == 15
    assert [t.get_text() for t in ax.texts] == ["*"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["x"]


def test_nothing_to_draw(strength):
    empty = BatchStrength("", True, strength.tests, strength.distances[:0], strength.asw)
    with pytest.raises(InputError, match="smaller 'min_cells'"):
        batch_strength(empty)
    assert np.isfinite(strength.tests["p_value"]).all()
