import numpy as np
import pytest

from scsystems.metrics import graph_connectivity, nearest_neighbors
from scsystems.metrics.scib import scib, scib_neighbors


def test_equals_scib_metrics(cells):
    neighbors = nearest_neighbors(cells.embedding, 40)
    theirs = scib().graph_connectivity(scib_neighbors(neighbors, 15), cells.labels)
    assert graph_connectivity(neighbors, cells.labels) == pytest.approx(theirs)


def test_a_label_in_two_pieces():
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(200, 2))
    embedding[:25] += 1000
    embedding[25:100] -= 1000
    labels = np.repeat(["split", "whole"], 100)
    score = graph_connectivity(nearest_neighbors(embedding, 15), labels)
    assert score.groups["split"] == pytest.approx(0.75, abs=0.05)
    assert score.groups["whole"] > 0.95
    assert score == score.macro == pytest.approx(np.mean(list(score.groups.values())))
