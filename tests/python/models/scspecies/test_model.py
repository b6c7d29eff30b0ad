import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import scsystems as scs
from scsystems.errors import InputError, ModelFileError, NotTrainedError
from scsystems.models.scspecies.training import default_batch_size

N_SHARED, N_OWN = 300, 60
TYPES = ("alpha", "beta", "gamma")
# small minibatches: few cells need many steps
EPOCHS = 16
FIT = {"batch_size": 24, "accelerator": "cpu", "verbose": False}


def make_species(seed, prefix, n_cells=240, types=TYPES, n_batches=2):
    """Counts of clearly different types: shared genes follow the type in every species."""
    programs = np.exp(np.random.default_rng(99).normal(0, 1.2, (4, N_SHARED)))
    rng = np.random.default_rng(seed)
    own = np.exp(rng.normal(0, 1.0, (4, N_OWN)))
    kind = rng.integers(0, len(types), n_cells)
    batch = rng.integers(0, n_batches, n_cells)
    code = np.array([("alpha", "beta", "gamma", "novel").index(t) for t in types])[kind]
    rate = np.concatenate([programs * np.exp(rng.normal(0, 0.3, N_SHARED)), own], 1)[code]
    rate = rate * np.exp(rng.normal(0, 0.1, (n_batches, N_SHARED + N_OWN)))[batch]
    rate = rate / rate.sum(1, keepdims=True) * rng.lognormal(7.0, 0.3, (n_cells, 1))
    genes = [f"{prefix}{i}" for i in range(N_SHARED)] + [f"{prefix}own{i}" for i in range(N_OWN)]
    order = rng.permutation(len(genes))
    obs = pd.DataFrame(
        {"cell_type": np.array(types)[kind], "sample": [f"s{b}" for b in batch]},
        index=[f"{prefix}cell{i}" for i in range(n_cells)],
    )
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))[:, order]
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=np.array(genes)[order]))


@pytest.fixture(scope="module")
def mouse():
    return make_species(1, "m")


@pytest.fixture(scope="module")
def human():
    return make_species(2, "H", 200)


def table(prefix="H", n=N_SHARED):
    return pd.DataFrame(
        {"mouse": [f"m{i}" for i in range(n)], "human": [f"{prefix}{i}" for i in range(n)]}
    )


def make(mouse, human, **options):
    arguments = {
        "context": {"mouse": mouse},
        "targets": {"human": human},
        "context_labels": "cell_type",
        "orthologs": table(),
        "batch_key": "sample",
        "target_labels": "cell_type",
        "n_features": 32,
        "n_hidden": 24,
        "n_neighbors": 10,
    }
    return scs.ScSpecies(**{**arguments, **options})


@pytest.fixture(scope="module")
def model(mouse, human):
    model = make(mouse, human)
    model.train(max_epochs=EPOCHS, **FIT)
    return model


def accuracy(model, human, **options):
    return (model.transfer_labels("human", **options)["label"] == human.obs["cell_type"]).mean()


def test_labels_reach_the_target(model, human):
    assert accuracy(model, human) > 0.9
    assert accuracy(model, human, n_candidates=50) > 0.9
    transferred = model.transfer_labels()
    assert list(transferred.index) == list(human.obs_names)
    assert transferred["confidence"].between(0, 1).all()


def test_latent_of_every_species(model, mouse, human):
    assert model.species == ["mouse", "human"]
    assert model.get_latent_representation("mouse").shape == (mouse.n_obs, 10)
    z = model.get_latent_representation("human")
    mean, variance = model.get_latent_representation("human", return_dist=True)
    np.testing.assert_array_equal(z, mean)
    assert (variance > 0).all()
    draws = [model.get_latent_representation("human", give_mean=False, seed=s) for s in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    # standardized noise of the draw is normal, not uniform
    noise = ((draws[0] - mean) / np.sqrt(variance)).ravel()
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1
    assert np.abs(noise).max() > 2.5


def test_the_inner_encoder_is_the_contexts_unchanged(model):
    context, target = (part.net.inner.state_dict() for part in model._parts())
    assert all(torch.equal(context[k], target[k]) for k in context)
    assert not torch.equal(*(part.net.decoder.first.weight for part in model._parts()))


@pytest.fixture(scope="module")
def latent_model(mouse, human):
    model = make(mouse, human, alignment="latent")
    model.train(max_epochs=EPOCHS, **FIT)
    return model


def test_latent_alignment_has_an_inner_encoder_of_its_own(latent_model, human):
    context, target = (part.net.inner.mean.weight for part in latent_model._parts())
    assert not torch.equal(context, target)
    assert accuracy(latent_model, human) > 0.8


def test_the_papers_settings_train(mouse, human):
    model = make(mouse, human, preset="paper")
    assert model._settings["likelihood"] == "zinb"
    model.train(max_epochs=3, accelerator="cpu", verbose=False)
    assert (model.history["human"]["mixing_loss_train"]["mixing_loss_train"] == 0).all()
    assert (model.history["human"]["kl_library_train"]["kl_library_train"] > 0).all()


def test_history_is_kept_per_species(model):
    assert set(model.history) == {"mouse", "human"}
    frame = model.history["human"]["alignment_loss_train"]
    assert frame.index.name == "epoch"
    assert len(frame) == EPOCHS
    assert frame.iloc[-1, 0] < frame.iloc[0, 0]


def test_same_seed_same_result_whatever_else_is_aligned(mouse, human):
    pig = make_species(3, "P", 150)
    alone = make(mouse, human)
    tables = {"human": table(), "pig": table("P").rename(columns={"human": "pig"})}
    both = make(mouse, None, targets={"pig": pig, "human": human}, orthologs=tables)
    for model in (alone, both):
        model.train(max_epochs=2, **FIT)
    np.testing.assert_array_equal(
        both.get_latent_representation("human"), alone.get_latent_representation("human")
    )
    assert both.get_latent_representation("pig").shape == (150, 10)


def test_preliminary_labels(model, human):
    found = model.preliminary_labels()
    assert (found["label"] == human.obs["cell_type"]).mean() > 0.9
    assert found["aligned"].any()


def test_labels_of_other_columns_may_be_missing(model, mouse):
    labels = mouse.obs["cell_type"].astype(object).where(mouse.obs["cell_type"] != "gamma")
    found = model.transfer_labels(labels=labels)
    assert set(found["label"].dropna()) == {"alpha", "beta"}
    by_column = model.transfer_labels(labels="sample")
    assert set(by_column["label"]) <= {"s0", "s1"}


def test_similarity_of_types_finds_the_homologue(model):
    similarity = model.similarity()
    assert similarity.shape == (3, 3)
    assert list(similarity.idxmin(axis=1)) == list(similarity.index)


def test_similarity_of_cells(model):
    values = model.similarity(level="cells", target_indices=[0, 5], context_indices=[1, 2, 3])
    assert values.shape == (2, 3)
    part, context = model._targets["human"], model._context
    x = torch.as_tensor(part.cells.x[[5]].toarray())
    batch = torch.as_tensor(part.cells.categorical[[5], 0])
    z = [torch.as_tensor(a) for a in (part.embedded.mean[[5]], context.embedded.mean[[2]])]
    with torch.no_grad():
        own, other = (part.net.log_prob(x, x.sum(1).log(), part.net.decoder(v, batch)) for v in z)
    assert values.iloc[1, 1] == pytest.approx((own - other).item(), rel=1e-3, abs=1e-2)


def test_prototypes_align_to_their_own_type(model):
    record = model.prototype_record()
    last = record[record["epoch"] == EPOCHS].pivot(
        index="target_type", columns="context_type", values="difference"
    )
    assert list(last.idxmax(axis=1)) == list(last.index)
    assert record["epoch"].nunique() == EPOCHS


def test_saving_and_loading(model, human, mouse, tmp_path):
    path = tmp_path / "model"
    model.save(path)
    alone = scs.ScSpecies.load(path)
    np.testing.assert_array_equal(
        alone.get_latent_representation("human"), model.get_latent_representation("human")
    )
    assert alone.transfer_labels().equals(model.transfer_labels())
    with pytest.raises(InputError, match="without them"):
        alone.transfer_labels(n_candidates=50)
    with pytest.raises(InputError, match="without them"):
        alone.similarity()
    whole = scs.ScSpecies.load(path, {"human": human})
    ranked = {"n_candidates": 50}
    assert whole.transfer_labels(**ranked).equals(model.transfer_labels(**ranked))
    everything = scs.ScSpecies.load(path, {"human": human, "mouse": mouse})
    for result in ("novelty", "differential_expression", "similarity", "preliminary_labels"):
        saved, own = (getattr(m, result)() for m in (everything, model))
        pd.testing.assert_frame_equal(saved, own)
    assert repr(whole) == repr(model)
    assert whole.prototype_record().equals(model.prototype_record())
    assert scs.load(path).species == model.species
    with pytest.raises(InputError, match="not those of the saved model"):
        scs.ScSpecies.load(path, {"human": human[:50]})
    (path / "model.json").write_text("{")
    with pytest.raises(ModelFileError, match="damaged"):
        scs.ScSpecies.load(path)


@pytest.mark.parametrize("which", ["model", "latent_model"])
def test_a_further_target_needs_no_context_data(which, tmp_path, request):
    model = request.getfixturevalue(which)
    model.save(tmp_path / "model")
    loaded = scs.ScSpecies.load(tmp_path / "model")
    pig = make_species(3, "P", 150)
    loaded.add_target("pig", pig, table("P").rename(columns={"human": "pig"}), batch_key="sample")
    assert not loaded.is_trained
    with pytest.raises(NotTrainedError):
        loaded.transfer_labels("pig")
    loaded.train(max_epochs=EPOCHS, **FIT)
    assert loaded.transfer_labels("pig")["label"].eq(pig.obs["cell_type"]).mean() > 0.8
    np.testing.assert_array_equal(
        loaded.get_latent_representation("human"), model.get_latent_representation("human")
    )
    loaded.save(tmp_path / "both")
    assert scs.ScSpecies.load(tmp_path / "both").species == ["mouse", "human", "pig"]


def test_resumed_training_is_the_same_training(mouse, human, tmp_path):
    def trained(epochs, **options):
        model = make(mouse, human)
        model.train(max_epochs=epochs, accelerator="cpu", verbose=False, **options)
        return model

    straight = trained(8)

    class Stop(Exception):
        pass

    def stop(epoch, max_epochs, losses):
        if "alignment_loss_train" in losses and epoch == 6:
            raise Stop

    options = {"checkpoint_dir": tmp_path, "checkpoint_every": 2}
    with pytest.raises(Stop):
        trained(8, callbacks=stop, resume="auto", **options)
    resumed = trained(8, resume="auto", **options)
    np.testing.assert_array_equal(
        resumed.get_latent_representation("human"), straight.get_latent_representation("human")
    )


@pytest.mark.parametrize(("asked", "used"), [(None, 1), (2, 2)])
def test_threads(mouse, human, asked, used):
    seen, model = [], make(mouse, human)
    count = [lambda *_: seen.append(torch.get_num_threads())]
    model.train(max_epochs=1, **FIT, n_threads=asked, callbacks=count)
    assert seen == [used] * 2


def test_interrupts_keep_what_was_learned(mouse, human):
    def interrupt(epoch, max_epochs, losses):
        if epoch == 2:
            raise KeyboardInterrupt

    model = make(mouse, human)
    model.train(max_epochs=5, accelerator="cpu", verbose=False, callbacks=interrupt)
    assert model.interrupted
    assert not model.is_trained
    assert model.get_latent_representation("mouse").shape == (mouse.n_obs, 10)
    with pytest.raises(NotTrainedError, match="human"):
        model.get_latent_representation("human")


# -- bad input ------------------------------------------------------------------------------


def test_wrong_orthologs(mouse, human):
    wrong = table().assign(human=[f"X{i}" for i in range(N_SHARED)])
    with pytest.raises(InputError, match="orthologs"):
        make(mouse, human, orthologs=wrong)
    with pytest.raises(InputError, match="no file"):
        make(mouse, human, orthologs="nowhere.tsv")


def test_swapped_species(mouse, human):
    swapped = table().rename(columns={"mouse": "human", "human": "mouse"})
    with pytest.raises(InputError, match="swapped"):
        make(mouse, human, orthologs=swapped)
    with pytest.raises(InputError, match="swapped"):
        make(human, mouse)


def test_two_unnamed_columns_hold_the_context_first(mouse, human):
    named = table().set_axis(["a", "b"], axis=1)
    assert make(mouse, human, orthologs=named)._targets["human"].pairs.shape == (N_SHARED, 2)


def test_few_shared_genes(mouse, human, caplog):
    with pytest.raises(InputError, match="share 40 one-to-one genes"):
        make(mouse, human, orthologs=table(n=40))
    with caplog.at_level(logging.WARNING):
        make(mouse, human, orthologs=table(n=100))
    assert "share only 100" in caplog.text


@pytest.mark.parametrize("which", ["mouse", "human"])
def test_log_data(mouse, human, which):
    data = {"mouse": mouse.copy(), "human": human.copy()}
    data[which].X = np.log1p(data[which].X)
    with pytest.raises(InputError, match=f"{which}: adata.X does not hold raw counts"):
        make(**data)


def test_missing_labels_and_columns(mouse, human):
    missing = mouse.copy()
    missing.obs.loc[missing.obs_names[3:5], "cell_type"] = None
    with pytest.raises(InputError, match="missing for 2 of 240 cells"):
        make(missing, human)
    with pytest.raises(InputError, match="not a column"):
        make(mouse, human, context_labels="nothing")
    with pytest.raises(InputError, match="not a column"):
        make(mouse, human, batch_key="nothing")
    with pytest.raises(InputError, match="layer"):
        make(mouse, human, layer="nothing")


def test_small_labels_and_batches_are_named(mouse, human, caplog):
    rare = mouse.copy()
    rare.obs["cell_type"] = rare.obs["cell_type"].astype(str)
    rare.obs.iloc[:4, rare.obs.columns.get_loc("cell_type")] = "rare"
    rare.obs["sample"] = np.where(np.arange(rare.n_obs) < 3, "tiny", "s0")
    with caplog.at_level(logging.WARNING):
        model = make(rare, human)
        model.train(max_epochs=2, accelerator="cpu", verbose=False)
    assert "rare (4)" in caplog.text
    assert "tiny (3)" in caplog.text


def test_one_batch(mouse, human):
    one = human.copy()
    one.obs["sample"] = "only"
    for model in (make(mouse, one), make(mouse, human, batch_key=None)):
        model.train(max_epochs=2, accelerator="cpu", verbose=False)
        assert np.isfinite(model.get_latent_representation("human")).all()


def test_no_epochs_are_refused(mouse, human):
    with pytest.raises(InputError, match="max_epochs=0"):
        make(mouse, human).train(max_epochs=0, verbose=False)


def test_small_data_have_several_steps_per_epoch():
    assert [default_batch_size(n) for n in (30, 400, 1_000, 100_000)] == [32, 57, 128, 128]


def test_a_target_smaller_than_a_minibatch(mouse, human):
    model = make(mouse, human[:30].copy())
    model.train(max_epochs=2, accelerator="cpu", verbose=False)
    assert model.get_latent_representation("human").shape == (30, 10)


def test_names_that_occur_twice(mouse, human):
    with pytest.raises(InputError, match="more than once"):
        make(mouse, human, targets=[("human", human), ("human", human)])
    with pytest.raises(InputError, match="more than once"):
        make(mouse, human, targets={"mouse": human})
    double = human.copy()
    double.var_names = ["H0", *double.var_names[1:]]
    with pytest.raises(InputError, match=r"human: gene names .* not unique"):
        make(mouse, double)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"preset": "best"}, "preset"),
        ({"likelihood": "poisson"}, "likelihood"),
        ({"alignment": "both"}, "alignment"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"n_neighbors": 1000}, "Expected fewer"),
        ({"n_latent": "ten"}, "n_latent"),
        ({"n_hidden": float("nan")}, "n_hidden"),
        ({"search_every": -1}, "search_every"),
        ({"seed": 0.5}, "seed"),
        ({"quantile": 2}, "quantile"),
        ({"eta": "much"}, "eta"),
        ({"eta": (1, 2, 3)}, "eta"),
        ({"mixing_weight": -1.0}, "mixing_weight"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"targets": {}}, "targets is empty"),
        ({"batch_key": {"mouse": "sample"}}, "batch_key has no entry for 'human'"),
    ],
)
def test_arguments_are_checked(mouse, human, options, match):
    with pytest.raises(InputError, match=match):
        make(mouse, human, **options)


def test_arguments_of_results_are_checked(model, mouse, human):
    with pytest.raises(InputError, match="not a target"):
        model.transfer_labels("pig")
    with pytest.raises(InputError, match="not part of this model"):
        model.get_latent_representation("pig")
    with pytest.raises(InputError, match="not a column"):
        model.transfer_labels(labels="nothing")
    with pytest.raises(InputError, match="one value for each"):
        model.similarity(target_labels=["a"])
    with pytest.raises(InputError, match="level"):
        model.similarity(level="genes")
    with pytest.raises(InputError, match="trained already"):
        model.train(verbose=False)
    with pytest.raises(NotTrainedError):
        make(mouse, human).transfer_labels()


# -- genes ------------------------------------------------------------------------------------


def test_differential_expression(model):
    table = model.differential_expression(n_samples=200)
    assert len(table) == 3 * N_SHARED
    assert set(table["cell_type"]) == set(TYPES)
    one = table[table["cell_type"] == "alpha"].set_index("target_gene")
    assert (one["context_gene"].str[1:] == one.index.str[1:]).all()
    assert one["probability"].between(0, 1).all()
    # programs are shared, so real pairs differ less than random ones
    assert one["lfc"].abs().median() < 0.5 * one["lfc_null"].abs().median()
    assert table.equals(model.differential_expression(n_samples=200))


def test_differential_expression_finds_the_planted_differences(model, mouse, human):
    table = model.differential_expression(n_samples=200, cell_types=["beta"]).set_index(
        "target_gene"
    )

    def mean(adata, prefix):
        cells = adata[adata.obs["cell_type"] == "beta", [f"{prefix}{i}" for i in range(N_SHARED)]].X
        total = np.asarray(cells.sum(0)).ravel() + 1.0
        return total / total.sum()

    observed = np.log2(mean(human, "H") / mean(mouse, "m"))
    found = table.loc[[f"H{i}" for i in range(N_SHARED)], "lfc"]
    assert np.corrcoef(observed, found)[0, 1] > 0.7


def test_relevance_of_both_species(model):
    pytest.importorskip("captum", reason="the extra 'relevance' is not installed")
    for name in ("mouse", "human"):
        table = model.relevance(name, n_cells=10)
        assert table.shape == (N_SHARED + N_OWN, 3)
        assert np.isfinite(table.to_numpy()).all()


def test_types_to_compare_must_be_shared(model):
    with pytest.raises(InputError, match="cell_types"):
        model.differential_expression(cell_types=["delta"])


def test_novel_cells_are_found_without_labels(mouse):
    """A type of the target that the context does not have, with a program of its own."""
    human = make_species(2, "H", 240, types=("alpha", "beta", "gamma", "novel"))
    human = human[(human.obs["cell_type"] != "novel") | (np.arange(human.n_obs) % 2 == 0)].copy()
    model = make(mouse, human, target_labels=None)
    model.train(max_epochs=EPOCHS, **FIT)
    found = model.novelty()
    new = (human.obs["cell_type"] == "novel").to_numpy()
    scores = found["score"].to_numpy()
    ranks = pd.Series(scores).rank()
    area = (ranks[new].mean() - (new.sum() + 1) / 2) / (~new).sum()
    assert area > 0.95
    assert found["novel"][new].mean() > 0.5
    assert found["novel"][~new].mean() < 0.4
    assert not model.novelty(threshold=np.inf)["novel"].any()
