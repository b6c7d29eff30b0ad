import inspect
import json
import logging
from itertools import cycle
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import issparse

import scsystems as scs
from scsystems import SysVI, load
from scsystems.errors import InputError, ModelFileError, NotTrainedError
from scsystems.models.sysvi import presets
from scsystems.train.parallel.forked import can_fork

QUICK = {"max_epochs": 2, "verbose": False}


def setup(adata, **options):
    SysVI.setup_anndata(adata, batch_key="system", **options)
    return adata


def small(adata, **options):
    return SysVI(
        setup(adata, categorical_covariate_keys=["donor"]), n_hidden=16, n_latent=4, **options
    )


ABLATIONS = {
    "cVAE": ({"prior": "standard_normal"}, {"z_distance_cycle_weight": 0}),
    "VAMP": ({}, {"z_distance_cycle_weight": 0}),
    "CYC": ({"prior": "standard_normal"}, {}),
    "VAMP+CYC": ({}, {}),
    "GMM": ({"prior": "gmm"}, {"z_distance_cycle_weight": 0}),
    "ADV": (
        {"prior": "standard_normal", "adversarial": True},
        {"z_distance_cycle_weight": 0, "adversary_weight": 1},
    ),
    "paper": ({"preset": "paper"}, {}),
    "factorized": ({"prior_density": "factorized"}, {}),
    "fixed pseudoinputs": ({"trainable_priors": False}, {}),
    "random gmm": ({"prior": "gmm", "gmm_init": "random", "n_prior_components": 3}, {}),
    "feature": ({"out_var_mode": "feature"}, {}),
    "sample_feature": ({"out_var_mode": "sample_feature"}, {}),
    "linear covariates": ({"covariate_init": "linear", "cycle_covariates": "zero"}, {}),
    "blind encoder": ({"encode_covariates": False}, {}),
    "seeing encoder": ({"encode_covariates": True}, {}),
    "embedded": ({"embed_categorical_covariates": True, "embedding_dim": 3}, {}),
    "three layers": ({"n_layers": 3, "dropout_rate": 0.0}, {}),
    "shallow decoder": ({"n_layers_decoder": 1}, {}),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_option_trains_saves_and_loads_to_the_same_embedding(adata, tmp_path, name):
    options, plan = ABLATIONS[name]
    model = small(adata, **options)
    model.train(**QUICK, plan_kwargs=plan)
    z = model.get_latent_representation()
    assert z.shape == (adata.n_obs, 4)
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    assert (model.history["cycle_loss_train"].to_numpy() > 0).all() == (
        plan.get("z_distance_cycle_weight", 2) > 0
    )
    model.save(tmp_path / "m")
    again = load(tmp_path / "m", adata)
    np.testing.assert_array_equal(again.get_latent_representation(), z)
    assert {k: v.shape for k, v in again.history.items()} == {
        k: v.shape for k, v in model.history.items()
    }


@pytest.mark.parametrize("n_systems", [2, 3])
def test_systems_mix(make, n_systems):
    """Cells of one type must find neighbors of other systems, which they do not in the data."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    adata = make(600, 60, systems=("human", "mouse", "fish")[:n_systems])
    model = SysVI(
        setup(adata, categorical_covariate_keys=["donor"]), n_hidden=64, n_latent=6, seed=1
    )
    model.train(max_epochs=100, batch_size=64, plan_kwargs={"lr": 3e-3}, verbose=False)

    def neighbors(z, column):
        found = NearestNeighbors(n_neighbors=16).fit(z).kneighbors(z, return_distance=False)[:, 1:]
        values = adata.obs[column].astype(str).to_numpy()
        return float((values[found] == values[:, None]).mean())

    z, pca = (
        model.get_latent_representation(),
        PCA(6, random_state=0).fit_transform(adata.X.toarray()),
    )
    chance = 1 / n_systems
    assert neighbors(pca, "system") > chance + 0.3
    assert neighbors(z, "system") < chance + 0.2
    assert neighbors(z, "cell_type") > 0.9


def test_same_seed_same_result_whatever_happens_around(adata):
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        np.random.default_rng(noise)
        model = small(adata, seed=7)
        model.train(**QUICK)
        results.append(model.get_latent_representation())
    np.testing.assert_array_equal(*results)
    other = small(adata, seed=8)
    other.train(**QUICK)
    assert not np.allclose(results[0], other.get_latent_representation())


def test_global_random_state_is_left_alone(adata):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    small(adata).train(**QUICK)
    assert torch.equal(torch.rand(4), expected)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_adata_is_left_alone(adata):
    before = adata.copy()
    model = small(adata)
    model.train(**QUICK)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    assert set(adata.uns) - set(before.uns) == {"_scsystems_setup"}


def test_sparse_dense_and_storage_agree(make):
    sparse, dense = make(), make(dense=True)
    results = []
    for adata, storage in ((sparse, "dense"), (sparse, "sparse"), (dense, "auto")):
        model = small(adata)
        model.train(**QUICK, storage=storage)
        results.append(model.get_latent_representation())
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
    np.testing.assert_allclose(results[0], results[2], atol=1e-6)


def test_latent_choices(adata):
    model = small(adata)
    model.train(**QUICK)
    whole = model.get_latent_representation()
    mean, var = model.get_latent_representation(return_dist=True)
    np.testing.assert_array_equal(mean, whole)
    assert (var > 0).all()
    mask = np.arange(adata.n_obs) % 3 == 0
    np.testing.assert_allclose(
        model.get_latent_representation(indices=mask), whole[mask], atol=1e-5
    )
    np.testing.assert_allclose(
        model.get_latent_representation(indices=[5, 2]), whole[[5, 2]], atol=1e-5
    )
    np.testing.assert_allclose(model.get_latent_representation(batch_size=7), whole, atol=1e-5)
    np.testing.assert_allclose(
        model.get_latent_representation(adata[::-1].copy()), whole[::-1], atol=1e-5
    )
    assert model.get_latent_representation(indices=[]).shape == (0, 4)
    samples = np.stack(
        [model.get_latent_representation(give_mean=False, seed=s) for s in range(200)]
    )
    np.testing.assert_allclose(samples.mean(0), mean, atol=5 * np.sqrt(var.max() / 200))
    np.testing.assert_allclose(samples.var(0).mean(), var.mean(), rtol=0.05)


def test_history_has_the_keys_users_know(adata):
    model = small(adata)
    model.train(**QUICK, train_size=0.8)
    names = ["elbo", "reconstruction_loss", "kl_local", "kl_global", "cycle_loss"]
    expected = {"train_loss", "validation_loss"} | {
        f"{n}_{p}" for n in names for p in ("train", "validation")
    }
    assert expected <= set(model.history)
    frame = model.history["elbo_train"]
    assert frame.index.name == "epoch"
    assert list(frame.columns) == ["elbo_train"]
    assert len(frame) == 2
    pd.testing.assert_frame_equal(model.trainer.logger.history["elbo_train"], frame)


def test_asking_for_validation_holds_out_a_tenth(adata):
    model = small(adata)
    model.train(**QUICK, check_val_every_n_epoch=1)
    assert len(model.history["elbo_validation"]) == 2
    model = small(adata)
    model.train(**QUICK)
    assert "elbo_validation" not in model.history


def test_validation_cells_teach_nothing(make):
    adata = make()
    changed = adata.copy()
    changed.X[-24:] = changed.X[-24:] * 0.5
    weights, losses = [], []
    for data in (adata, changed):
        model = small(data, prior="standard_normal")
        model.train(**QUICK, train_size=0.9, shuffle_set_split=False)
        weights.append(model.net.state_dict())
        losses.append(model.history["elbo_validation"].to_numpy())
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert (losses[0] != losses[1]).all()


def test_resume_gives_the_identical_model(adata, tmp_path):
    whole = small(adata)
    whole.train(max_epochs=6, verbose=False)
    part = small(adata)
    part.train(max_epochs=4, verbose=False, checkpoint_dir=tmp_path, checkpoint_every=2)
    resumed = small(adata)
    resumed.train(max_epochs=6, verbose=False, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(
        whole.get_latent_representation(), resumed.get_latent_representation()
    )
    other = small(adata, seed=1)
    with pytest.raises(InputError, match="other data, model or training arguments"):
        other.train(max_epochs=6, verbose=False, checkpoint_dir=tmp_path, resume=True)


def test_early_stopping_holds_out_cells(adata):
    model = small(adata)
    model.train(max_epochs=400, verbose=False, early_stopping=True, early_stopping_patience=3)
    losses = model.history["elbo_validation"].to_numpy().ravel()
    assert len(losses) < 400
    # the best check is the last but the three that were waited for
    assert losses.argmin() == len(losses) - 1 - 3


def test_interrupted_training_can_be_used(adata):
    def interrupt(epoch, max_epochs, losses):
        raise KeyboardInterrupt

    model = small(adata)
    model.train(**QUICK, callbacks=interrupt)
    assert model.interrupted
    assert model.is_trained
    assert model.get_latent_representation().shape == (adata.n_obs, 4)


def test_pseudoinputs_are_the_chosen_cells(adata):
    model = small(adata, n_prior_components=2, pseudoinputs_data_indices=[3, 8])
    np.testing.assert_array_equal(model.net.prior.x.detach(), adata.X[[3, 8]].toarray())
    assert "vamp" in repr(model)


def test_gmm_from_data_starts_at_encoded_cells(adata):
    model = small(adata, prior="gmm", n_prior_components=2, pseudoinputs_data_indices=[3, 8])
    model._past.stopped = "max_epochs"
    mean, var = model.get_latent_representation(indices=[3, 8], return_dist=True)
    np.testing.assert_allclose(model.net.prior.mean.detach(), mean, atol=1e-5)
    np.testing.assert_allclose(model.net.prior.log_var.detach().exp(), var, rtol=1e-4)


def test_warmup_warns_and_is_not_used(adata):
    model = small(adata)
    with pytest.warns(UserWarning, match="KL weight warmup is not recommended"):
        model.train(**QUICK, plan_kwargs={"n_epochs_kl_warmup": 10})
    plain = small(adata)
    plain.train(**QUICK)
    np.testing.assert_array_equal(
        model.get_latent_representation(), plain.get_latent_representation()
    )


def test_weights_of_the_loss_take_effect(adata):
    results = {}
    for name, plan in {
        "default": {},
        "kl": {"kl_weight": 10.0},
        "max_kl": {"max_kl_weight": 10.0},
        "cycle": {"z_distance_cycle_weight": 50.0},
        "reconstruction": {"reconstruction_weight": 0.1},
    }.items():
        model = small(adata)
        model.train(**QUICK, plan_kwargs=plan)
        results[name] = model.get_latent_representation()
    np.testing.assert_array_equal(results["kl"], results["max_kl"])
    for name in ("kl", "cycle", "reconstruction"):
        assert not np.allclose(results["default"], results[name])


def test_weight_batches_is_experimental_and_changes_the_cycle(make):
    adata = make()
    adata = adata[(adata.obs["system"] == "human") | (np.arange(adata.n_obs) % 4 == 1)].copy()
    losses = []
    for weighted in (False, True):
        if weighted:
            with pytest.warns(UserWarning, match="experimental"):
                setup(adata, weight_batches=True)
        else:
            setup(adata)
        model = SysVI(adata, n_hidden=16, n_latent=4)
        model.train(**QUICK)
        losses.append(model.history["cycle_loss_train"].iloc[0, 0])
    assert losses[0] != losses[1]


def test_continuous_covariates_are_standardized(adata):
    latents = []
    for shift, scale in ((0, 1), (100, 1000)):
        adata.obs["moved"] = adata.obs["score"] * scale + shift
        setup(adata, continuous_covariate_keys=["moved"])
        model = SysVI(adata, n_hidden=16, n_latent=4)
        model.train(**QUICK)
        latents.append(model.get_latent_representation())
    np.testing.assert_allclose(*latents, atol=1e-3)


def test_batch_larger_than_the_data_is_said(adata, caplog):
    model = small(adata)
    with caplog.at_level(logging.WARNING):
        model.train(**QUICK, batch_size=1000)
    assert "all are one minibatch" in caplog.text


def test_progress_bar_shows_the_time_left_and_can_be_silent(adata, capsys):
    small(adata).train(max_epochs=3)
    shown = capsys.readouterr().err
    assert "SysVI" in shown
    assert "3/3" in shown
    small(adata).train(max_epochs=3, verbose=False)
    assert capsys.readouterr() == ("", "")


def test_bfloat16_products_stay_close_and_end_with_training(adata):
    latents = {}
    for precision in ("float32", "bfloat16"):
        model = small(adata)
        model.train(**QUICK, precision=precision)
        assert model._train_facts["precision"] == precision
        latents[precision] = model.get_latent_representation()
        assert not model.net.decoder.reduced
    difference = latents["float32"] - latents["bfloat16"]
    assert 0 < np.abs(difference).mean() < 0.1 * latents["float32"].std()


@pytest.mark.parametrize(
    ("preset", "most", "weights", "optimizer"),
    [
        ("default", 250, (0.8, 3), {"lr": 2e-3, "eps": 1e-4}),
        ("paper", 400, (1, 5), {"lr": 1e-3, "eps": 0.01}),
    ],
)
def test_defaults_of_training_are_those_of_the_preset(
    adata, tmp_path, preset, most, weights, optimizer
):
    seen = []

    def stop(epoch, max_epochs, losses):
        seen.append(max_epochs)
        return False

    model = small(adata, preset=preset)
    model.train(verbose=False, callbacks=stop)
    model.save(tmp_path / "model")
    again = SysVI.load(tmp_path / "model", adata)
    again.train(verbose=False, callbacks=stop)
    assert seen == [most] * 2
    for facts in (model._train_facts, again._train_facts):
        assert (facts["weights"]["kl"], facts["weights"]["cycle"]) == weights
        assert facts["optimizer"] == optimizer
    again.train(
        max_epochs=1, verbose=False, plan_kwargs={"max_kl_weight": 2, "eps": np.float32(0.5)}
    )
    facts = again._train_facts
    assert facts["weights"] | {"kl": 2, "cycle": weights[1]} == facts["weights"]
    assert facts["optimizer"] == optimizer | {"eps": 0.5}
    again.save(tmp_path / "again")


@pytest.mark.parametrize(
    ("prior", "asked", "used"),
    # several threads are several processes, which cannot differentiate automatically
    [("vamp", None, 1), ("vamp", 2, 1 if can_fork() else 2), ("gmm", None, 1), ("gmm", 2, 2)],
)
def test_threads(adata, prior, asked, used):
    seen, before, model = [], torch.get_num_threads(), small(adata, prior=prior)
    model.train(**QUICK, n_threads=asked, callbacks=lambda *_: seen.append(torch.get_num_threads()))
    assert set(seen) == {used}
    assert model._train_facts["n_threads"] == (asked or 1)
    assert torch.get_num_threads() == before
    assert np.isfinite(model.get_latent_representation()).all()


@pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
def test_there_are_no_more_processes_than_learn_well(adata, caplog):
    model = small(adata)
    with caplog.at_level(logging.WARNING, "scsystems"):
        model.train(**QUICK, n_threads=16, batch_size=32)
    assert "n_threads=16, but training takes no more than 4 cores" in caplog.text
    assert model._train_facts["n_threads"] == 4


@pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
def test_several_processes_from_a_thread_that_is_not_the_first(adata):
    embeddings = []

    def train():
        model = small(adata)
        model.train(**QUICK, n_threads=2, batch_size=32)
        embeddings.append(model.get_latent_representation())

    train()
    thread = Thread(target=train)
    thread.start()
    thread.join()
    np.testing.assert_array_equal(*embeddings)


@pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_several_processes_give_the_same_result_on_a_busy_machine(adata, monkeypatch, precision):
    def embedding():
        model = small(adata)
        model.train(**QUICK, n_threads=3, batch_size=32, precision=precision)
        return model.get_latent_representation()

    idle = embedding()
    # the first takes over what the others would have done, here every other time
    turns = cycle([True, False])
    monkeypatch.setattr("scsystems.train.parallel.pace.Pace.together", lambda pace: next(turns))
    np.testing.assert_array_equal(idle, embedding())
    monkeypatch.setattr("scsystems.train.parallel.pace.Pace.together", lambda pace: False)
    np.testing.assert_array_equal(idle, embedding())


@pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
def test_several_processes_give_the_same_result_again_and_go_on_from_a_checkpoint(adata, tmp_path):
    options = {"verbose": False, "n_threads": 3, "batch_size": 32}
    whole = small(adata)
    whole.train(**options, max_epochs=4)
    again = small(adata)
    again.train(**options, max_epochs=2, checkpoint_dir=tmp_path)
    again = small(adata)
    with pytest.raises(InputError, match="other data, model or training arguments"):
        again.train(
            **options | {"n_threads": 2}, max_epochs=4, checkpoint_dir=tmp_path, resume=True
        )
    again.train(**options, max_epochs=4, checkpoint_dir=tmp_path, resume=True)
    z = whole.get_latent_representation()
    np.testing.assert_array_equal(z, again.get_latent_representation())

    alone = small(adata)
    alone.train(**options | {"n_threads": 1}, max_epochs=4)
    losses = [m.history["train_loss"].to_numpy().ravel() for m in (whole, alone)]
    # another order of the same kind of steps
    assert not np.array_equal(*losses)
    np.testing.assert_allclose(*losses, rtol=0.2)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_embeddings_between_epochs_of_further_training(adata, n_threads):
    assert issparse(adata.X)
    model, seen = small(adata), []
    model.train(**QUICK)

    def look(*_):
        seen.append(model.get_latent_representation())

    model.train(**QUICK, precision="bfloat16", callbacks=look, n_threads=n_threads)
    assert len(seen) == 2
    np.testing.assert_allclose(seen[1], model.get_latent_representation(), atol=0.02)
    assert np.abs(seen[0] - seen[1]).max() > 0


def test_presets_differ_and_a_given_argument_wins(adata):
    default, paper = small(adata)._arguments, small(adata, preset="paper")._arguments
    assert paper["n_prior_components"] == 5
    assert (paper["covariate_init"], paper["encode_covariates"]) == ("linear", True)
    assert (default["out_var_mode"], paper["out_var_mode"]) == ("constant", "feature")
    assert (default["n_layers_decoder"], paper["n_layers_decoder"]) == (3, None)
    assert len(small(adata).net.decoder.hidden.layers) == 3
    assert len(small(adata, preset="paper").net.decoder.hidden.layers) == 2
    assert default != paper
    assert (presets.n_top_genes("default"), presets.n_top_genes("paper")) == (2000, 3000)
    for function in (scs.pp.prepare, scs.pp.select_features):
        assert inspect.signature(function).parameters["n_top_genes"].default == 2000
    assert small(adata, preset="paper", n_prior_components=7)._arguments["n_prior_components"] == 7


def test_embedding_kwargs_of_scvi_tools(adata):
    model = small(adata, embed_categorical_covariates=True, embedding_kwargs={"embedding_dim": 2})
    assert [tuple(t.shape) for t in model.net.covariates.tables] == [(6, 2)]


BAD_MODEL = [
    ({"preset": "best"}, "preset='best'"),
    ({"embedding_kwargs": {"init": 1}}, r"unknown entries: \['init'\]"),
    ({"prior": "flat"}, "prior='flat'"),
    ({"n_latent": 0}, "n_latent=0"),
    ({"n_latent": None}, "n_latent=None"),
    ({"n_hidden": "64"}, "n_hidden='64'"),
    ({"n_hidden": float("inf")}, "n_hidden=inf"),
    ({"n_layers": True}, "n_layers=True"),
    ({"n_layers_decoder": 0}, "n_layers_decoder=0"),
    ({"n_layers_decoder": 1.5}, "n_layers_decoder=1.5"),
    ({"dropout_rate": 1.0}, "dropout_rate=1.0"),
    (
        {"pseudoinputs_data_indices": [1, 2], "n_prior_components": 3},
        "has 2 cells. Expected n_prior_components=3",
    ),
    ({"pseudoinputs_data_indices": [0, 1, 9999], "n_prior_components": 3}, "reach from 0 to 9999"),
    ({"prior": "standard_normal", "pseudoinputs_data_indices": [1]}, "has no components"),
    ({"out_var_mode": "gene"}, "out_var_mode='gene'"),
]


@pytest.mark.parametrize(("options", "message"), BAD_MODEL)
def test_bad_model_arguments(adata, options, message):
    with pytest.raises(InputError, match=message):
        SysVI(setup(adata), **options)


BAD_TRAIN = [
    ({"plan_kwargs": {"learning_rate": 1}}, r"unknown entries: \['learning_rate'\]"),
    ({"plan_kwargs": {"kl_weight": -1}}, r"plan_kwargs: kl_weight=-1. Expected a finite number"),
    ({"plan_kwargs": {"kl_weight": 1, "max_kl_weight": 2}}, "mean the same"),
    ({"plan_kwargs": {"lr": "fast"}}, r"plan_kwargs: lr='fast'. Expected a finite number"),
    ({"plan_kwargs": {"eps": -1e-4}}, r"plan_kwargs: eps=-0.0001. Expected a finite number"),
    ({"plan_kwargs": {"lr": 0}}, "lr=0.0. Expected a finite number above 0"),
    ({"plan_kwargs": {"lr_factor": 0.5}}, "without reduce_lr_on_plateau"),
    ({"plan_kwargs": {"adversary_weight": 1}}, "adversarial=True"),
    ({"train_size": 0}, "train_size=0"),
    ({"train_size": 0.9, "validation_size": 0.5}, "at most 1"),
    ({"early_stopping": True, "train_size": 1.0}, "needs validation cells"),
    ({"callbacks": [3]}, "callbacks holds int"),
    ({"precision": "half"}, "precision='half'"),
]


@pytest.mark.parametrize(("options", "message"), BAD_TRAIN)
def test_bad_training_arguments(adata, options, message):
    model = small(adata)
    with pytest.raises(InputError, match=message):
        model.train(**QUICK | options)
    assert not model.is_trained


def test_untrained_model_says_so(adata):
    with pytest.raises(NotTrainedError, match="Call train"):
        small(adata).get_latent_representation()


def test_setup_mistakes(adata):
    with pytest.raises(InputError, match="names a column twice"):
        setup(adata, categorical_covariate_keys=["donor", "donor"])
    with pytest.raises(InputError, match="is the batch_key already"):
        setup(adata, categorical_covariate_keys=["system"])
    with pytest.raises(InputError, match=r"Call SysVI\.setup_anndata"):
        SysVI(adata)


def test_loading_with_other_data(adata, make, tmp_path):
    model = small(adata)
    model.train(**QUICK)
    model.save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="overwrite=True"):
        model.save(tmp_path / "m")
    with pytest.raises(InputError, match="lacks 1 of the model's 40 genes"):
        SysVI.load(tmp_path / "m", adata[:, 1:].copy())
    renamed = adata.copy()
    renamed.obs["system"] = renamed.obs["system"].cat.rename_categories({"mouse": "rat"})
    with pytest.raises(InputError, match="not seen: 'rat'"):
        SysVI.load(tmp_path / "m", renamed)
    alone = SysVI.load(tmp_path / "m")
    with pytest.raises(InputError, match="loaded without data"):
        alone.get_latent_representation()
    np.testing.assert_allclose(
        alone.get_latent_representation(adata), model.get_latent_representation(), atol=1e-6
    )


def test_a_model_saved_before_decoders_had_their_own_depth_is_read(adata, tmp_path):
    # as deep as the encoder, which is not what the default preset says
    model = small(adata, preset="paper")
    model.train(**QUICK)
    model.save(tmp_path / "m")
    facts = tmp_path / "m" / "model.json"
    record = json.loads(facts.read_text())
    # there were no checksums either
    del record["arguments"]["n_layers_decoder"], record["sha256"]
    facts.write_text(json.dumps(record))
    again = SysVI.load(tmp_path / "m", adata)
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )


def test_loading_a_changed_description_names_what_does_not_fit(adata, tmp_path):
    model = small(adata)
    model.train(**QUICK)
    model.save(tmp_path / "m")
    facts = tmp_path / "m" / "model.json"
    record = json.loads(facts.read_text())
    del record["sha256"]
    record["arguments"]["n_hidden"] = 17
    facts.write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match=r"of shape .* instead of"):
        SysVI.load(tmp_path / "m")
    record["class"] = "os.system"
    facts.write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match=r"class 'os.system'"):
        load(tmp_path / "m")
