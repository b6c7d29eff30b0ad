"""What ``fuzz.py`` has the package write and read."""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from fuzz_changes import forge_embedding, forge_json, forge_pickle, forge_tensors

import scsystems as scs
from scsystems.r.rds_scan import check_rds

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Kind:
    """Something the package reads.

    ``make`` writes it into an empty folder, ``read`` reads and uses it and returns numbers;
    ``forge`` are the changes beside damage.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], np.ndarray]
    forge: tuple[Callable[[Path, random.Random], None], ...]


def cells() -> AnnData:
    counts = scs.datasets.simulated(n_cells=120, n_genes=60, n_types=3, own_types=False, seed=0)
    adata = scs.pp.prepare(counts, system_key="system", n_top_genes=40, min_cells=1)
    adata.obs["score"] = np.linspace(0, 1, adata.n_obs)
    scs.SysVI.setup_anndata(adata, "system", None, ["donor"], ["score"])
    return adata


CELLS = cells()
NET = {"n_hidden": 8, "n_latent": 3, "n_prior_components": 3, "seed": 0}


def make_sysvi(folder: Path) -> None:
    model = scs.SysVI(CELLS.copy(), **NET)
    model.train(max_epochs=2, verbose=False, accelerator="cpu")
    model.save(folder / "m", save_anndata=True)


def read_sysvi(folder: Path) -> np.ndarray:
    model = scs.load(folder / "m")
    for frame in model.history.values():
        frame.to_numpy(float)
    repr(model)
    z = model.get_latent_representation()
    x = model.get_normalized_expression(CELLS[:5].copy(), return_numpy=True)
    again = scs.SysVI.load(folder / "m", CELLS.copy()).get_latent_representation()
    return np.concatenate([z.ravel(), x.ravel(), again.ravel()])


def species(name: str, seed: int, n: int) -> AnnData:
    rng = np.random.default_rng(seed)
    types = rng.integers(0, 3, n)
    rates = np.exp(np.random.default_rng(9).normal(0, 1, (3, 70)))
    adata = AnnData(rng.poisson(rates[types] * 2).astype(np.float32))
    adata.var_names = [f"{name}{i}" for i in range(70)]
    adata.obs_names = [f"{name}cell{i}" for i in range(n)]
    adata.obs["type"] = np.array(["a", "b", "c"])[types]
    return adata


def make_scspecies(folder: Path) -> None:
    numbers = range(60)
    pairs = pd.DataFrame({"mouse": [f"m{i}" for i in numbers], "human": [f"h{i}" for i in numbers]})
    model = scs.ScSpecies(
        {"mouse": species("m", 0, 90)}, {"human": species("h", 1, 80)}, "type", pairs,
        n_neighbors=5, n_latent=3, n_features=8, n_hidden=8, seed=0,
    )  # fmt: skip
    model.train(max_epochs=2, verbose=False, accelerator="cpu")
    model.save(folder / "m")


def read_scspecies(folder: Path) -> np.ndarray:
    model = scs.load(folder / "m")
    repr(model), model.history, model.prototype_record()
    found = [model.get_latent_representation(name) for name in model.species]
    labels = model.transfer_labels()
    found += [
        labels["confidence"].to_numpy(),
        labels["label"].astype("category").cat.codes.to_numpy(),
    ]
    known = scs.ScSpecies.load(folder / "m", {"human": species("h", 1, 80)})
    found.append(known.get_latent_representation("human"))
    return np.concatenate([np.asarray(a, float).ravel() for a in found])


def trained(folder: Path, epochs: int, resume: bool) -> scs.SysVI:
    model = scs.SysVI(CELLS.copy(), **NET)
    model.train(
        max_epochs=epochs, verbose=False, accelerator="cpu", checkpoint_dir=folder / "c",
        checkpoint_every=2, resume=resume,
    )  # fmt: skip
    return model


def make_checkpoint(folder: Path) -> None:
    trained(folder, 2, resume=False)


def read_checkpoint(folder: Path) -> np.ndarray:
    model = trained(folder, 3, resume=True)
    losses = model.history["train_loss"].to_numpy(float)
    return np.concatenate([model.get_latent_representation().ravel(), losses.ravel()])


def searched(folder: Path) -> np.ndarray:
    result = scs.tune.grid(
        CELLS.copy(), {"n_hidden": [8], "n_latent": [3]}, seeds=(0,), folder=folder / "runs", max_epochs=1,
        label_key="cell_type", biology=["nmi_fixed"], metrics=["jaccard"], min_cells=5, n_jobs=1, verbose=False,
    )  # fmt: skip
    result.history(), result.alike
    runs = result.runs.drop(columns="seconds").select_dtypes("number")
    return np.concatenate([runs.to_numpy(float).ravel(), result.embedding().ravel()])


def make_tune(folder: Path) -> None:
    searched(folder)


def make_scvi(folder: Path) -> None:
    shutil.copytree(ROOT / "tests/data/scvi_sysvi/vamp", folder / "m")


def read_scvi(folder: Path) -> np.ndarray:
    stored = np.load(ROOT / "tests/data/scvi_sysvi/cells.npz")
    adata = AnnData(stored["x"])
    adata.var_names = [f"gene{i}" for i in range(12)]
    for key in stored.files:
        if key != "x":
            adata.obs[key] = stored[key]
    adata.layers["log"] = adata.X.copy()
    return scs.SysVI.load(folder / "m").get_latent_representation(adata)


def make_rds(folder: Path) -> None:
    # as saveRDS(list(a = 0:4, b = c("x", NA)), compress = FALSE) writes it
    def text(letters: bytes) -> bytes:
        return struct.pack(">ii", 0x40009, len(letters)) + letters

    names = struct.pack(">ii", 0x402, 1) + text(b"names")
    names += struct.pack(">ii", 16, 2) + text(b"a") + text(b"b") + struct.pack(">i", 254)
    body = struct.pack(">ii", 13, 5) + struct.pack(">5i", *range(5))
    body += struct.pack(">ii", 16, 2) + text(b"x") + struct.pack(">ii", 9, -1)
    head = b"X\n" + struct.pack(">iiii", 3, 0x40202, 0x30500, 5) + b"UTF-8"
    (folder / "a.rds").write_bytes(head + struct.pack(">ii", 0x213, 2) + body + names)


def read_rds(folder: Path) -> np.ndarray:
    check_rds(folder / "a.rds")
    return np.zeros(1)


KINDS = {
    "sysvi": Kind(make_sysvi, read_sysvi, (forge_json, forge_tensors)),
    "scspecies": Kind(make_scspecies, read_scspecies, (forge_json, forge_tensors)),
    "checkpoint": Kind(make_checkpoint, read_checkpoint, (forge_json, forge_tensors)),
    "tune": Kind(make_tune, searched, (forge_json, forge_embedding)),
    "scvi": Kind(make_scvi, read_scvi, (forge_pickle,)),
    "rds": Kind(make_rds, read_rds, ()),
}
