"""Run one comparator inside its own environment; needs numpy, scipy, pandas and the peer only.

    ENV/bin/python benchmarks/peers.py METHOD FOLDER OUT.npy --seed 0 [--epochs 50]

``FOLDER`` holds ``x.npz`` (log-normalised), ``counts.npz``, ``obs.csv`` (system, batch) and
``pca.npy``. Writes the embedding (cells x dimensions) and, beside it, ``OUT.json``: versions
and seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse


def scvi_adata(folder: Path, matrix: str):
    from anndata import AnnData

    obs = pd.read_csv(folder / "obs.csv", index_col=0, dtype=str)
    return AnnData(sparse.load_npz(folder / f"{matrix}.npz").tocsr(), obs=obs)


def scvi_settings(seed: int) -> None:
    import scvi
    import torch

    scvi.settings.seed = seed
    torch.set_num_threads(1)


def scvi(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """scVI as the sysVI paper ran it, corrected for system and sample."""
    from scvi.model import SCVI

    scvi_settings(seed)
    adata = scvi_adata(folder, "counts")
    SCVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["batch"])
    model = SCVI(adata, n_layers=2, n_hidden=256, n_latent=15, gene_likelihood="nb")
    model.train(max_epochs=epochs, plan_kwargs={"n_steps_kl_warmup": 1600, "n_epochs_kl_warmup": None},
                enable_progress_bar=False, logger=None)  # fmt: skip
    return model.get_latent_representation()


def sysvi(folder: Path, seed: int, epochs: int | None, cycle_weight: float = 5) -> np.ndarray:
    """SysVI of scvi-tools with its defaults (VampPrior), but for the cycle weight of its tutorial."""
    from scvi.external import SysVI

    scvi_settings(seed)
    adata = scvi_adata(folder, "x")
    SysVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["batch"])
    model = SysVI(adata)
    model.train(max_epochs=epochs, plan_kwargs={"z_distance_cycle_weight": cycle_weight},
                enable_progress_bar=False, logger=None)  # fmt: skip
    return model.get_latent_representation(adata)


def harmony(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """Harmony over system and sample on principal components."""
    import harmonypy

    obs = pd.read_csv(folder / "obs.csv", index_col=0, dtype=str)
    columns = [name for name in ("system", "batch") if obs[name].nunique() > 1]
    pca = np.load(folder / "pca.npy").astype(np.float64)
    corrected = np.asarray(
        harmonypy.run_harmony(pca, obs, columns, random_state=seed, verbose=False).Z_corr
    )
    return corrected if corrected.shape == pca.shape else corrected.T


def scanorama(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """Scanorama over systems, 15 dimensions."""
    import scanorama as package

    obs = pd.read_csv(folder / "obs.csv", index_col=0, dtype=str)
    x = sparse.load_npz(folder / "x.npz").tocsr()
    systems = sorted(obs["system"].unique())
    cells = [np.flatnonzero(obs["system"] == system) for system in systems]
    genes = [np.array([f"g{i}" for i in range(x.shape[1])])] * len(systems)
    parts, _ = package.integrate([x[c] for c in cells], genes, dimred=15, seed=seed, verbose=0)
    embedding = np.empty((x.shape[0], parts[0].shape[1]))
    for c, part in zip(cells, parts, strict=True):
        embedding[c] = part
    return embedding


# method -> function, packages whose versions are recorded
METHODS = {
    "scvi": (scvi, ("scvi-tools", "torch")),
    "sysvi": (sysvi, ("scvi-tools", "torch")),
    # the cycle weight, too, is its default
    "sysvi-2": (partial(sysvi, cycle_weight=2), ("scvi-tools", "torch")),
    "harmony": (harmony, ("harmonypy",)),
    "scanorama": (scanorama, ("scanorama",)),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    function, packages = METHODS[options.method]
    np.random.seed(options.seed)  # noqa: NPY002 (peers draw from it)
    start, cpu = time.perf_counter(), time.process_time()
    embedding = function(options.folder, options.seed, options.epochs)
    facts = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "versions": {name: version(name) for name in packages},
    }
    np.save(options.out, np.asarray(embedding, dtype=np.float32))
    options.out.with_suffix(".json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
