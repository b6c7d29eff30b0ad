import random

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from scsystems.errors import InputError
from scsystems.metrics import (
    ari,
    best_nmi_ari,
    jaccard,
    leiden,
    name_clusters,
    nearest_neighbors,
    nmi,
)
from scsystems.metrics.scib import scib, scib_neighbors


@pytest.mark.calls_scanpy
def test_finds_separate_types_like_scib_metrics():
    rng = np.random.default_rng(0)
    labels = np.repeat(list("abcd"), 60)
    embedding = rng.normal(size=(240, 5)) + np.repeat(rng.normal(0, 12, (4, 5)), 60, axis=0)
    neighbors = nearest_neighbors(embedding)
    value, rand, resolution = best_nmi_ari(leiden(neighbors, [0.2, 0.4, 2.0]), labels)
    theirs = scib().nmi_ari_cluster_labels_leiden(scib_neighbors(neighbors, 15), labels)
    assert (value, rand) == pytest.approx((1, 1))
    assert (theirs["nmi"], theirs["ari"]) == pytest.approx((1, 1))
    assert resolution in (0.2, 0.4)


def test_seeded_and_leaves_the_global_generator_alone(cells):
    neighbors = nearest_neighbors(cells.embedding)
    random.seed(1)
    state = random.getstate()
    first = leiden(neighbors, [1.0, 2.0], seed=3)
    assert random.getstate() == state
    again = leiden(neighbors, [2.0], seed=3)
    assert (first[2.0] == again[2.0]).all()


def test_modularity_beats_scanpys_or_equals_it(cells):
    import igraph

    neighbors = nearest_neighbors(cells.embedding).first(15)
    weights = neighbors.connectivities
    graph = igraph.Graph.Weighted_Adjacency(weights.toarray(), mode="upper", attr="weight")
    theirs = graph.community_leiden("modularity", weights="weight", resolution=1.0)
    ours = leiden(neighbors, [1.0])[1.0]
    assert graph.modularity(ours, weights="weight") == pytest.approx(theirs.modularity, abs=0.02)


def test_clusters_are_named_by_their_most_common_label():
    clusters = [7, 7, 7, 2, 2, 5, 5]
    labels = ["x", "x", "y", "y", "z", "z", "z"]
    assert name_clusters(clusters, labels).tolist() == ["x", "x", "x", "y", "y", "z", "z"]


def test_nmi_ari_equal_scikit_learn():
    clusters, labels = np.array([0, 0, 1, 1, 2, 2]), np.array(list("aabbba"))
    assert nmi(clusters, labels) == pytest.approx(normalized_mutual_info_score(labels, clusters))
    assert ari(clusters, labels) == pytest.approx(adjusted_rand_score(labels, clusters))


def test_jaccard_of_a_lost_type_is_zero():
    clusters = [0] * 10 + [1] * 8
    labels = ["big"] * 7 + ["rare"] * 3 + ["other"] * 8
    score = jaccard(clusters, labels)
    assert score.groups == {"big": 0.7, "other": 1.0, "rare": 0.0}
    assert score == score.macro == pytest.approx(1.7 / 3)
    assert score.micro == pytest.approx((7 + 8) / (10 + 8 + 3))


def test_no_clusterings():
    with pytest.raises(InputError, match="empty"):
        best_nmi_ari({}, ["a"])
