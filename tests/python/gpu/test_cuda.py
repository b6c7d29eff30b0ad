"""On an NVIDIA GPU. These tests say so where there is none: then nothing here was tested."""

import numpy as np
import pytest
import torch
from ways import MAPPINGS, SPECIES_WAYS, WAYS, cells, model_of, set_up, species_model

import scsystems as scs
from scsystems import SysVI
from scsystems.data import blocks, room
from scsystems.data.neighbors import nearest
from scsystems.data.resident import ResidentCells
from scsystems.errors import DeviceMemoryError
from scsystems.nn.sysvi.gradients import SysVIGradients
from scsystems.nn.sysvi.net import SysVIWeights
from scsystems.train import loop
from scsystems.train.flat import flat_parameters
from scsystems.train.step import Steps

# the stand-in of `fake_cuda` runs them too, to see that the tests themselves are right
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no NVIDIA GPU: NOTHING of the GPU's own is tested here"
)
# noise of a GPU is another than a CPU's: the same loss, but for that
ALIKE = 0.1


def trained(make, accelerator="gpu", way="default", **more):
    given = {"model": {}, "plan": {}, "train": {}, "setup": {}} | WAYS[way]
    adata = cells(make, **{k: given[k] for k in ("systems", "samples") if k in given})
    set_up(adata, **given["setup"])
    model = model_of(adata, **given["model"])
    options = {"max_epochs": 12, "batch_size": 40, "plan_kwargs": given["plan"], "verbose": False}
    model.train(
        accelerator=accelerator, **options | {"precision": "float32"} | given["train"] | more
    )
    return model


def loss(model):
    return float(model.history["train_loss"].iloc[-1, 0])


def embedding(model):
    return model.get_latent_representation()


@pytest.fixture(params=["recorded", "not recorded"])
def recording(request, monkeypatch):
    if request.param == "not recorded":
        monkeypatch.setattr(loop, "can_record", lambda device: False)


@pytest.mark.usefixtures("recording")
@pytest.mark.filterwarnings("ignore:The use of inverse batch proportion weights")
@pytest.mark.parametrize("way", WAYS)
def test_training_reaches_the_loss_of_the_cpu(way, make):
    assert loss(trained(make, "gpu", way)) == pytest.approx(
        loss(trained(make, "cpu", way)), rel=ALIKE
    )


@pytest.mark.usefixtures("recording")
@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_number_formats_and_storage(storage, precision, make):
    found = trained(make, storage=storage, precision=precision)
    assert loss(found) == pytest.approx(loss(trained(make, "cpu")), rel=ALIKE)
    assert found._train_facts["precision"] == precision


def test_the_same_seed_gives_the_same_embedding(make):
    once, again = (embedding(trained(make)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("way", ["default", "gmm", "standard normal", "labels"])
def test_no_step_waits_for_the_computer(way, make, monkeypatch):
    """torch itself looks, at what the tests with a stand-in find by rules."""
    step = Steps.step

    def watched(self, indices):
        torch.cuda.set_sync_debug_mode("error")
        try:
            step(self, indices)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Steps, "step", watched)
    monkeypatch.setattr(loop, "can_record", lambda device: False)
    trained(make, way=way, max_epochs=1)


@pytest.mark.parametrize("way", ["default", "gmm", "standard normal", "labels"])
def test_gradients_by_hand_are_those_of_automatic_differentiation(way, make):
    model = trained(make, way=way, max_epochs=1)
    net, own = model.net, model._require_own().cells
    device = model.device
    batch = ResidentCells(own, device).gather(torch.arange(40, device=device))
    weights = SysVIWeights(label=float(net.classifier is not None))
    found = []
    for by_hand in (False, True):
        generator = torch.Generator(device).manual_seed(1)
        free = [p for p in net.parameters() if p.requires_grad]
        statistics = {k: v.clone() for k, v in net.named_buffers()}
        with flat_parameters(free) as flat:
            if by_hand:
                SysVIGradients(net, weights)(batch, generator)
            else:
                flat.vector.grad.zero_()
                net.loss(batch, weights, generator, True).total.backward()
            found.append(flat.vector.grad.clone())
        for name, value in net.named_buffers():
            value.copy_(statistics[name])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4 * float(found[0].abs().max()))


# ---- cells that are not all there -------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 40 * 64)
    monkeypatch.setattr(blocks, "IN_ORDER", 32)


@pytest.mark.usefixtures("small_blocks", "recording")
def test_blocks_from_disk(make, tmp_path):
    path = tmp_path / "cells.h5ad"
    cells(make).write_h5ad(path)
    set_up(path)
    model = model_of(path)
    model.train(
        max_epochs=12, batch_size=20, storage="disk", early_stopping=True, accelerator="gpu",
        precision="float32", verbose=False,
    )  # fmt: skip
    expected = trained(make, "cpu", batch_size=20, early_stopping=True)
    assert loss(model) == pytest.approx(loss(expected), rel=ALIKE)
    assert embedding(model).shape == (120, 4)


@pytest.mark.usefixtures("small_blocks", "recording")
def test_blocks_from_memory(make, monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda device: 1)
    found = trained(make, batch_size=20, early_stopping=True)
    expected = trained(make, "cpu", batch_size=20, early_stopping=True)
    assert loss(found) == pytest.approx(loss(expected), rel=ALIKE)


def test_a_gpu_that_is_too_small(make):
    """For this process torch takes no more than a sliver of its memory."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(DeviceMemoryError, match="ran out of memory when it needed"):
            trained(make)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    trained(make, max_epochs=1)


# ---- trained models ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["default", "gmm", "labels", "embedded"])
def test_results_are_those_of_the_same_model_on_the_cpu(way, make, tmp_path):
    """Saved on a GPU, read on the CPU."""
    model = trained(make, way=way)
    model.save(tmp_path / "model")
    other = scs.load(tmp_path / "model", model.adata)
    assert model._train_facts["device"] == "cuda:0"
    assert other.device.type == "cpu"
    close = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(embedding(model), embedding(other), **close)
    for call in (
        lambda m: m.get_normalized_expression(transform_batch="human", return_numpy=True),
        lambda m: m.get_latent_representation(return_dist=True)[1],
    ):
        np.testing.assert_allclose(call(model), call(other), **close)
    # with noise of their own
    assert model.get_elbo() == pytest.approx(other.get_elbo(), rel=0.05)
    assert model.get_marginal_ll(n_mc_samples=50) == pytest.approx(
        other.get_marginal_ll(n_mc_samples=50), rel=0.05
    )
    if way == "labels":
        assert (model.predict() == other.predict()).mean() > 0.99
    back = scs.load(tmp_path / "model", model.adata, accelerator="gpu")
    np.testing.assert_array_equal(embedding(back), embedding(model))


@pytest.mark.parametrize("options", MAPPINGS)
def test_mapping(options, make):
    reference = trained(make)
    query = cells(make)
    query.obs["donor"] = "new"
    ends = []
    for accelerator in ("gpu", "cpu"):
        mapped = SysVI.load_query_data(query, reference, accelerator=accelerator, **options)
        mapped.train(
            max_epochs=8, batch_size=40, accelerator=accelerator, precision="float32", verbose=False
        )
        ends.append(loss(mapped))
        assert len(mapped.transfer_labels("cell_type", reference.adata)) == 120
    assert ends[0] == pytest.approx(ends[1], rel=ALIKE)


def test_resuming_gives_the_same_result(make, tmp_path):
    plan = {"lr": 1e-3}
    whole = trained(make, max_epochs=8, plan_kwargs=plan)
    trained(make, max_epochs=5, plan_kwargs=plan, checkpoint_dir=tmp_path, checkpoint_every=5)
    resumed = trained(make, max_epochs=8, plan_kwargs=plan, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_allclose(embedding(resumed), embedding(whole), rtol=1e-4, atol=1e-5)


def test_a_learning_rate_that_falls_is_felt_by_a_recorded_step(make):
    plan = {
        "reduce_lr_on_plateau": True, "lr_scheduler_metric": "elbo_train", "lr_patience": 0,
        "lr_threshold": 1e9, "lr_factor": 1e-6,
    }  # fmt: skip
    ends = [loss(trained(make, plan_kwargs=p)) for p in (plan, {})]
    # after two epochs nothing is learned any more
    assert ends[0] > ends[1]


@pytest.mark.slow
def test_several_runs_of_a_search_share_the_gpu(make):
    adata = make(200)
    set_up(adata)
    found = scs.tune.grid(
        adata, {"n_latent": [3, 4]}, seeds=(0,), label_key="cell_type", max_epochs=2, n_jobs=2,
        accelerator="gpu", min_cells=5, moran_min_cells=20, verbose=False,
    )  # fmt: skip
    assert set(found.runs["device"]) == {"cuda:0"}


@pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason="not two NVIDIA GPUs: the second one is NOT tested here"
)
def test_the_second_gpu(make):
    model = trained(make, "cuda:1")
    assert model.device == torch.device("cuda", 1)
    assert loss(model) == pytest.approx(loss(trained(make, "cpu")), rel=ALIKE)


# ---- ScSpecies --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def species():
    return scs.datasets.simulated_by_species(n_cells=400, n_genes=300, seed=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("way", [*SPECIES_WAYS, "a search in every step"])
def test_species(way, precision, species):
    options = SPECIES_WAYS.get(way, {"search_every": 0})
    ends = []
    for accelerator in ("gpu", "cpu"):
        model = species_model(species, **{"search_every": 2} | options)
        model.train(
            max_epochs=6, batch_size=40, accelerator=accelerator, precision=precision, verbose=False
        )
        target = model.species[1]
        assert len(model.transfer_labels(target)) == 200
        assert len(model.novelty(target)) == 200
        ends.append([h["reconstruction_loss_train"].iloc[-1, 0] for h in model.history.values()])
    np.testing.assert_allclose(*ends, rtol=ALIKE)


def test_neighbors():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 20)), rng.normal(size=(200, 20))
    places = torch.device("cuda", 0), torch.device("cpu")
    for metric in ("cosine", "euclidean"):
        on_gpu, on_cpu = (nearest(x, y, 5, metric, where) for where in places)
        np.testing.assert_allclose(on_gpu[1], on_cpu[1], rtol=1e-4, atol=1e-5)
        assert (on_gpu[0] == on_cpu[0]).mean() > 0.99
