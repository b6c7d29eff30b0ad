import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import normalized_mutual_info_score

from scsystems.errors import InputError
from scsystems.metrics import (
    cluster_preservation,
    clusters_before,
    matched_profiles,
    nearest_neighbors,
)


@pytest.fixture(scope="module")
def data():
    """Three types with their own genes, in two systems that differ in all genes."""
    rng = np.random.default_rng(0)
    n = 420
    kind, system = rng.integers(0, 3, n), np.arange(n) % 2
    rate = np.exp(rng.normal(0, 1, (3, 40)))[kind] * np.exp(rng.normal(0, 1, (2, 40)))[system]
    expression = np.log1p(rng.poisson(rate * 5)).astype(np.float32)
    systems = np.array(["human", "mouse"])[system]
    return sparse.csr_matrix(expression), kind, systems


def place(kind, n=420):
    return 10 * np.eye(3)[kind] + np.random.default_rng(1).normal(0, 0.5, (n, 3))


def test_clusters_before_find_types_within_samples(data):
    expression, kind, systems = data
    before = clusters_before(expression, systems)
    for system in ("human", "mouse"):
        cells = systems == system
        assert normalized_mutual_info_score(before[cells].astype(str), kind[cells]) > 0.8
        assert all(name.startswith(f"{system}: ") for name in before[cells])
    assert (before == clusters_before(expression, systems)).all()


def test_small_samples_have_no_clusters(data):
    expression, _, systems = data
    samples = systems.copy()
    samples[:60] = "tiny"
    assert (clusters_before(expression, samples)[:60] == None).all()  # noqa: E711
    with pytest.raises(InputError, match="No sample has 100 cells"):
        clusters_before(expression[:60], samples[:60])


def test_preservation_is_the_mean_nmi_of_samples(data):
    _, kind, systems = data
    before = np.array([f"{s}: {k}" for s, k in zip(systems, kind, strict=True)], dtype=object)
    kept = cluster_preservation(kind, before, systems)
    assert kept == pytest.approx(1)
    assert set(kept.groups) == {"human", "mouse"}
    merged = np.where(kind == 2, 1, kind)  # two types in one cluster
    lost = cluster_preservation(merged, before, systems)
    named = {}
    for system in ("human", "mouse"):
        cells = systems == system
        most = max((1, 2), key=lambda k: (kind[cells] == k).sum())
        guess = np.where(kind[cells] == 0, 0, most)
        named[system] = normalized_mutual_info_score(kind[cells], guess)
    assert lost == pytest.approx(np.mean(list(named.values())))


def test_profiles_tell_right_from_wrong_matches(data):
    expression, kind, systems = data
    before = np.array([f"{s}: {k}" for s, k in zip(systems, kind, strict=True)], dtype=object)
    right = matched_profiles(place(kind), expression, before, systems)
    wrong = matched_profiles(
        place(np.where(systems == "mouse", (kind + 1) % 3, kind)), expression, before, systems
    )
    assert right > 0.7
    assert wrong < 0
    assert set(right.groups) == set(before)


def test_profiles_equal_a_calculation_by_hand(data):
    expression, kind, systems = data
    before = np.full(420, None, dtype=object)
    before[(systems == "human") & (kind == 0)] = "h0"
    dense = expression.toarray().astype(float)
    embedding = place(kind).astype(np.float32)
    human, mouse = (
        (dense[systems == s] - dense[systems == s].mean(0)) / dense[systems == s].std(0)
        for s in ("human", "mouse")
    )
    own = human[kind[systems == "human"] == 0].mean(0)
    query, reference = embedding[before == "h0"], embedding[systems == "mouse"]
    near = np.argsort(((query[:, None] - reference) ** 2).sum(-1), axis=1)[:, :7]
    expected = np.corrcoef(own, mouse[near].mean((0, 1)))[0, 1]
    for matrix in (expression, dense.astype(np.float32)):
        score = matched_profiles(embedding, matrix, before, systems, k=7)
        assert score == pytest.approx(expected, abs=1e-4)


def test_mixing_everything_loses_both(data):
    expression, _, systems = data
    before = clusters_before(expression, systems)
    noise = np.random.default_rng(2).normal(size=(420, 3))
    from scsystems.metrics import leiden

    clusters = leiden(nearest_neighbors(noise))[2.0]
    assert cluster_preservation(clusters, before, systems) < 0.2
    assert abs(matched_profiles(noise, expression, before, systems)) < 0.4
