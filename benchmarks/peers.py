"""Run one comparator inside its own environment; needs numpy, scipy, pandas and the peer only.

    ENV/bin/python benchmarks/peers.py METHOD FOLDER OUT.npy --seed 0 [--epochs 50]

``FOLDER`` holds ``x.npz`` (log-normalized), ``counts.npz``, ``obs.csv`` (system, batch, label,
shared_label) and ``pca.npy``. Writes the embedding (cells x dimensions) and, beside it, ``OUT.json``: versions
and seconds. A method that names cells and embeds none writes the names instead of an embedding:
one column per system that is the reference, in the order of the systems' names.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse


def read_obs(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "obs.csv", index_col=0, dtype=str)


def cells(folder: Path, matrix: str):
    from anndata import AnnData

    return AnnData(sparse.load_npz(folder / f"{matrix}.npz").tocsr(), obs=read_obs(folder))


def scvi_settings(seed: int) -> None:
    import scvi
    import torch

    scvi.settings.seed = seed
    torch.set_num_threads(1)


def scvi(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """scVI as the sysVI paper ran it, corrected for system and sample."""
    from scvi.model import SCVI

    scvi_settings(seed)
    adata = cells(folder, "counts")
    SCVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["batch"])
    model = SCVI(adata, n_layers=2, n_hidden=256, n_latent=15, gene_likelihood="nb")
    model.train(max_epochs=epochs, plan_kwargs={"n_steps_kl_warmup": 1600, "n_epochs_kl_warmup": None},
                enable_progress_bar=False, logger=None)  # fmt: skip
    return model.get_latent_representation()


def sysvi(folder: Path, seed: int, epochs: int | None, cycle_weight: float = 5) -> np.ndarray:
    """SysVI of scvi-tools with its defaults (VampPrior), but for the cycle weight of its tutorial."""
    from scvi.external import SysVI

    scvi_settings(seed)
    adata = cells(folder, "x")
    SysVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["batch"])
    model = SysVI(adata)
    model.train(max_epochs=epochs, plan_kwargs={"z_distance_cycle_weight": cycle_weight},
                enable_progress_bar=False, logger=None)  # fmt: skip
    return model.get_latent_representation(adata)


def harmony(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """Harmony over system and sample on principal components."""
    import harmonypy

    obs = read_obs(folder)
    columns = [name for name in ("system", "batch") if obs[name].nunique() > 1]
    pca = np.load(folder / "pca.npy").astype(np.float64)
    corrected = np.asarray(
        harmonypy.run_harmony(pca, obs, columns, random_state=seed, verbose=False).Z_corr
    )
    return corrected if corrected.shape == pca.shape else corrected.T


def scanorama(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """Scanorama over systems, 15 dimensions."""
    import scanorama as package

    obs = read_obs(folder)
    x = sparse.load_npz(folder / "x.npz").tocsr()
    systems = sorted(obs["system"].unique())
    cells = [np.flatnonzero(obs["system"] == system) for system in systems]
    genes = [np.array([f"g{i}" for i in range(x.shape[1])])] * len(systems)
    parts, _ = package.integrate([x[c] for c in cells], genes, dimred=15, seed=seed, verbose=0)
    embedding = np.empty((x.shape[0], parts[0].shape[1]))
    for c, part in zip(cells, parts, strict=True):
        embedding[c] = part
    return embedding


def glue(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """scGLUE with its defaults; the graph links the genes of one name in all systems."""
    import networkx as nx
    import scanpy as sc
    import scglue
    import torch

    torch.set_num_threads(1)
    scglue.config.CPU_ONLY = True
    obs = read_obs(folder)
    x, counts = cells(folder, "x"), cells(folder, "counts")
    batches = obs["batch"].nunique() > obs["system"].nunique()
    parts = {}
    for system in sorted(obs["system"].unique()):
        part = x[obs["system"] == system].copy()
        part.layers["counts"] = counts[obs["system"] == system].X
        part.var_names = [f"{gene} {system}" for gene in part.var_names]
        sc.pp.scale(part)
        sc.tl.pca(part, n_comps=100, random_state=seed)
        scglue.models.configure_dataset(
            part, "NB", use_highly_variable=False, use_layer="counts", use_rep="X_pca",
            use_batch="batch" if batches else None,
        )  # fmt: skip
        parts[system] = part
    graph = nx.MultiDiGraph()
    for first, second in product(parts.values(), repeat=2):
        pairs = zip(first.var_names, second.var_names, strict=True)
        graph.add_edges_from(pairs, weight=1.0, sign=1)
    with tempfile.TemporaryDirectory() as checkpoints:
        fit = {"directory": checkpoints}
        if epochs is not None:
            # of each of its two trainings; its own are longer, with the same share of burn-in
            fit |= {"max_epochs": epochs, "align_burnin": -(-epochs // 6)}
        model = scglue.models.fit_SCGLUE(parts, graph, init_kws={"random_seed": seed}, fit_kws=fit)
    embedding = np.empty((len(obs), 50))
    for system, part in parts.items():
        embedding[obs["system"] == system] = model.encode_data(system, part)
    return embedding


def scpoli(folder: Path, seed: int, epochs: int | None, labeled: bool = False) -> np.ndarray:
    """scPoli with the settings of its tutorial; ``labeled``: it knows the largest system's types."""
    import torch
    from scarches.models.scpoli import scPoli

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    adata = cells(folder, "counts")
    adata.X = adata.X.toarray()
    batches = adata.obs["batch"].nunique() > adata.obs["system"].nunique()
    # a mask: of numbers scArches takes some as the names of cells
    known = (adata.obs["system"] == adata.obs["system"].value_counts().index[0]).to_numpy()
    types = {"cell_type_keys": "label", "labeled_indices": known} if labeled else {}
    model = scPoli(
        adata, condition_keys=["system", "batch"] if batches else "system", embedding_dims=5,
        recon_loss="nb", **types,
    )  # fmt: skip
    length = {} if epochs is None else {"n_epochs": epochs}
    model.train(**length, eta=5)
    return model.get_latent(adata, mean=True)


def celltypist(folder: Path, seed: int, epochs: int | None) -> np.ndarray:
    """Names by celltypist's logistic regression, trained on each system in turn."""
    import celltypist as package

    adata = cells(folder, "x")
    names = []
    for system in sorted(adata.obs["system"].unique()):
        known = (adata.obs["system"] == system) & adata.obs["shared_label"].notna()
        # genes are chosen and scaled to 10,000 counts before
        model = package.train(adata[known].copy(), "shared_label", check_expression=False, n_jobs=1)
        found = package.annotate(adata, model=model)
        names.append(found.predicted_labels["predicted_labels"].astype(str).to_numpy())
    return np.stack(names, axis=1)


# method -> function, packages whose versions are recorded
METHODS = {
    "scvi": (scvi, ("scvi-tools", "torch")),
    "sysvi": (sysvi, ("scvi-tools", "torch")),
    # the cycle weight, too, is its default
    "sysvi-2": (partial(sysvi, cycle_weight=2), ("scvi-tools", "torch")),
    "harmony": (harmony, ("harmonypy",)),
    "scanorama": (scanorama, ("scanorama",)),
    "glue": (glue, ("scglue", "torch")),
    "scpoli": (scpoli, ("scarches", "torch")),
    "scpoli-labels": (partial(scpoli, labeled=True), ("scarches", "torch")),
    "celltypist": (celltypist, ("celltypist",)),
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
    if embedding.dtype.kind == "f":
        embedding = embedding.astype(np.float32)
    np.save(options.out, embedding.astype(str) if embedding.dtype == object else embedding)
    options.out.with_suffix(".json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
