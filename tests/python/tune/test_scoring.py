import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.tune import rank_settings, representative, score_runs


@pytest.fixture
def runs():
    return pd.DataFrame(
        {
            "setting": ["a", "a", "a", "b", "b", "b"],
            "seed": [0, 1, 2, 0, 1, 2],
            "nmi_fixed": [0.5, 0.6, 0.7, 0.9, 0.8, 0.7],
            "moran": [0.90, 0.92, 0.94, 1.00, 0.98, 0.96],
            "ilisi": [0.8, 0.7, 0.6, 0.0, 0.1, 0.2],
        },
        index=list("uvwxyz"),
    )


def test_the_papers_score(runs):
    scored = score_runs(runs)
    assert scored.loc["u", "biology"] == 0
    assert scored.loc["u", "batch"] == 1
    assert scored.loc["u", "overall"] == pytest.approx(0.4)
    assert scored.loc["x", "overall"] == pytest.approx(0.6)
    w = 0.6 * ((0.2 / 0.4) + (0.04 / 0.1)) / 2 + 0.4 * 0.6 / 0.8
    assert scored.loc["w", "overall"] == pytest.approx(w)


def test_weights_and_metrics_can_be_chosen(runs):
    scored = score_runs(runs, ["moran"], ["ilisi"], (1, 3))
    assert scored.loc["u", "overall"] == pytest.approx(0.75)


def test_a_metric_without_spread_decides_nothing(runs):
    scored = score_runs(runs.assign(moran=0.9))
    assert scored.loc["x", "biology"] == pytest.approx((1 + 0.5) / 2)


def test_ranking_is_by_the_mean_and_shows_the_median_run(runs):
    scored = score_runs(runs)
    ranking = rank_settings(scored)
    means = scored.groupby("setting")["overall"].mean().sort_values(ascending=False)
    assert list(ranking.index) == list(means.index)
    np.testing.assert_allclose(ranking["overall"], means)
    np.testing.assert_allclose(ranking.loc["a", "sd"], scored.loc[list("uvw"), "overall"].std())
    assert (ranking["n_runs"] == 3).all()
    assert scored.loc[ranking.loc["a", "representative"], "overall"] == pytest.approx(
        scored.loc[list("uvw"), "overall"].median()
    )


def test_of_two_runs_the_lower_is_shown(runs):
    scored = score_runs(runs.drop(["w", "z"]))
    lower = scored.loc[["u", "v"], "overall"].idxmin()
    assert representative(scored, "a") == lower


def test_bad_input(runs):
    with pytest.raises(InputError, match=r"lacks the metrics \['asw'\]"):
        score_runs(runs, ["asw"])
    with pytest.raises(InputError, match=r"\['moran'\] are missing for some runs"):
        score_runs(runs.assign(moran=[1, 2, 3, 4, 5, None]))
    with pytest.raises(InputError, match="at least one run"):
        score_runs(runs[:0])
    with pytest.raises(InputError, match="score_runs"):
        rank_settings(runs)
    with pytest.raises(InputError, match="no run of 'c'"):
        representative(score_runs(runs), "c")
