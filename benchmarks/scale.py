"""Memory and CPU time by the number of cells, from raw counts on disk to the embedding on disk.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python benchmarks/scale.py \
        --folder /scratch --cells 100000 300000 1000000 --out scale.json

Counts of 20,000 genes, some 1,800 of them found per cell (gamma-Poisson; eight types in two systems
with two donors each), are made once per size in ``--folder`` (14 kB a cell) and removed at the end
unless ``--keep``. Every measurement is a process of its own:

- ``command``: ``scsystems sysvi --on-disk``, two epochs; peak memory of all of it.
- ``prepare``: `scsystems.pp.prepare` of the path, and of the cells in memory up to ``--most-in-memory``.
- ``train``: epochs after the first (which imports and compiles) from disk, and with the cells in memory.

CPU time is that of all threads of the process. The table says which targets are met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

N_GENES, N_FOUND, N_TYPES, SYSTEMS = 20_000, 1_800, 8, ("human", "mouse")
# cells that are made together, and cells with one draw of the gamma-distributed rates
CHUNK, ALIKE = 4_000, 20
TARGETS = {"peak_gb": 2.5, "train_ratio": 1.15, "prepare_ratio": 2.0}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where there is room")
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--parts", nargs="+", default=["command", "prepare", "train"])
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs")
    parser.add_argument("--most-in-memory", type=int, default=100_000)
    parser.add_argument("--keep", action="store_true", help="keep the simulated counts")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- the cells --------------------------------------------------------------------------------


def make(path: Path, n_cells: int, seed: int = 0) -> None:
    """Write counts into an .h5ad file, chunk by chunk."""
    import numpy as np
    import pandas as pd
    from scipy import sparse

    from scsystems.data.stores import writing

    rng = np.random.default_rng(seed)
    base = rng.normal(0, 2, N_GENES)
    kinds = base + np.where(
        rng.random((N_TYPES, N_GENES)) < 0.1, rng.normal(0, 1.5, (1, N_GENES)), 0
    )
    systems = rng.normal(0, 0.6, (len(SYSTEMS), N_GENES))
    donors = rng.normal(0, 0.15, (4, N_GENES))
    depth = _depth(np.exp(base))
    names = {"system": np.array(SYSTEMS), "donor": np.array(list("abcd"))}
    columns = {"system": [], "donor": [], "cell_type": []}
    with writing(path, ("X",), N_GENES) as writer:
        for start in range(0, n_cells, CHUNK):
            n = min(CHUNK, n_cells - start)
            system, kind = rng.integers(0, 2, n), rng.integers(0, N_TYPES, n)
            donor = 2 * system + rng.integers(0, 2, n)
            order = np.lexsort((kind, donor))
            cell, gene = [], []
            for part in np.split(
                order, np.flatnonzero(np.diff((donor * N_TYPES + kind)[order])) + 1
            ):
                rate = np.exp(
                    kinds[kind[part[0]]] + systems[system[part[0]]] + donors[donor[part[0]]]
                )
                for alike in np.array_split(part, -(-len(part) // ALIKE)):
                    total = np.cumsum(rate * rng.gamma(2, 0.5, N_GENES))
                    sizes = rng.poisson(depth * rng.lognormal(0, 0.3, len(alike)))
                    drawn = rng.random(int(sizes.sum()), np.float32) * total[-1]
                    gene.append(np.minimum(np.searchsorted(total, np.sort(drawn)), N_GENES - 1))
                    cell.append(rng.permutation(np.repeat(alike, sizes)))
            at = np.concatenate(cell), np.concatenate(gene)
            counts = sparse.csr_matrix((np.ones(len(at[0]), np.float32), at), shape=(n, N_GENES))
            counts.sum_duplicates()
            writer.append("X", counts)
            columns["system"].append(system)
            columns["donor"].append(donor)
            columns["cell_type"].append(kind)
        obs = {k: np.concatenate(v) for k, v in columns.items()}
        frame = pd.DataFrame(
            {
                "system": pd.Categorical.from_codes(obs["system"], names["system"]),
                "donor": pd.Categorical.from_codes(obs["donor"], names["donor"]),
                "cell_type": pd.Categorical(obs["cell_type"].astype(str)),
            },
            index=[f"cell{i}" for i in range(n_cells)],
        )
        writer.close(frame, pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)]), {})


def _depth(rate) -> float:
    """Molecules per cell with which so many genes are found."""
    import numpy as np

    share, low, high = rate / rate.sum(), 100.0, 1e6
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (
            (low, middle) if (1 - np.exp(-middle * share)).sum() > N_FOUND else (middle, high)
        )
    return low


# ---- what is measured, each in a process of its own ----------------------------------------------


def command(task: dict) -> dict:
    """The whole way on the command line."""
    from scsystems.cli import main

    out = Path(task["out"])
    options = [
        "--system",
        "system",
        "--covariates",
        "donor",
        "--epochs",
        "2",
        "--on-disk",
        "--quiet",
    ]
    if main(["sysvi", task["counts"], str(out), *options]) != 0:
        raise SystemExit("the command failed")
    out.unlink()
    return {}


def prepare(task: dict) -> dict:
    """Log-normalized values of variable genes."""
    import anndata

    import scsystems as scs

    began = time.process_time()
    if task["on_disk"]:
        adata = scs.pp.prepare(
            task["counts"], "system", "donor", out=task["prepared"], overwrite=True
        )
    else:
        adata = scs.pp.prepare(anndata.read_h5ad(task["counts"]), "system", "donor")
    return {"cpu": time.process_time() - began, "n_genes": adata.n_vars}


def train(task: dict) -> dict:
    """Epochs of training, all threads counted."""
    import anndata

    import scsystems as scs

    cells = task["prepared"] if task["on_disk"] else anndata.read_h5ad(task["prepared"])
    scs.SysVI.setup_anndata(cells, "system", categorical_covariate_keys=["donor"])
    model, ends = scs.SysVI(cells), []
    model.train(
        max_epochs=1 + task["epochs"],
        storage="disk" if task["on_disk"] else "auto",
        callbacks=lambda *_: ends.append(time.process_time()),
        verbose=False,
    )
    return {"cpu": (ends[-1] - ends[0]) / task["epochs"]}


PARTS = {"command": command, "prepare": prepare, "train": train}


def work(task: dict) -> None:
    """Measure, and print the figures."""
    found = PARTS[task["part"]](task)
    # getrusage() would count the process that this one came of
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found["peak_gb"] = int(status["VmHWM"].split()[0]) * 1024 / 1e9
    print("FOUND " + json.dumps(found))


# ---- all of it ----------------------------------------------------------------------------------


def measure(task: dict) -> dict:
    """Run a task in a process of its own."""
    began = time.time()
    line = [sys.executable, __file__, "--folder", ".", "--task", json.dumps(task)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{task} failed:\n{done.stderr}")
    found = json.loads(done.stdout.split("FOUND ")[1])
    kept = {k: task[k] for k in ("part", "n_cells", "on_disk")}
    found = kept | found | {"wall": time.time() - began, "load": os.getloadavg()[0]}
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def table(found: list[dict]) -> str:
    """A row per size."""
    by = {(f["part"], f["n_cells"], f["on_disk"]): f for f in found}
    lines = [
        "| cells | peak of the command | training, CPU per cell and epoch: disk, memory | ratio "
        "| preparation, CPU per cell: disk, memory | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for n in sorted({f["n_cells"] for f in found}):
        row = [f"{n:,}"]
        peak = by.get(("command", n, True))
        row.append("" if peak is None else f"{peak['peak_gb']:.2f} GB")
        for part in ("train", "prepare"):
            both = [by.get((part, n, on_disk)) for on_disk in (True, False)]
            row.append(", ".join("" if f is None else f"{f['cpu'] / n * 1e6:.0f} µs" for f in both))
            row.append("" if None in both else f"{both[0]['cpu'] / both[1]['cpu']:.2f}")
        lines.append(f"| {' | '.join(row)} |")
    lines.append(f"\nTargets: {TARGETS}")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    if options.task:
        work(options.task)
        return
    found = []
    for n_cells in options.cells:
        files = {
            k: options.folder / f"scale_{n_cells}_{k}.h5ad" for k in ("counts", "prepared", "out")
        }
        if not files["counts"].exists():
            make(files["counts"], n_cells)
        task = {
            "n_cells": n_cells,
            "epochs": options.epochs,
            **{k: str(v) for k, v in files.items()},
        }
        in_memory = n_cells <= options.most_in_memory
        try:
            for part in ("prepare", "train", "command"):
                for on_disk in (True, False):
                    if part in options.parts and (on_disk or (in_memory and part != "command")):
                        found.append(measure(task | {"part": part, "on_disk": on_disk}))
        finally:
            for name, file in files.items():
                if name != "counts" or not options.keep:
                    file.unlink(missing_ok=True)
    facts = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    if options.out:
        options.out.write_text(json.dumps({"facts": facts, "found": found}, indent=1))
    print(table(found))


if __name__ == "__main__":
    main()
