"""The example of a third model does what a model does, with nothing of the package changed."""

import importlib.util

import numpy as np
import pytest
from documented import ROOT

import scsystems as scs
from scsystems.errors import InputError, NotTrainedError
from scsystems.metrics import evaluate


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("plain_vae", ROOT / "examples" / "plain_vae.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlainVAE


@pytest.fixture
def counts():
    return scs.datasets.simulated(n_cells=200, seed=0)


def test_it_learns_and_is_evaluated(plain, counts):
    model = plain(counts, "system")
    with pytest.raises(NotTrainedError):
        model.get_latent_representation()
    model.train(max_epochs=8, verbose=False)
    losses = model.history["train_loss"]["train_loss"]
    assert losses.iloc[-1] < 0.97 * losses.iloc[0]
    counts.obsm["X_plain"] = model.get_latent_representation()
    assert counts.obsm["X_plain"].shape == (counts.n_obs, 10)
    assert model.is_trained
    assert not model.interrupted
    table = evaluate(counts, ["X_plain"], "system", "cell_type", metrics=["asw_label"])
    assert len(table)
    assert table["value"].between(0, 1).all()


def test_checkpoints_come_with_the_loop(plain, counts, tmp_path):
    whole, halves = plain(counts, "system"), plain(counts, "system")
    whole.train(max_epochs=4, verbose=False)
    halves.train(max_epochs=2, checkpoint_dir=str(tmp_path), verbose=False)
    again = plain(counts, "system")
    again.train(max_epochs=4, checkpoint_dir=str(tmp_path), resume=True, verbose=False)
    np.testing.assert_array_equal(
        again.get_latent_representation(), whole.get_latent_representation()
    )


def test_it_refuses_what_is_not_counts(plain, counts):
    counts.X = counts.X.log1p() if hasattr(counts.X, "log1p") else np.log1p(counts.X)
    with pytest.raises(InputError, match="counts"):
        plain(counts, "system")
