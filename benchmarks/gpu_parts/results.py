"""What trained models are for: embedding, ScSpecies' steps, and quality on real cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anndata as ad
import numpy as np

import scsystems as scs
from scsystems.models.scspecies import training
from scsystems.models.scspecies.training import AlignmentObjective

from .bench import Bench


def inference(bench: Bench) -> list[dict]:
    """Cells per second into the latent space and out of it."""
    adata = bench.simulated(bench.sizes.cells)
    model, _ = bench.train(adata, 1)
    rows = []
    for what, call in (
        ("embedding", model.get_latent_representation),
        ("decoding", lambda **at: model.get_normalized_expression(return_numpy=True, **at)),
    ):
        few = np.arange(min(20_000, adata.n_obs))
        call(indices=few[:1000])
        with bench.timed() as clock:
            call(indices=few)
        rows.append({"what": what, "cells_per_second": len(few) / clock.seconds})
    return rows


def scspecies(bench: Bench) -> list[dict]:
    """Seconds of scSpecies' three steps, and of its search among candidates, on simulated species."""
    n = max(400, bench.sizes.cells // 5)
    species, table = scs.datasets.simulated_by_species(n_cells=n, n_genes=bench.sizes.genes, seed=0)
    (first, context), (second, target) = list(species.items())[:2]
    model = scs.ScSpecies({first: context}, {second: target}, "cell_type", table)
    epochs = 12
    with (
        spent_in(bench, training, "pretrain") as pretrain,
        spent_in(bench, training, "find_neighbors") as neighbors,
        spent_in(bench, training, "align") as align,
        spent_in(bench, AlignmentObjective, "_begin") as search,
        bench.timed() as clock,
    ):
        model.train(max_epochs=epochs, accelerator=bench.options.device, verbose=False)
    return [
        {
            "cells": n,
            "epochs": epochs,
            "seconds_context": sum(pretrain),
            "seconds_neighbors": sum(neighbors),
            "seconds_target": sum(align),
            "seconds_candidate_search": sum(search),
            "seconds_in_all": clock.seconds,
        }
    ]


@contextmanager
def spent_in(bench: Bench, owner, name: str) -> Iterator[list[float]]:
    """Seconds of each call of a function within the block."""
    function: Callable = getattr(owner, name)
    seconds: list[float] = []

    def timed(*args, **kwargs):
        bench.wait()
        started = time.perf_counter()
        result = function(*args, **kwargs)
        bench.wait()
        seconds.append(time.perf_counter() - started)
        return result

    setattr(owner, name, timed)
    try:
        yield seconds
    finally:
        setattr(owner, name, function)


def quality(bench: Bench) -> list[dict]:
    """Mixing and label transfer on real cells, trained on the GPU and on the CPU."""
    if bench.options.data is None:
        return [{"not_run": "no --data"}]
    from scsystems.metrics import ilisi, label_transfer, nearest_neighbors

    o = bench.options
    adata = ad.read_h5ad(o.data)
    scs.SysVI.setup_anndata(adata, batch_key=o.system, categorical_covariate_keys=[o.sample])
    system, label = (adata.obs[k].astype(str).to_numpy() for k in (o.system, o.label))
    rows = []
    runs = [(o.device, seed) for seed in range(3)] + [("cpu", 0)]
    for device, seed in runs:
        model = scs.SysVI(adata, seed=seed)
        with bench.timed() as clock:
            model.train(max_epochs=o.epochs, accelerator=device, verbose=False)
        z = model.get_latent_representation()
        recall = label_transfer(z, label, system, k=25, min_cells=20).recall
        rows.append(
            {
                "device": device,
                "seed": seed,
                "seconds": clock.seconds,
                "ilisi": float(ilisi(nearest_neighbors(z), system)),
                "label_transfer": float(recall.groupby("source")["recall"].mean().mean()),
            }
        )
    return rows
