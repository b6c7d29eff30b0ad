"""The adversarial variant (ADV): what its weight does, and that nothing of it is lost on the way."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import scsystems as scs

WITHOUT_CYCLE = {"z_distance_cycle_weight": 0}


@pytest.fixture(scope="module")
def cells():
    adata = scs.datasets.simulated(
        n_cells=400, n_genes=200, n_types=3, own_types=False, system_effect=0.8, seed=1
    )
    adata = scs.pp.prepare(adata, system_key="system", n_top_genes=200)
    scs.SysVI.setup_anndata(adata, batch_key="system")
    return adata


def trained(cells, kappa, **options):
    model = scs.SysVI(cells, preset="paper", prior="standard_normal", adversarial=True, seed=0)
    plan = {**WITHOUT_CYCLE, "adversary_weight": kappa}
    arguments = {"max_epochs": 40, "batch_size": 64, "verbose": False, **options}
    model.train(accelerator="cpu", plan_kwargs=plan, **arguments)
    return model


def mixing(model, cells):
    """Fraction of the 15 nearest neighbors that are of the other system."""
    z, system = model.get_latent_representation(), cells.obs["system"].to_numpy(str)
    nearest = NearestNeighbors(n_neighbors=16).fit(z).kneighbors(z, return_distance=False)[:, 1:]
    return (system[nearest] != system[:, None]).mean()


def test_kappa_raises_mixing_and_much_of_it_costs_information(cells):
    without, some, much = (trained(cells, kappa) for kappa in (0, 1, 1000))
    assert mixing(some, cells) > mixing(without, cells) + 0.05
    elbo = [model.history["elbo_train"].iloc[-1, 0] for model in (without, some, much)]
    assert elbo[1] - elbo[0] < 0.2 * (elbo[2] - elbo[0])


def test_the_history_has_the_classifiers_loss(cells):
    history = trained(cells, 1, max_epochs=3, train_size=0.9, check_val_every_n_epoch=1).history
    for part in ("train", "validation"):
        loss = history[f"adversary_loss_{part}"].to_numpy()
        assert len(loss) == 3
        assert (loss > 0).all()


def test_going_on_from_a_checkpoint_gives_the_identical_result(cells, tmp_path):
    whole = trained(cells, 5, max_epochs=6)
    trained(cells, 5, max_epochs=3, checkpoint_dir=tmp_path)
    resumed = trained(cells, 5, max_epochs=6, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(
        whole.get_latent_representation(), resumed.get_latent_representation()
    )
    assert whole.history["adversary_loss_train"].equals(resumed.history["adversary_loss_train"])


def test_a_saved_model_keeps_its_classifier(cells, tmp_path):
    model = trained(cells, 1, max_epochs=2)
    model.save(tmp_path / "model")
    again = scs.SysVI.load(tmp_path / "model", cells)
    np.testing.assert_array_equal(
        model.get_latent_representation(), again.get_latent_representation()
    )
    before, after = model.net.state_dict(), again.net.state_dict()
    assert all(before[name].equal(after[name]) for name in before if "adversary" in name)
