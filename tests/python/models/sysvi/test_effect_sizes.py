import numpy as np
import pytest
from scipy import sparse

from scsystems.errors import InputError
from scsystems.models.sysvi import effect_sizes as es


def test_fold_change_is_that_of_linear_expression_plus_pseudocounts():
    linear = np.array([[0.0, 1.0, 7.0]]), np.array([[1.0, 3.0, 0.0]])
    logs = [np.log1p(v) for v in linear]
    for p in (1.0, 0.5, 10.0):
        expected = np.log2((linear[0] + p) / (linear[1] + p))
        np.testing.assert_allclose(es.log_fold_change(*logs, p), expected)
    # decoded values slightly below zero are finite all the same
    assert np.isfinite(es.log_fold_change(np.array([[-0.3]]), np.array([[1.0]]), 0.1)).all()


def test_vanilla_mode_counts_pairs():
    first, second = np.array([[1.0], [2.0], [3.0], [0.0]]), np.array([[0.0], [3.0], [1.0], [-1.0]])
    found = es.probability_larger(first, second)
    assert found["proba_m1"] == 0.75
    assert found["proba_m2"] == 0.25
    np.testing.assert_allclose(found["bayes_factor"], np.log(3), rtol=1e-6)


def test_change_mode_keeps_up_and_down_apart_or_not():
    change = np.array([[1.0, 0.0], [-1.0, 0.1], [1.0, 0.0], [0.0, 0.0]])
    three = es.probability_changed(change, 0.5)
    np.testing.assert_allclose(three["proba_de"], [0.5, 0.0])
    two = es.probability_changed(change, 0.5, "two")
    np.testing.assert_allclose(two["proba_de"], [0.75, 0.0])
    own = es.probability_changed(change, 0.5, domain=lambda c: (c == 0, c < -9))
    np.testing.assert_allclose(own["proba_de"], [0.25, 0.75])
    with pytest.raises(InputError, match="test_mode='four'"):
        es.probability_changed(change, 0.5, "four")


def test_delta_is_found_between_small_and_large_effects():
    rng = np.random.default_rng(0)
    effects = np.concatenate([rng.normal(m, 0.05, 200) for m in (-2.0, 0.0, 2.0)])
    assert es.estimate_delta(effects) == pytest.approx(1.2, abs=0.05)
    assert es.estimate_delta(effects * 1e-3) == 0.1
    with pytest.raises(InputError, match="at least 3 genes"):
        es.estimate_delta(np.zeros(2))


def test_credible_interval_is_the_shortest_one():
    samples = np.random.default_rng(1).exponential(1, (400, 2))
    low, high = es.credible_interval(samples, 0.9)
    for j in range(2):
        ordered = np.sort(samples[:, j])
        widths = [ordered[i + 360] - ordered[i] for i in range(40)]
        assert high[j] - low[j] == pytest.approx(min(widths))
    described = es.describe(samples, [0.9])
    np.testing.assert_array_equal(described["confidence_interval_0.9_min"], low)
    for bad in (0, 1, 2.0):
        with pytest.raises(InputError, match="cred_interval_lvls"):
            es.credible_interval(samples, bad)


def test_fdr_keeps_the_expected_share_of_false_calls():
    probability = np.array([0.5, 0.99, 0.97, 0.9])
    # running means of 1 - p, most certain first: 0.01, 0.02, 0.0467, 0.16
    np.testing.assert_array_equal(es.is_de(probability, 0.05), [False, True, True, True])
    np.testing.assert_array_equal(es.is_de(probability, 0.015), [False, True, False, False])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_statistics_of_the_input(kind):
    x = kind(np.log1p(np.array([[0.0, 2.0], [4.0, 2.0], [1.0, 0.0]])))
    table = es.expression_statistics(x, np.array([0, 1]), np.array([2]))
    np.testing.assert_allclose(table["raw_normalized_mean1"], [2, 2])
    np.testing.assert_allclose(table["raw_mean2"], [np.log(2), 0])
    np.testing.assert_allclose(table["non_zeros_proportion1"], [0.5, 1])
