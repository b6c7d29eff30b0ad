"""Integration quality: sysVI, its ablations, and comparators in environments of their own.

    python benchmarks/environments.py --root ENVS
    python benchmarks/quality.py --out RESULTS --envs ENVS --name pancreas \
        --data pancreas.h5ad --system species --label cell_type --batch donor --seeds 0 1 2

The data file holds raw counts in ``X`` (then prepared as in the paper), or log-normalized
values in ``X`` and counts in ``layers["counts"]``. Every finished run is kept in ``RESULTS``:
a benchmark that was cut off, or that gets more methods, seeds or data sets, goes on from
there. Tables and figures are written to ``RESULTS/quality.md`` and ``RESULTS/quality.json``.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.io import mmwrite

import scsystems as scs
from scsystems.data.fingerprint import fingerprint, row_hashes
from scsystems.models.sysvi.presets import GENES, MODEL, TRAINING
from scsystems.train.device import choose_device, reduced_precision
from scsystems.train.schedules import default_epochs
from scsystems.tune.store import RunStore, run_id

sys.path.insert(0, str(Path(__file__).parent))
from environments import PINS, python_of
from quality_names import name_rows, shared_labels
from quality_report import report

logger = logging.getLogger("quality")

PAPER = {"preset": "paper"}
PAPER_GENES = GENES["paper"]
NO_CYCLE = {"z_distance_cycle_weight": 0.0}
# name -> arguments of SysVI, plan_kwargs of train(); the ablations are the paper's
OURS = {
    "SysVI": ({}, {}),
    "VAMP+CYC": (PAPER, {}),
    "VAMP": (PAPER, NO_CYCLE),
    "CYC": (PAPER | {"prior": "standard_normal"}, {}),
    "GMM": (PAPER | {"prior": "gmm"}, NO_CYCLE),
    "ADV": (
        PAPER | {"prior": "standard_normal", "adversarial": True},
        NO_CYCLE | {"adversary_weight": 1.0},
    ),
    "cVAE": (PAPER | {"prior": "standard_normal"}, NO_CYCLE),
}
# name -> environment, method of peers.py, whether seeds matter
PEERS = {
    "scvi-tools SysVI": ("scvi", "sysvi", True),
    "scvi-tools SysVI, cycle weight 2": ("scvi", "sysvi-2", True),
    "scvi-tools scVI": ("scvi", "scvi", True),
    "harmonypy": ("harmony", "harmony", True),
    "scanorama": ("scanorama", "scanorama", True),
    "scGLUE": ("glue", "glue", True),
    "scPoli": ("scarches", "scpoli", True),
    "scPoli (labels)": ("scarches", "scpoli-labels", True),
    "celltypist": ("celltypist", "celltypist", False),
}
# from R, in whose library Seurat must be; they draw no random numbers that matter here
R_PEERS = {
    "Seurat CCA": "seurat-cca",
    "Seurat RPCA": "seurat-rpca",
    "limma": "limma",
    "ComBat": "combat",
    "SingleR": "singler",
}
# they name the cells of every system by those of every other, and embed none
NAMERS = ("celltypist", "SingleR")
# like "scPoli (labels)", it is told the cell types of the largest system; no other method is
SCSPECIES = "ScSpecies (labels)"
SEEDLESS = ("PCA", *R_PEERS, *(name for name, peer in PEERS.items() if not peer[2]))
METHODS = [*OURS, SCSPECIES, *PEERS, *R_PEERS, "PCA"]
# what SysVI is called in tables when it ran with other defaults than the present ones
OTHER_DEFAULTS = "SysVI (other defaults)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--data", type=Path, help="h5ad file; without it only the report is made")
    parser.add_argument("--name", help="name of the data set (default: the file's)")
    parser.add_argument("--system", default="system")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--batch", help="column with samples")
    parser.add_argument("--n-top-genes", type=int, help="of counts (default: the paper's 3000)")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="default: every method's own")
    parser.add_argument("--envs", type=Path, help="folder made by environments.py")
    parser.add_argument("--env", nargs="+", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--moran-min-cells", type=int, default=500)
    parser.add_argument("--timeout", type=int, default=6 * 3600, help="seconds per comparator run")
    return parser.parse_args()


def read(options) -> ad.AnnData:
    """Log-normalized cells with the columns ``system``, ``label``, ``batch``."""
    adata = ad.read_h5ad(options.data)
    if scs.pp.looks_like_counts(adata.X):
        genes = options.n_top_genes or PAPER_GENES
        merge = getattr(options, "hvg_merge", "intersection")
        adata = scs.pp.prepare(
            adata, options.system, options.batch, n_top_genes=genes, hvg_merge=merge
        )
    elif options.n_top_genes is not None:
        sys.exit(f"--n-top-genes: the genes of {options.data} are chosen already.")
    if "counts" not in adata.layers:
        sys.exit(f"{options.data} has no layer 'counts', which scVI needs.")
    obs = pd.DataFrame(
        {
            "system": adata.obs[options.system].astype(str),
            "batch": adata.obs[options.batch or options.system].astype(str),
            "label": adata.obs[options.label].astype(object),
        }
    )
    obs["batch"] = obs["system"] + " " + obs["batch"]
    x = sparse.csr_matrix(adata.X, dtype=np.float32)
    counts = sparse.csr_matrix(adata.layers["counts"], dtype=np.float32)
    return ad.AnnData(x, obs=obs, var=adata.var[[]], layers={"counts": counts})


def sysvi_defaults(n_cells: int, epochs: int | None) -> dict:
    """What ``SysVI`` without arguments means at present: part of the identity of its runs."""
    return {
        "model": MODEL["default"],
        "training": TRAINING["default"]["plan"],
        "batch_size": inspect.signature(scs.SysVI.train).parameters["batch_size"].default,
        "epochs": epochs or default_epochs(n_cells, TRAINING["default"]["most_epochs"]),
    }


def setting_of(record: dict) -> str:
    """What a kept run is called in tables."""
    if record["setting"] == "SysVI" and record.get("defaults") != sysvi_defaults(
        record["n_cells"], record["epochs"]
    ):
        return OTHER_DEFAULTS
    return record["setting"]


def run_sysvi(
    adata, model_arguments: dict, plan: dict, seed: int, **training
) -> tuple[np.ndarray, dict]:
    covariates = ["batch"] if adata.obs["batch"].nunique() > adata.obs["system"].nunique() else None
    start, cpu = time.perf_counter(), time.process_time()
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys=covariates)
    model = scs.SysVI(adata, **model_arguments, seed=seed)
    model.train(plan_kwargs=dict(plan), seed=seed, verbose=False, **training)
    embedding = model.get_latent_representation()
    return embedding, {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "versions": {"scsystems": scs.__version__},
        "device": str(model.device),
    }


def run_peer(folder: Path, name: str, python: Path, seed: int, options) -> tuple[np.ndarray, dict]:
    out = folder / f"{PEERS[name][1]}.npy"
    command = [python, Path(__file__).with_name("peers.py"), PEERS[name][1], folder, out]
    command += ["--seed", str(seed)] + (["--epochs", str(options.epochs)] if options.epochs else [])
    # the comparator must not import this tree's or this environment's packages
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment,
        timeout=options.timeout,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.strip().splitlines()[-3:]))
    return np.load(out), json.loads(out.with_suffix(".json").read_text())


def run_r(folder: Path, name: str, seed: int, options) -> tuple[np.ndarray, dict]:
    out = folder / f"{R_PEERS[name]}.csv"
    script = Path(__file__).with_name("peers.R")
    done = subprocess.run(
        ["Rscript", str(script), R_PEERS[name], str(folder), str(out), str(seed)],
        capture_output=True, text=True, timeout=options.timeout,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.strip().splitlines()[-3:]))
    result = pd.read_csv(out, header=None).to_numpy()
    return result.astype(str if name in NAMERS else float), json.loads(
        out.with_suffix(".json").read_text()
    )


def run_scspecies(adata, seed: int, epochs: int | None) -> tuple[np.ndarray, dict]:
    """The largest system is the context; the labels of the others stay hidden."""
    sizes = adata.obs["system"].value_counts()
    parts = {}
    for system in sizes.index:
        part = adata[adata.obs["system"] == system].copy()
        part.X, part.obs = part.layers["counts"], part.obs.astype(str)
        parts[system] = part
    context, *targets = parts
    several = all(p.obs["batch"].nunique() > 1 for p in parts.values())
    start, cpu = time.perf_counter(), time.process_time()
    model = scs.ScSpecies(
        {context: parts[context]},
        {name: parts[name].copy() for name in targets},
        "label",
        # all systems have the same genes here
        pd.DataFrame({name: adata.var_names for name in parts}),
        batch_key="batch" if several else None,
        seed=seed,
    )
    model.train(max_epochs=epochs, verbose=False)
    embedding = np.empty((adata.n_obs, model.get_latent_representation(context).shape[1]))
    for name in parts:
        embedding[adata.obs["system"] == name] = model.get_latent_representation(name)
    return embedding, {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "versions": {"scsystems": scs.__version__},
    }


def interpreters(options) -> tuple[dict[str, Path], dict[str, str]]:
    """Python of every environment, and why others are missing."""
    found = {name: Path(path) for name, path in (entry.split("=", 1) for entry in options.env)}
    missing = {}
    failed = {}
    if options.envs and (options.envs / "failed.json").exists():
        failed = json.loads((options.envs / "failed.json").read_text())
    for name in PINS:
        python = python_of(options.envs, name) if options.envs else None
        if name in found:
            continue
        if name in failed:
            missing[name] = failed[name]
        elif python is not None and python.exists():
            found[name] = python
        else:
            missing[name] = "its environment was not made (see environments.py)"
    return found, missing


def evaluate(adata, embedding: np.ndarray, run: str, moran_min_cells: int) -> list[list]:
    """Rows of the table of metrics."""
    adata.obsm["run"] = embedding
    table = scs.metrics.evaluate(
        adata, ["run"], "system", "label", "batch", unintegrated="pca",
        moran_min_cells=moran_min_cells, verbose=False,
    )  # fmt: skip
    return table.assign(embedding=run).to_numpy().tolist()


def benchmark(options) -> None:
    """Run what is missing and keep it."""
    adata = read(options)
    dataset = options.name or options.data.stem
    if options.n_top_genes not in (None, PAPER_GENES):
        # other genes are other data: they must not share tables
        dataset += f", {options.n_top_genes} variable genes"
    store = RunStore(options.out / "runs")
    cells = fingerprint({"names": list(adata.obs_names), "expression": row_hashes(adata.X)})
    pythons, missing = interpreters(options)
    skipped = {}
    adata.obsm["pca"] = scs.metrics.principal_components(adata.X)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sparse.save_npz(folder / "x.npz", adata.X)
        sparse.save_npz(folder / "counts.npz", adata.layers["counts"])
        adata.obs.assign(shared_label=shared_labels(adata.obs)).to_csv(folder / "obs.csv")
        np.save(folder / "pca.npy", adata.obsm["pca"])
        if shutil.which("Rscript"):
            mmwrite(folder / "x.mtx", adata.X.T)
            mmwrite(folder / "counts.mtx", adata.layers["counts"].T)
        else:
            skipped |= dict.fromkeys(R_PEERS, "there is no Rscript")
        for name in options.methods:
            if name in PEERS and PEERS[name][0] in missing:
                skipped[name] = missing[PEERS[name][0]]
            if name in skipped:
                continue
            for seed in options.seeds[:1] if name in SEEDLESS else options.seeds:
                identity = {
                    "data": cells, "method": name, "seed": seed, "epochs": options.epochs,
                    "arguments": OURS.get(name), "pins": PINS[PEERS[name][0]] if name in PEERS else None,
                }  # fmt: skip
                defaults = {}
                if name in OURS:
                    reduced = reduced_precision("auto", choose_device("auto"))
                    identity["precision"] = "bfloat16" if reduced else "float32"
                if name == "SysVI":
                    defaults = {"defaults": sysvi_defaults(adata.n_obs, options.epochs)}
                run = run_id(identity | defaults)
                if store.read(run) is not None:
                    continue
                print(f"{dataset}: {name}, seed {seed} ... ", end="", flush=True)
                try:
                    if name == "PCA":
                        embedding, facts = adata.obsm["pca"], {"seconds": 0.0, "cpu_seconds": 0.0}
                    elif name in OURS:
                        embedding, facts = run_sysvi(
                            adata, *OURS[name], seed, max_epochs=options.epochs
                        )
                    elif name == SCSPECIES:
                        embedding, facts = run_scspecies(adata, seed, options.epochs)
                    elif name in R_PEERS:
                        embedding, facts = run_r(folder, name, seed, options)
                    else:
                        python = pythons[PEERS[name][0]]
                        embedding, facts = run_peer(folder, name, python, seed, options)
                except (
                    RuntimeError,
                    subprocess.TimeoutExpired,
                    scs.errors.ScsystemsError,
                ) as error:
                    skipped[f"{name}, seed {seed}"] = str(error)
                    print(f"failed: {error}")
                    continue
                if name in NAMERS:
                    rows = name_rows(embedding, adata.obs, run)
                else:
                    rows = evaluate(adata, embedding, run, options.moran_min_cells)
                record = {"dataset": dataset, "setting": name, "seed": seed, "rows": rows} | facts
                record |= {
                    "epochs": options.epochs,
                    "n_cells": adata.n_obs,
                    "n_genes": adata.n_vars,
                } | defaults
                store.write(run, record, embedding)
                print(f"{facts['seconds']:.0f} s")
    if skipped:
        path = options.out / "skipped.json"
        old = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(old | {dataset: skipped}, indent=1))


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.data:
        benchmark(options)
    report(options.out, [*METHODS, OTHER_DEFAULTS], setting_of)


if __name__ == "__main__":
    main()
