import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import metric_strips, tradeoff


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((6, 3)), columns=["ilisi", "nmi_fixed", "moran"])
    return frame.assign(setting=["weak"] * 3 + ["strong"] * 3, weight=[1.0] * 3 + [50.0] * 3)


def test_dots_are_runs_and_crosses_their_means(runs, drawn):
    ax = tradeoff(runs, by="setting")
    assert drawn(ax)
    dots, crosses = (np.asarray(points.get_offsets()) for points in ax.collections[:2])
    np.testing.assert_allclose(dots, runs[["ilisi", "nmi_fixed"]])
    np.testing.assert_allclose(crosses[0], runs.loc[:2, ["ilisi", "nmi_fixed"]].mean())
    assert "ilisi" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["strong", "weak"]


@pytest.mark.parametrize("color", ["setting", "weight"])
def test_means_stand_out_from_runs(runs, color):
    dots, crosses = tradeoff(runs, by="setting", color=color).collections[:2]
    assert (dots.get_sizes().tolist(), crosses.get_sizes().tolist()) == ([16], [90])


def test_numbers_get_a_scale(runs, drawn):
    ax = tradeoff(runs, y="moran", by="setting", color="weight", palette="magma")
    assert ax.collections[0].get_array().tolist() == runs["weight"].tolist()
    assert drawn(ax)


def test_the_index_names_runs_by_default(runs):
    _, given = plt.subplots()
    wide = runs.set_index(pd.Index(list("abcdef"), name="embedding"))
    assert tradeoff(wide, ax=given, legend=False) is given
    assert len(given.collections[1].get_offsets()) == 6


def test_strips(runs, drawn):
    axes = metric_strips(runs, ["ilisi", "moran"], by="setting")
    assert drawn(axes[0])
    assert [ax.get_title() for ax in axes] == ["ilisi", "moran"]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["weak", "strong"]
    assert axes[0].collections[0].get_sizes().tolist() == [18]
    lines = [c for c in axes[1].collections if hasattr(c, "get_segments")]
    assert lines[0].get_segments()[0][0, 0] == pytest.approx(runs.loc[:2, "moran"].mean())


def test_missing_values_leave_a_gap(runs, drawn):
    runs.loc[:2, "moran"] = np.nan
    assert drawn(metric_strips(runs, "moran", by="setting")[0])


def test_unknown_columns(runs):
    with pytest.raises(InputError, match=r"no columns \['absent'\]"):
        tradeoff(runs, x="absent")
    with pytest.raises(InputError, match="'metrics' is empty"):
        metric_strips(runs, [])
