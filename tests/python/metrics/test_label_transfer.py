import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

from scsystems.errors import InputError, NonFiniteError
from scsystems.metrics import label_transfer
from scsystems.metrics.label_transfer import majority


@pytest.fixture
def cells():
    """Three overlapping cell types in two systems, one of them rare; a fourth in one only."""
    rng = np.random.default_rng(0)
    labels = np.array(["a"] * 150 + ["b"] * 120 + ["c"] * 50 + ["only human"] * 30)
    systems = np.where(rng.random(len(labels)) < 0.5, "human", "mouse").astype(object)
    systems[labels == "only human"] = "human"
    centers = {"a": (0, 0), "b": (2, 0), "c": (1, 1.5), "only human": (1.5, 1)}
    embedding = np.array([centers[label] for label in labels]) + rng.normal(
        0, 0.7, (len(labels), 2)
    )
    embedding[systems == "mouse"] += 0.4
    return embedding, labels, systems


def vote(distances, labels, k):
    """The rule in words: most common label of the k nearest; of equals, the nearest cell's."""
    near = labels[np.argsort(distances, kind="stable")[:k]].tolist()
    return max(near, key=lambda label: (near.count(label), -near.index(label)))


@pytest.mark.parametrize("all_references", [False, True])
def test_agrees_with_the_rule_cell_by_cell(cells, all_references):
    embedding, labels, systems = cells
    result = label_transfer(
        embedding, labels, systems, k=11, min_cells=5, all_references=all_references
    )
    shared = labels != "only human"
    for source, target in [("human", "mouse"), ("mouse", "human")]:
        reference = (systems == source) & (shared | all_references)
        query = (systems == target) & shared
        distances = cdist(embedding[query], embedding[reference])
        predicted = np.array([vote(row, labels[reference], 11) for row in distances])
        recall = [(predicted[labels[query] == label] == label).mean() for label in "abc"]
        assert result.direction(source, target) == pytest.approx(np.mean(recall))
    assert set(result.recall["label"]) == {"a", "b", "c"}


def test_agrees_with_scikit_learn_where_no_tie_is_possible(cells):
    embedding, labels, systems = cells
    two = np.isin(labels, ["a", "b"])
    embedding, labels, systems = embedding[two], labels[two], systems[two]
    result = label_transfer(embedding, labels, systems, k=7)
    for source, target in [("human", "mouse"), ("mouse", "human")]:
        neighbors = KNeighborsClassifier(7).fit(
            embedding[systems == source].astype(np.float32), labels[systems == source]
        )
        predicted = neighbors.predict(embedding[systems == target].astype(np.float32))
        truth = labels[systems == target]
        row = result.accuracy.query("source == @source").iloc[0]
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
        assert row["accuracy"] == pytest.approx((truth == predicted).mean())
        recall = result.recall.query("source == @source").set_index("label")["recall"]
        assert recall["a"] == pytest.approx(recall_score(truth, predicted, pos_label="a"))
    assert result.balanced_accuracy == pytest.approx(result.accuracy["balanced_accuracy"].mean())


def test_rare_labels_and_missing_labels_do_not_count(cells):
    embedding, labels, systems = cells
    labels = labels.astype(object)
    labels[:10] = None
    result = label_transfer(embedding, labels, systems, min_cells=40)
    assert set(result.recall["label"]) == {"a", "b"}
    assert (
        result.recall.query("target == 'mouse'")["n_cells"].sum()
        == ((systems == "mouse") & np.isin(labels, ["a", "b"])).sum()
    )


def test_three_systems_give_six_directions():
    rng = np.random.default_rng(1)
    labels = np.tile(np.repeat(["x", "y"], 30), 3)
    systems = np.repeat(["s1", "s2", "s3"], 60)
    embedding = rng.normal(size=(180, 3)) + 20 * (labels == "x")[:, None]
    result = label_transfer(embedding, labels, systems, k=5)
    assert len(result.accuracy) == 6
    assert (result.accuracy["balanced_accuracy"] == 1).all()
    assert (result.recall["mistaken_for"] == "").all()


def test_mistakes_are_named():
    embedding = np.array([0.0] * 30 + [5.0] * 30 + [0.0] * 30 + [0.1] * 30)[:, None]
    labels = np.tile(np.repeat(["x", "y"], 30), 2)
    systems = np.repeat(["s1", "s2"], 60)
    recall = label_transfer(embedding, labels, systems, k=5).recall.set_index(["source", "label"])
    assert recall.loc[("s1", "y"), "recall"] == 0
    assert recall.loc[("s1", "y"), "mistaken_for"] == "x"


def test_majority_breaks_ties_by_nearness():
    votes = np.array([[2, 1, 1, 2, 0], [0, 1, 2, 3, 4], [3, 3, 1, 1, 1]])
    assert majority(votes, 5).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(systems=["one"] * 350), InputError, "'systems' has 1 group"),
        (dict(labels=["same"] * 350), InputError, "share at least two labels"),
        (dict(min_cells=1000), InputError, "more than 1000 cells"),
        (dict(k=300), InputError, "smaller 'k'"),
        (dict(k=0), InputError, "'k' is 0"),
        (dict(labels=["a"] * 5), InputError, "'labels' has shape"),
        (dict(embedding=np.full((350, 2), np.nan)), NonFiniteError, "NaN or infinite"),
        (dict(embedding=np.zeros(350)), InputError, "two dimensions"),
        (dict(embedding=np.full((350, 2), "x")), InputError, "not numeric"),
    ],
)
def test_bad_input(cells, change, error, message):
    embedding, labels, systems = cells
    arguments = dict(embedding=embedding, labels=labels, systems=systems, min_cells=5) | change
    with pytest.raises(error, match=message):
        label_transfer(**arguments)


def test_missing_system_is_refused(cells):
    embedding, labels, systems = cells
    systems[3] = None
    with pytest.raises(InputError, match=r"'systems' is missing .* 1 of 350"):
        label_transfer(embedding, labels, systems)
