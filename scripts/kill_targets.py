"""What `kill_test.py` kills: something that is written again and again, and how its remains are judged."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

import scsystems as scs
from scsystems.data.containers import open_cells, write_cells
from scsystems.files import read_folder
from scsystems.tune.run import Kept
from scsystems.tune.store import RunStore

NET = {"n_hidden": 32, "n_latent": 3, "seed": 0}


@dataclass(frozen=True)
class Kind:
    """Something that is written.

    ``act`` does it endlessly, yielding after each time; ``check`` refuses what it left;
    ``finish`` does it once more and refuses a wrong result.
    """

    act: Callable[[Path], Iterator[None]]
    check: Callable[[Path], None]
    finish: Callable[[Path], None]


class LostError(Exception):
    """Something is not as it should be."""


def require(is_so: bool, what: str) -> None:
    if not is_so:
        raise LostError(what)


@cache
def prepared() -> AnnData:
    counts = scs.datasets.simulated(n_cells=300, n_genes=80, n_types=3, own_types=False, seed=0)
    adata = scs.pp.prepare(counts, system_key="system", n_top_genes=60, min_cells=1)
    scs.SysVI.setup_anndata(adata, "system")
    return adata


def cells() -> AnnData:
    return prepared().copy()


# ---- models ------------------------------------------------------------------------------------


@cache
def models() -> list[scs.SysVI]:
    """Two that differ."""
    made = []
    for seed in (0, 1):
        model = scs.SysVI(cells(), **NET | {"seed": seed})
        model.train(max_epochs=1, verbose=False, accelerator="cpu")
        made.append(model)
    return made


def act_save(folder: Path, **options) -> Iterator[None]:
    made = models()
    while True:
        for model in made:
            model.save(folder / "m", overwrite=True, **options)
            yield


def check_save(folder: Path) -> None:
    if (folder / "m").exists():
        found = scs.SysVI.load(folder / "m").get_latent_representation(cells())
        known = [model.get_latent_representation() for model in models()]
        require(
            any(np.allclose(found, z, atol=1e-5) for z in known), "the model is neither of the two"
        )


def finish_save(folder: Path, **options) -> None:
    model = models()[1]
    model.save(folder / "m", overwrite=True, **options)
    found = scs.SysVI.load(folder / "m").get_latent_representation(cells())
    require(
        np.allclose(found, model.get_latent_representation(), atol=1e-5), "another model was saved"
    )


def check_cells(folder: Path) -> None:
    if (folder / "m").exists():
        require(
            scs.SysVI.load(folder / "m").adata is not None, "the cells beside the model are gone"
        )
    check_save(folder)


@cache
def species_model(seed: int) -> scs.ScSpecies:
    rates = np.exp(np.random.default_rng(9).normal(0, 1, (3, 70)))

    def counts(name: str, n: int) -> AnnData:
        rng = np.random.default_rng(n)
        types = rng.integers(0, 3, n)
        adata = AnnData(rng.poisson(rates[types] * 2).astype(np.float32))
        adata.var_names = [f"{name}{i}" for i in range(70)]
        adata.obs["type"] = np.array(["a", "b", "c"])[types]
        return adata

    pairs = pd.DataFrame(
        {"mouse": [f"m{i}" for i in range(60)], "human": [f"h{i}" for i in range(60)]}
    )
    model = scs.ScSpecies(
        {"mouse": counts("m", 90)},
        {"human": counts("h", 80)},
        "type",
        pairs,
        n_neighbors=5,
        n_hidden=16,
        seed=seed,
    )
    model.train(max_epochs=1, verbose=False, accelerator="cpu")
    return model


def act_species(folder: Path) -> Iterator[None]:
    made = [species_model(seed) for seed in (0, 1)]
    while True:
        for model in made:
            model.save(folder / "m", overwrite=True)
            yield


def check_species(folder: Path) -> None:
    if (folder / "m").exists():
        scs.ScSpecies.load(folder / "m").transfer_labels()


def finish_species(folder: Path) -> None:
    model = species_model(1)
    model.save(folder / "m", overwrite=True)
    found = scs.ScSpecies.load(folder / "m").get_latent_representation("human")
    require(
        np.array_equal(found, model.get_latent_representation("human")), "another model was saved"
    )


# ---- checkpoints -------------------------------------------------------------------------------


def train(folder: Path, n_threads: int, epochs: int, resume: bool, callback=None) -> scs.SysVI:
    model = scs.SysVI(cells(), **NET)
    model.train(
        max_epochs=epochs, verbose=False, accelerator="cpu", checkpoint_dir=folder / "c",
        checkpoint_every=1, resume=resume, callbacks=callback, n_threads=n_threads,
    )  # fmt: skip
    return model


def act_checkpoint(folder: Path, n_threads: int) -> Iterator[None]:
    epochs: queue.Queue = queue.Queue()
    threading.Thread(
        target=train,
        args=(folder, n_threads, 100_000, False, lambda *_: epochs.put(1)),
        daemon=True,
    ).start()
    while True:
        epochs.get()
        yield


def check_checkpoint(folder: Path, n_threads: int) -> None:
    """One more epoch leads to where training straight there leads."""
    if not (folder / "c" / "checkpoint").exists():
        return
    done = int(_epoch(folder))
    copy = folder / "copy"
    shutil.copytree(folder / "c", copy / "c")
    resumed = train(copy, n_threads, done + 1, resume=True)
    straight = train(copy / "again", n_threads, done + 1, resume=False) if done < 60 else None
    shutil.rmtree(copy)
    require(len(resumed.history["train_loss"]) == done + 1, "epochs are lost")
    if straight is not None:
        a, b = (m.get_latent_representation() for m in (resumed, straight))
        require(np.array_equal(a, b), "resumed training is another training")


def _epoch(folder: Path) -> int:
    return read_folder(folder / "c" / "checkpoint", "checkpoint")[1]["epoch"]


def finish_checkpoint(folder: Path, n_threads: int) -> None:
    there = (folder / "c" / "checkpoint").exists()
    train(folder, n_threads, (_epoch(folder) if there else 0) + 2, resume=there)


# ---- searches ----------------------------------------------------------------------------------


def search(folder: Path, n_jobs: int, settings: int, callback=None):
    return scs.tune.grid(
        cells(), {"n_hidden": [8 + i for i in range(settings)], "n_latent": [3]}, seeds=(0,), folder=folder / "runs",
        label_key="cell_type", biology=["nmi_fixed"], metrics=["jaccard"], min_cells=5, max_epochs=1,
        n_jobs=n_jobs, verbose=False, callback=callback,
    )  # fmt: skip


def act_search(folder: Path, n_jobs: int) -> Iterator[None]:
    runs: queue.Queue = queue.Queue()
    threading.Thread(
        target=search, args=(folder, n_jobs, 1000, lambda *_: runs.put(1)), daemon=True
    ).start()
    while True:
        runs.get()
        yield


def check_search(folder: Path) -> None:
    store = RunStore(folder / "runs", Kept, cells().n_obs)
    for path in (folder / "runs").glob("*.json"):
        require(store.read(path.stem) is not None, f"the run {path.stem} is lost")


def finish_search(folder: Path, n_jobs: int) -> None:
    found = search(folder, n_jobs, 3)
    with tempfile.TemporaryDirectory() as other:
        alone = search(Path(other), 1, 3)
    require(
        np.allclose(found.embedding(), alone.embedding(), atol=1e-5),
        "the search found something else",
    )


# ---- files of cells ----------------------------------------------------------------------------


def act_file(folder: Path, suffix: str) -> Iterator[None]:
    source = folder / f"t{suffix}"
    if not source.exists():
        write_cells_once(source, 0)
    opened = open_cells(source)
    number = 0
    while True:
        number += 1
        opened.add_embedding("X_new", np.full((opened.adata.n_obs, 40), float(number)))
        opened.add_column("number", np.full(opened.adata.n_obs, float(number)))
        write_cells(opened, source)
        yield


def write_cells_once(path: Path, number: int) -> None:
    adata = cells()
    adata.obsm["X_new"] = np.full((adata.n_obs, 40), float(number))
    adata.obs["number"] = float(number)
    getattr(adata, f"write_{path.suffix[1:]}")(path)


def check_file(folder: Path, suffix: str) -> None:
    path = folder / f"t{suffix}"
    if path.exists() or suffix == ".zarr":
        adata = open_cells(path).adata
        numbers = {*adata.obsm["X_new"].ravel(), *adata.obs["number"]}
        require(len(numbers) == 1, "the file is a mixture of two")
        require(adata.n_obs == cells().n_obs, "cells are lost")


def finish_file(folder: Path, suffix: str) -> None:
    opened = open_cells(folder / f"t{suffix}")
    opened.add_embedding("X_new", np.full((opened.adata.n_obs, 40), -1.0))
    write_cells(opened, folder / f"t{suffix}")
    read = anndata.read_zarr if suffix == ".zarr" else anndata.read_h5ad
    require((read(folder / f"t{suffix}").obsm["X_new"] == -1).all(), "something else was written")


def kinds() -> dict[str, Kind]:
    with_cells = {"save_anndata": True}
    return {
        "save": Kind(act_save, check_save, finish_save),
        "cells": Kind(
            lambda f: act_save(f, **with_cells), check_cells, lambda f: finish_save(f, **with_cells)
        ),
        "species": Kind(act_species, check_species, finish_species),
        **{
            name: Kind(
                lambda f, n=n: act_checkpoint(f, n),
                lambda f, n=n: check_checkpoint(f, n),
                lambda f, n=n: finish_checkpoint(f, n),
            )
            for name, n in (("checkpoint", 1), ("n_threads", 2))
        },
        "tune": Kind(lambda f: act_search(f, 1), check_search, lambda f: finish_search(f, 1)),
        "jobs": Kind(lambda f: act_search(f, 2), check_search, lambda f: finish_search(f, 2)),
        **{
            suffix[1:]: Kind(
                lambda f, s=suffix: act_file(f, s),
                lambda f, s=suffix: check_file(f, s),
                lambda f, s=suffix: finish_file(f, s),
            )
            for suffix in (".h5ad", ".zarr")
        },
    }
