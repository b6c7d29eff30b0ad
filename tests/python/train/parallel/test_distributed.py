"""Two processes of torch.distributed against one that does the same by hand, and what they refuse."""

import json
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
import torch.distributed as dist
from group import torchrun
from torch import nn

import scsystems as scs
from scsystems.data import blocks
from scsystems.data.blocks import batch_source
from scsystems.data.source import Shard
from scsystems.models.base import split_cells
from scsystems.models.sysvi import presets
from scsystems.models.sysvi.plan import read_plan
from scsystems.train.parallel import distributed
from scsystems.train.parallel.distributed import process_group

N, BATCH_SIZE, SEED = 2, 32, 3
CPU = torch.device("cpu")
SCRIPT = Path(__file__).with_name("group_script.py")


@pytest.fixture(scope="module")
def folder(make, tmp_path_factory):
    """What two processes have done, see `SCRIPT`."""
    folder = tmp_path_factory.mktemp("group")
    make(n_cells=180, systems=("human", "mouse", "fly")).write_h5ad(folder / "cells.h5ad")
    ran = torchrun(N, SCRIPT, folder, restarts=1)
    assert ran.returncode == 0, ran.stderr
    (folder / "stderr").write_text(ran.stderr)
    return folder


@pytest.fixture(scope="module")
def told(folder):
    return [json.loads((folder / f"told-{i}.json").read_text()) for i in range(N)]


def weights(folder, name, number=0):
    return dict(np.load(folder / f"{name}-{number}.npz"))


def averaged(model, cells, validation, epochs, clip=None, **plan):
    """Train by the definition; returns the history of the losses.

    One process takes the minibatches of all at the same weights, by automatic differentiation,
    each with running statistics as they were, and averages gradients and statistics.
    """
    defaults = presets.TRAINING["default"]["plan"]
    loss_weights = read_plan(plan, defaults).weights
    net, run = model.net, torch.Generator().manual_seed(SEED)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=defaults["lr"], eps=0.1, weight_decay=1e-6)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d)]
    statistics = [s for m in norms for s in (m.running_mean, m.running_var)]
    if net.adversary is not None:
        statistics += [s.detach() for s in net.adversary.state_dict().values()]
    history = {"train_loss": [], "validation_loss": []}
    for _ in range(epochs):
        *own, common = torch.randint(2**62, (N + 1,), generator=run).tolist()
        noise = [torch.Generator().manual_seed(s) for s in own]
        dealt = []
        for number in range(N):
            order = torch.Generator().manual_seed(common)
            epoch = cells.epoch(BATCH_SIZE, order, Shard(number, N))
            dealt.append([cells.gather(i) for block in epoch for i in block])
        net.train()
        losses = []
        for minibatches in zip(*dealt, strict=True):
            before, after, gradients = [s.clone() for s in statistics], [], []
            for batch, generator in zip(minibatches, noise, strict=True):
                for statistic, value in zip(statistics, before, strict=True):
                    statistic.copy_(value)
                for p in trained:
                    p.grad = torch.zeros_like(p)
                parts = net.loss(batch, loss_weights, generator, True)
                parts.total.backward()
                losses.append(parts.total.item())
                gradients.append([p.grad for p in trained])
                after.append([s.clone() for s in statistics])
            for statistic, values in zip(statistics, zip(*after, strict=True), strict=True):
                statistic.copy_(torch.stack(values).mean(0))
            for p, values in zip(trained, zip(*gradients, strict=True), strict=True):
                p.grad = torch.stack(values).mean(0)
            if clip is not None:
                nn.utils.clip_grad_norm_(trained, clip)
            optimizer.step()
        history["train_loss"].append(np.mean(losses))
        net.eval()
        if validation is None:
            continue
        total, n = 0.0, len(validation)
        for number, generator in enumerate(noise):
            for indices in validation.in_order(BATCH_SIZE, Shard(number, N)):
                with torch.no_grad():
                    batch = validation.gather(indices)
                    parts = net.loss(batch, loss_weights, generator, False)
                total += parts.total.item() * len(indices)
        history["validation_loss"].append(total / n)
    return history


def model_of(cells, **options):
    scs.SysVI.setup_anndata(cells, batch_key="system", categorical_covariate_keys=["donor"])
    return scs.SysVI(cells, **{"n_hidden": 24, "n_latent": 4, "seed": SEED} | options)


@pytest.mark.parametrize(
    ("name", "epochs", "train_size", "clip"),
    [("resident", 3, 0.8, 20), ("blocks", 2, 0.8, None), ("automatic", 2, None, None)],
)
def test_processes_equal_one_that_averages_gradients(
    folder, told, name, epochs, train_size, clip, monkeypatch
):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 40 * 40)
    monkeypatch.setattr(blocks, "CHUNK", 8)
    path = folder / "cells.h5ad"
    model = model_of(
        path if name == "blocks" else ad.read_h5ad(path), adversarial=name == "automatic"
    )
    arrays = model._own.cells
    train_at, validation_at = split_cells(len(arrays), train_size, None, True, SEED)
    storage = "disk" if name == "blocks" else "auto"
    cells = batch_source(arrays, train_at, CPU, storage)
    assert cells.in_blocks == (name == "blocks")
    validation = batch_source(arrays, validation_at, CPU, storage) if len(validation_at) else None
    plan = {"adversary_weight": 1.0} if name == "automatic" else {}
    history = averaged(model, cells, validation, epochs, clip, **plan)
    found = weights(folder, name)
    for key, value in model.net.state_dict().items():
        np.testing.assert_allclose(found[key], value, rtol=2e-4, atol=2e-5, err_msg=key)
    for key, values in history.items():
        seen = dict(told[0][name]["history"].get(key, []))
        assert seen or not values
        for epoch, value in seen.items():
            np.testing.assert_allclose(value, values[epoch], rtol=1e-5)


def test_all_processes_have_the_same_network_and_losses(folder, told):
    names = [name for name in told[0] if isinstance(told[0][name], dict)]
    assert len(names) == 9
    for name in names:
        one, two = (weights(folder, name, number) for number in range(N))
        assert all(np.array_equal(one[key], two[key]) for key in one)
        assert told[0][name] == told[1][name]


def test_a_query_in_a_group_leaves_what_is_frozen(folder):
    model, query = weights(folder, "labels"), weights(folder, "query")
    changed = {key for key in model if not np.array_equal(model[key], query[key])}
    # tables of covariates, which have new rows; statistics of BatchNorm stay to the last digit
    assert changed
    assert all("design" in key or "covariate" in key for key in changed), changed


def test_all_stop_together(told):
    # the last process alone wanted to
    assert told[0]["callback"]["stopped"] == "callback"
    assert len(told[0]["callback"]["history"]["train_loss"]) == 3
    assert told[0]["early"]["stopped"] == "early_stopping"
    assert len(told[0]["early"]["history"]["train_loss"]) == 3


def test_a_command_that_was_killed_and_started_again_gives_the_identical_result(folder, told):
    said = (folder / "stderr").read_text()
    assert said.count("exitcode: -9") == 1
    # the first process alone speaks
    assert said.count("Training goes on after epoch 2") == 1
    found = ad.read_h5ad(folder / "out.h5ad").obsm["X_sysvi"]
    np.testing.assert_array_equal(found, np.load(folder / "whole-0.npy"))
    model = scs.load(folder / "model")
    for key, values in told[0]["whole"]["history"].items():
        assert model.history[key][key].tolist() == [value for _, value in values]
    assert model._train_facts["processes"] == N
    assert {p.name for p in (folder / "run").iterdir()} == {"checkpoint"}
    # what was prepared on disk for all is gone
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("settings", "batch_size is 32 in process 0 and 33 in process 1"),
        ("epochs", "max_epochs is 1 in process 0 and 2 in process 1"),
        ("cells", "number of cells to train on is 180 in process 0 and 178 in process 1"),
        ("values", "fingerprint of the cells is .* in process 0 and .* in process 1"),
        ("system", "Process 1 of the group has no cells of 'fly' to train on.*the same file"),
        ("few", "'fly' has 1 cells to train on.*2 processes would be without"),
    ],
)
def test_what_differs_is_refused_by_all_before_training(told, name, message):
    for there in told:
        kind, said = there[name]
        assert kind == "InputError"
        assert re.search(message, said)
    assert told[0][name] == told[1][name]


def test_a_process_that_cannot_begin_tells_the_others(told):
    said = "n_threads=0. Expected a whole number of at least 1."
    assert told[1]["argument"] == ["InputError", said]
    assert told[0]["argument"] == ["WorkerError", f"Process 1 of the group could not begin: {said}"]


def test_scspecies_says_what_trains_in_several_processes(told):
    for there in told:
        kind, said = there["species"]
        assert kind == "NotSupportedError"
        assert "ScSpecies trains in one process" in said
        assert "SysVI" in said


def test_a_process_that_is_lost_ends_the_others_training(told):
    kind, said = told[0]["lost"]
    assert kind == "WorkerError"
    assert "Another process of the group has ended" in said
    assert "lost" not in told[1]


def test_a_group_of_one_trains_as_without(adata, tmp_path):
    alone = model_of(adata)
    alone.train(2, verbose=False)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        assert process_group() is None
        model = model_of(adata)
        model.train(2, verbose=False)
    finally:
        dist.destroy_process_group()
    for key, value in alone.net.state_dict().items():
        assert torch.equal(value, model.net.state_dict()[key])


def test_a_device_that_the_group_cannot_send_from(monkeypatch):
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_backend_config", lambda: "cuda:nccl")
    group = distributed.Group()
    group.require(torch.device("cuda"))
    with pytest.raises(
        scs.errors.InputError, match=r"to run on cpu.*cuda:nccl only.*of gloo for CPUs.*accelerator"
    ):
        group.require(CPU)
