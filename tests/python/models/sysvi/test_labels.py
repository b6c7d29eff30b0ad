"""sysVI that is told labels of some cells."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import scsystems as scs
from scsystems.errors import InputError
from scsystems.models.sysvi.labels import balance, best_temperature, hold_back

TRAIN = {"accelerator": "cpu", "verbose": False, "batch_size": 64}


@pytest.fixture(scope="module")
def cells():
    """Two systems of the same types; ``told`` has the labels of one of them."""
    adata = scs.datasets.simulated(n_cells=500, n_genes=400, seed=0)
    adata = scs.pp.prepare(adata, system_key="system", n_top_genes=250)
    types = adata.obs["cell_type"].astype(str)
    adata.obs["told"] = types.where(adata.obs["system"] == "species1")
    adata.obs["named"] = pd.Categorical(adata.obs["told"].fillna("?"))
    return adata


def trained(adata, key="told", category=None, **train):
    scs.SysVI.setup_anndata(adata, batch_key="system", labels_key=key, unlabeled_category=category)
    model = scs.SysVI(adata, n_hidden=64)
    model.train(**{"max_epochs": 80} | TRAIN | train)
    return model


@pytest.fixture(scope="module")
def model(cells):
    return trained(cells)


def test_cells_of_the_other_system_are_named(cells, model):
    other = (cells.obs["system"] == "species2").to_numpy()
    truth = cells.obs["cell_type"].astype(str).to_numpy()
    known = other & np.isin(truth, model.schema.labels)
    found = model.predict()
    assert (found == truth)[known].mean() > 0.85
    assert (found == truth)[cells.obs["told"].notna()].mean() > 0.95


def test_probabilities_are_those_of_the_likeliest_labels(cells, model):
    p = model.predict(soft=True)
    assert list(p.columns) == list(model.schema.labels)
    assert p.index.equals(cells.obs_names)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (p.columns[p.to_numpy().argmax(1)] == model.predict()).all()
    some = np.array([5, 2, 7])
    assert (model.predict(indices=some) == model.predict()[some]).all()
    assert model.predict(indices=some, soft=True).index.equals(cells.obs_names[some])
    assert len(model.predict(indices=[])) == 0


def test_cells_of_types_without_a_label_are_novel(cells):
    adata = cells.copy()
    adata.obs["told"] = adata.obs["told"].where(adata.obs["told"] != "type1")
    # of the labeled system no cell is of that type
    adata = adata[
        ~((adata.obs["system"] == "species1") & (adata.obs["cell_type"] == "type1"))
    ].copy()
    found = trained(adata).novelty()
    other = (adata.obs["system"] == "species2").to_numpy()
    new = (adata.obs["cell_type"] == "type1").to_numpy()
    score = found["score"].to_numpy()
    assert roc_auc_score(new[other], score[other]) > 0.8
    assert (found["novel"] == (found["score"] > 2.5)).all()


def test_distances_are_to_the_nearest_center_in_standard_deviations(cells, model):
    z = model.get_latent_representation().astype(np.float64)
    classifier = model.net.classifier
    centers, precision = classifier.centers.double().numpy(), classifier.precision.double().numpy()
    expected = [min(np.sqrt((row - c) @ precision @ (row - c)) for c in centers) for row in z[:20]]
    got = model.novelty(indices=range(20))
    np.testing.assert_allclose(got["distance"], expected, rtol=1e-3)
    assert got.index.equals(cells.obs_names[:20])


def test_a_score_is_in_deviations_from_what_is_usual_among_the_told(cells, model):
    table = model.novelty()
    held = hold_back(model._own.cells.label, 0)
    told = np.setdiff1d(np.flatnonzero(model._own.cells.label >= 0), held)
    log = np.log(table["distance"].to_numpy())
    center = np.median(log[told])
    spread = 1.4826 * np.median(np.abs(log[told] - center))
    np.testing.assert_allclose(table["score"], (log - center) / spread, atol=1e-4)


def test_a_missing_label_and_the_category_of_the_unlabeled_are_the_same(cells, model):
    other = trained(cells, "named", "?")
    assert other.schema.labels == model.schema.labels
    assert (other.predict(soft=True) == model.predict(soft=True)).all(axis=None)


def test_labels_are_felt(cells, model):
    without = trained(cells, plan_kwargs={"label_weight": 0})
    with pytest.raises(InputError, match="label_weight=0"):
        without.predict()
    assert not without.history["label_loss_train"].to_numpy().any()
    z = [m.get_latent_representation() for m in (model, without)]
    assert not np.allclose(*z)
    stronger = trained(cells, plan_kwargs={"label_weight": 50})
    last = [m.history["label_loss_train"].iloc[-1, 0] for m in (stronger, model)]
    assert last[0] < last[1]


def test_a_model_without_labels_is_the_same_as_ever(cells):
    scs.SysVI.setup_anndata(cells, batch_key="system")
    plain = scs.SysVI(cells, n_hidden=64)
    assert plain.net.classifier is None
    plain.train(max_epochs=3, **TRAIN)
    # told of labels that weigh nothing, only the classifier is more
    told = trained(cells, max_epochs=3, plan_kwargs={"label_weight": 0})
    assert np.array_equal(plain.get_latent_representation(), told.get_latent_representation())
    with pytest.raises(InputError, match="labels_key"):
        plain.predict()
    with pytest.raises(InputError, match="label_weight"):
        plain.train(max_epochs=1, plan_kwargs={"label_weight": 1}, **TRAIN)


def test_a_saved_model_names_cells_that_have_no_labels(cells, model, tmp_path):
    model.save(tmp_path / "model")
    loaded = scs.SysVI.load(tmp_path / "model")
    bare = cells[:60].copy()
    del bare.obs["told"]
    expected = model.predict(soft=True)[:60]
    pd.testing.assert_frame_equal(loaded.predict(bare, soft=True), expected, rtol=1e-5)
    attached = scs.SysVI.load(tmp_path / "model", bare)
    assert (attached.predict() == model.predict()[:60]).all()
    with pytest.raises(InputError, match=r"adata.obs\['told'\]"):
        attached.train(max_epochs=1, **TRAIN)


def test_a_query_is_named_without_labels_of_its_own(cells, model):
    query = cells[cells.obs["system"] == "species2"].copy()
    query.obs["told"] = "nobody knows"
    mapped = scs.SysVI.load_query_data(query, model, accelerator="cpu")
    assert (mapped.predict() == model.predict(query)).all()


def test_training_in_two_parts_is_training_in_one(cells, tmp_path):
    whole = trained(cells, max_epochs=6, checkpoint_dir=tmp_path / "a", checkpoint_every=2)

    def stop(epoch, n, losses):
        return epoch < 3

    parts = trained(
        cells, max_epochs=6, checkpoint_dir=tmp_path / "b", checkpoint_every=1, callbacks=stop
    )
    parts.train(
        max_epochs=6, checkpoint_dir=tmp_path / "b", checkpoint_every=1, resume=True, **TRAIN
    )
    assert (whole.predict(soft=True) == parts.predict(soft=True)).all(axis=None)
    # other labels are another training
    changed = cells.copy()
    changed.obs["told"] = changed.obs["told"].where(changed.obs["told"] != "rare")
    other = scs.SysVI(changed, n_hidden=64)
    with pytest.raises(InputError, match="checkpoint"):
        other.train(max_epochs=6, checkpoint_dir=tmp_path / "b", resume=True, **TRAIN)


def test_validation_cells_calibrate_where_there_are_some(cells):
    model = trained(cells, max_epochs=3, train_size=0.7)
    n = model._train_facts["labels"]["held_back"]
    assert 20 < n < 0.4 * cells.obs["told"].notna().sum()
    assert (model.history["label_loss_validation"] > 0).to_numpy().all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"labels_key": "absent"}, "labels_key='absent'"),
        ({"labels_key": "system"}, "column of its own"),
        ({"labels_key": "one"}, "one label only"),
        ({"labels_key": "none"}, "no label"),
        ({"labels_key": "names"}, "that cells share"),
        ({"unlabeled_category": "?"}, "without labels_key"),
    ],
)
def test_labels_that_tell_nothing_are_refused(cells, change, match):
    adata = cells.copy()
    adata.obs["one"], adata.obs["none"], adata.obs["names"] = "a", None, adata.obs_names
    with pytest.raises(InputError, match=match):
        scs.SysVI.setup_anndata(adata, batch_key="system", **change)


def test_one_label_in_ten_is_held_back_of_every_type():
    label = np.repeat([0, 1, 2, -1], [40, 9, 25, 30])
    held = hold_back(label, 0)
    assert np.bincount(label[held], minlength=3).tolist() == [4, 0, 2]
    assert len(set(held)) == len(held)
    assert not np.array_equal(held, hold_back(label, 1))
    assert len(hold_back(np.full(5, -1), 0)) == 0


def test_rare_labels_weigh_more_and_all_together_as_much_as_all_cells():
    label = np.repeat([0, 1, -1], [100, 25, 75])
    weight = balance(label, 3)
    assert weight[1] == pytest.approx(2 * weight[0])
    assert weight[2] == 0
    assert weight[label[label >= 0]].sum() == pytest.approx(200)
    assert not balance(np.full(4, -1), 2).any()


def test_the_temperature_is_the_one_that_labels_were_drawn_with():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 4)) * 3
    p = np.exp(logits / 2.5)
    p /= p.sum(1, keepdims=True)
    label = (p.cumsum(1) < rng.random((len(p), 1))).sum(1)
    assert best_temperature(logits, label) == pytest.approx(2.5, rel=0.05)


def test_labels_that_are_all_right_leave_a_doubt_that_their_number_decides():
    logits = np.tile([[1.0, 0.0]], (50, 1))
    temperature = best_temperature(logits, np.zeros(50, np.int64))
    # the smoothed truth of two labels: half of the doubt is for the named one
    p = 1 / (1 + np.exp(-1 / temperature))
    assert p == pytest.approx(1 - 1 / 52 / 2, abs=1e-4)
