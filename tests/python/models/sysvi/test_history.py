"""The history of a model is that of all its trainings; every training looks at its own alone."""

import numpy as np
import pytest

from scsystems import SysVI
from scsystems.models.trainings import joined_history


def make(adata):
    SysVI.setup_anndata(adata, "system")
    return SysVI(adata, n_hidden=12, n_latent=3)


def epochs(model, name="train_loss"):
    return list(model.history[name].index)


def test_joined_history_counts_epochs_on():
    first = {"train_loss": [(0, 3.0), (1, 2.0)], "elbo_validation": [(1, 9.0)]}
    second = {"train_loss": [(0, 1.0)], "validation_loss": [(0, 5.0)]}
    assert joined_history(first, second) == {
        "train_loss": [(0, 3.0), (1, 2.0), (2, 1.0)],
        "elbo_validation": [(1, 9.0)],
        "validation_loss": [(2, 5.0)],
    }
    assert joined_history({}, second) == second
    assert joined_history(first, {}) == first
    assert first["train_loss"] == [(0, 3.0), (1, 2.0)]


def test_two_trainings_are_one_history(adata, tmp_path):
    model = make(adata)
    model.train(max_epochs=3, verbose=False)
    first = list(model.history["train_loss"]["train_loss"])
    seen = []
    model.train(
        max_epochs=2,
        check_val_every_n_epoch=2,
        callbacks=lambda epoch, n, losses: seen.append((epoch, n, losses["train_loss"])),
        verbose=False,
    )
    assert epochs(model) == epochs(model, "kl_global_train") == [0, 1, 2, 3, 4]
    assert epochs(model, "validation_loss") == [4]
    values = list(model.history["train_loss"]["train_loss"])
    assert values == [*first, *(loss for _, _, loss in seen)]
    # told of its own epochs
    assert [(epoch, n) for epoch, n, _ in seen] == [(1, 2), (2, 2)]
    assert "5 epochs" in repr(model)
    model.save(tmp_path / "m")
    loaded = SysVI.load(tmp_path / "m", adata)
    loaded.train(max_epochs=1, verbose=False)
    assert list(loaded.history["train_loss"]["train_loss"])[:5] == values
    assert epochs(loaded) == [0, 1, 2, 3, 4, 5]


def test_early_stopping_sees_its_own_training_only(adata):
    options = {
        "early_stopping": True,
        "early_stopping_monitor": "elbo_train",
        "early_stopping_patience": 2,
        "early_stopping_min_delta": 1e9,
        "verbose": False,
    }
    model = make(adata)
    # nothing after the first epoch counts as an improvement: two more are waited for
    model.train(max_epochs=9, **options)
    assert epochs(model) == [0, 1, 2]
    model.train(max_epochs=9, **options)
    assert epochs(model) == [0, 1, 2, 3, 4, 5]


def test_the_second_training_cut_off_is_resumed_with_the_whole_history(adata, tmp_path):
    def twice(n_second):
        model = make(adata)
        model.train(max_epochs=2, verbose=False)
        model.train(max_epochs=n_second, checkpoint_dir=tmp_path, verbose=False)
        return model

    cut = twice(2)
    resumed = make(adata)
    resumed.train(max_epochs=5, checkpoint_dir=tmp_path, resume=True, verbose=False)
    # the model that was cut off can go on itself, too, and counts nothing twice
    cut.train(max_epochs=5, checkpoint_dir=tmp_path, resume=True, verbose=False)
    whole = twice(5)
    for model in (resumed, cut):
        assert epochs(model) == list(range(7))
        np.testing.assert_array_equal(model.history["train_loss"], whole.history["train_loss"])
        np.testing.assert_array_equal(
            model.get_latent_representation(), whole.get_latent_representation()
        )


def test_an_interrupted_training_counts_as_far_as_it_came(adata):
    def interrupt(epoch, n, losses):
        if epoch == 2:
            raise KeyboardInterrupt

    model = make(adata)
    model.train(max_epochs=5, callbacks=interrupt, verbose=False)
    assert model.interrupted
    model.train(max_epochs=1, verbose=False)
    assert not model.interrupted
    assert epochs(model) == [0, 1, 2]


def test_r_gets_the_whole_history(adata):
    bridge = pytest.importorskip("scsystems.r.bridge")
    model = make(adata)
    for _ in range(2):
        model.train(max_epochs=2, verbose=False)
    facts = bridge.describe(model)["value"]
    np.testing.assert_array_equal(facts["epoch"], [1, 2, 3, 4])
    np.testing.assert_array_equal(
        facts["history"]["train_loss"], model.history["train_loss"]["train_loss"]
    )
