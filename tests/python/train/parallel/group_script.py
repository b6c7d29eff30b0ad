"""What each process of a group does in `test_distributed`; run as a script by torchrun.

At first all run the command line, and the last is killed in the middle of it; all are started
again, run the same command to its end, and then train in other ways.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import anndata as ad
import numpy as np
import torch
import torch.distributed as dist

import scsystems as scs
from scsystems.cli import main as command
from scsystems.data import blocks
from scsystems.errors import ScsystemsError
from scsystems.train.step import Steps

SEED = 3
# seconds after which a process that waits for another gives up
LIMIT = 120
# of 40 cells, and of 8
BLOCK_BYTES, CHUNK = 4 * 40 * 40, 8
# Adam divides by small gradients, and so enlarges roundings, unless eps is large
PLAN = {"eps": 0.1}
USUAL = {"precision": "float32", "verbose": False, "batch_size": 32, "plan_kwargs": PLAN}


def model_of(cells, **options):
    """A small model; ``cells`` are an AnnData or a path."""
    scs.SysVI.setup_anndata(cells, batch_key="system", categorical_covariate_keys=["donor"])
    return scs.SysVI(cells, **{"n_hidden": 24, "n_latent": 4, "seed": SEED} | options)


def die_at(step: int) -> None:
    """Be killed in the middle of a step of training."""
    as_it_is, taken = Steps.learn, 0

    def learn(self, indices):
        nonlocal taken
        taken += 1
        if taken == step:
            os.kill(os.getpid(), signal.SIGKILL)
        as_it_is(self, indices)

    Steps.learn = learn


def run_command(folder: Path) -> None:
    """Train by the command line, on counts that are on disk."""
    genes = ["--layer", "counts", "--on-disk", "--genes", "25"]
    options = ["--covariates", "donor", "--batch-size", "32", "--epochs", "5", *genes]
    written = ["--checkpoint", str(folder / "run"), "--model", str(folder / "model")]
    files = [str(folder / "cells.h5ad"), str(folder / "out.h5ad")]
    assert command(["sysvi", *files, "--system", "system", *options, *written]) == 0


def main(folder: Path, number: int, n: int) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=number,
        world_size=n,
        timeout=timedelta(seconds=LIMIT),
    )
    path = folder / "cells.h5ad"
    adata = ad.read_h5ad(path)
    told: dict[str, object] = {}

    def keep(name: str, model) -> None:
        weights = {k: v.numpy() for k, v in model.net.state_dict().items()}
        np.savez(folder / f"{name}-{number}.npz", **weights)
        past = model._past
        told[name] = {"history": past.history, "stopped": past.stopped}

    def refused(name: str, train) -> None:
        try:
            train()
        except ScsystemsError as error:
            told[name] = [type(error).__name__, str(error)]

    # equal to one process
    model = model_of(adata)
    model.train(3, validation_size=0.2, check_val_every_n_epoch=1, gradient_clip_val=20, **USUAL)
    keep("resident", model)
    # several blocks of several chunks each
    blocks.BLOCK_BYTES, blocks.CHUNK = BLOCK_BYTES, CHUNK
    model = model_of(path)
    model.train(2, storage="disk", validation_size=0.2, check_val_every_n_epoch=2, **USUAL)
    keep("blocks", model)
    # with automatic differentiation
    model = model_of(adata, adversarial=True)
    model.train(2, **USUAL | {"plan_kwargs": PLAN | {"adversary_weight": 1.0}})
    keep("automatic", model)

    # with labels, of a query, and from a mixture of Gaussians
    keys = {"batch_key": "system", "labels_key": "cell_type"}
    scs.SysVI.setup_anndata(adata, categorical_covariate_keys=["donor"], **keys)
    model = scs.SysVI(adata, n_hidden=24, n_latent=4, seed=SEED)
    model.train(1, **USUAL)
    keep("labels", model)
    query = adata[:90].copy()
    query.obs["donor"] = [f"new{i % 2}" for i in range(90)]
    query = scs.SysVI.load_query_data(query, model)
    query.train(1, **USUAL)
    keep("query", query)
    model = model_of(adata, prior="gmm")
    with torch.no_grad():
        # as if machines rounded differently
        model.net.decoder.mean.weight *= 1 + 1e-6 * number
        model.net.decoder.hidden.layers[0].norm.running_var *= 1 + 1e-6 * number
    model.train(1, n_threads=2, **USUAL)
    keep("gmm", model)

    # stopped by the last process alone, and by the losses
    model = model_of(adata)
    model.train(9, callbacks=lambda epoch, *_: number < n - 1 or epoch < 3, **USUAL)
    keep("callback", model)
    model = model_of(adata)
    model.train(
        20, early_stopping=True, early_stopping_min_delta=1e9, early_stopping_patience=2, **USUAL
    )
    keep("early", model)

    # what the command has done, without being killed
    choice = {"layer": "counts", "n_top_genes": 25, "out": folder / f"prepared-{number}.h5ad"}
    prepared = scs.pp.prepare(path, "system", "donor", **choice)
    scs.SysVI.setup_anndata(prepared, batch_key="system", categorical_covariate_keys=["donor"])
    model = scs.SysVI(prepared, seed=0)
    model.train(5, batch_size=32, verbose=False)
    np.save(folder / f"whole-{number}.npy", model.get_latent_representation())
    keep("whole", model)

    # what not all processes agree on, or one of them cannot do
    last = number == n - 1
    refused("settings", lambda: model_of(adata).train(1, **USUAL | {"batch_size": 32 + last}))
    refused("epochs", lambda: model_of(adata).train(1 + last, **USUAL))
    refused("cells", lambda: model_of(adata[: 180 - 2 * last].copy()).train(1, **USUAL))
    changed = adata.copy()
    changed.X[3, 3] += number
    refused("values", lambda: model_of(changed).train(1, **USUAL))
    part = adata[adata.obs["system"] != ("fly" if last else "")].copy()
    refused("system", lambda: model_of(part).train(1, **USUAL))
    refused("argument", lambda: model_of(adata).train(1, n_threads=1 - last, **USUAL))
    few = np.flatnonzero(adata.obs["system"] == "fly")[2:]
    few = adata[np.setdiff1d(np.arange(len(adata)), few)].copy()
    refused("few", lambda: model_of(few).train(1, train_size=0.5, seed=1, **USUAL))
    refused("species", lambda: scs.ScSpecies.train(None))

    # a process that ends in the middle of training
    def leave(*_):
        if last:
            end()

    def end():
        (folder / f"told-{number}.json").write_text(json.dumps(told))
        # a group that has lost a process cannot be taken apart
        os._exit(0)

    refused("lost", lambda: model_of(adata).train(9, callbacks=leave, **USUAL))
    end()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, number, n = Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and number == n - 1:
        # of three steps an epoch: in the third epoch
        die_at(8)
    run_command(folder)
    main(folder, number, n)
