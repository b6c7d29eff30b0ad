import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import training_curves


@pytest.fixture
def history():
    epochs = pd.RangeIndex(1, 11, name="epoch")
    return {
        "elbo_train": pd.DataFrame({"elbo_train": np.linspace(10, 5, 10)}, index=epochs),
        "elbo_validation": pd.DataFrame({"elbo_validation": np.linspace(12, 8, 10)}, index=epochs),
        "cycle_loss_train": pd.DataFrame({"cycle_loss_train": np.ones(10) * 2}, index=epochs),
        "train_loss_epoch": pd.DataFrame(
            {"train_loss_epoch": np.geomspace(9, 1, 10)}, index=epochs
        ),
    }


def test_training_and_validation_share_a_panel(history, drawn):
    axes = training_curves(history)
    assert set(axes) == {"elbo", "train_loss_epoch"}  # the cycle loss does not vary
    assert drawn(axes["elbo"])
    lines = {line.get_label(): line for line in axes["elbo"].lines}
    assert set(lines) == {"train", "validation"}
    np.testing.assert_allclose(lines["train"].get_ydata(), np.linspace(10, 5, 10))


def test_chosen_losses_and_skipped_epochs(history):
    axes = training_curves(history, "cycle_loss", skip=4)
    assert axes["cycle_loss"].lines[0].get_xdata().tolist() == [5, 6, 7, 8, 9, 10]


def test_a_single_epoch_is_a_point_for_every_loss_that_is_not_zero(drawn):
    first = pd.RangeIndex(1, 2, name="epoch")
    values = {"elbo_train": 7.5, "elbo_validation": 8.0, "adversary_loss_train": 0.0}
    history = {name: pd.DataFrame({name: [value]}, index=first) for name, value in values.items()}
    axes = training_curves(history)
    assert set(axes) == {"elbo"}
    assert [(*line.get_ydata(), line.get_marker()) for line in axes["elbo"].lines] == [
        (7.5, "o"),
        (8.0, "o"),
    ]
    assert drawn(axes["elbo"])
    assert training_curves(two_epochs(history))["elbo"].lines[0].get_marker() == "None"


def two_epochs(history):
    return {
        name: pd.concat([frame, frame + 1]).set_axis(pd.RangeIndex(1, 3))
        for name, frame in history.items()
    }


def test_unknown_loss(history):
    with pytest.raises(InputError, match=r"no losses \['absent'\]; found"):
        training_curves(history, ["absent"])
    with pytest.raises(InputError, match="that vary"):
        training_curves({})


def test_draws_a_real_history(drawn):
    import scsystems as scs

    adata = scs.pp.prepare(
        scs.datasets.simulated(n_cells=200, n_genes=100, seed=0),
        system_key="system",
        n_top_genes=80,
        min_cells=1,
    )
    scs.SysVI.setup_anndata(adata, batch_key="system")
    model = scs.SysVI(adata, n_hidden=16, n_latent=4)
    model.train(max_epochs=3, verbose=False)
    axes = training_curves(model.history)
    assert {"elbo", "cycle_loss"} <= set(axes)
    assert drawn(axes["elbo"])
