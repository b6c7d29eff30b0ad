"""Several runs of a search together against one after the other: wall and CPU time.

    OMP_WAIT_POLICY=passive python benchmarks/tune.py --data prepared.h5ad --out tune.json

Both ways train and measure the same runs of the same cells (one setting, several seeds), turn and
turn about, each in a fresh Python; imports of that Python are not timed, those of the processes
that train are. A factor is the median over pairs of one after the other / together. Results of
both ways are compared, too. The data file has log-normalized ``X`` and columns for system, batch
and label; without one, simulated cells are used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

WAYS = ("one after the other", "together")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--system", default="system")
    parser.add_argument("--batch", default="batch", help="column with samples")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def read(options):
    import anndata as ad

    import scsystems as scs

    if options.data is not None:
        return ad.read_h5ad(options.data)
    adata = scs.datasets.simulated(n_cells=8000, n_genes=2000, own_types=False, seed=0)
    adata.obs["batch"] = adata.obs["donor"]
    return scs.pp.prepare(adata, system_key=options.system, n_top_genes=1500)


def cpu_seconds() -> float:
    """Of this process and of those it has started and ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def search(options, n_jobs: int) -> dict:
    """Run a search here."""
    import scsystems as scs

    adata = read(options)
    scs.SysVI.setup_anndata(adata, options.system, categorical_covariate_keys=[options.batch])
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = scs.tune.grid(
        adata, [{}], seeds=range(options.runs), label_key=options.label, n_jobs=n_jobs,
        max_epochs=options.epochs, accelerator=options.accelerator, verbose=False,
    )  # fmt: skip
    seconds = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}
    digest = hashlib.sha256()
    for run in sorted(result.embeddings):
        digest.update(result.embeddings[run].tobytes())
    return seconds | {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "embeddings": digest.hexdigest()[:12],
        "metrics": float(result.runs[[*result.biology, *result.batch]].to_numpy().sum()),
    }


def in_fresh_python(options, n_jobs: int) -> dict:
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, *sys.argv, "--way", str(n_jobs)], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) | {"load before": load}


def main() -> None:
    options = arguments()
    if options.way:
        print(json.dumps(search(options, options.way)))
        return
    found = {way: [] for way in WAYS}
    for _ in range(options.pairs):
        for way, n_jobs in zip(WAYS, (1, options.jobs), strict=True):
            run = in_fresh_python(options, n_jobs)
            found[way].append(run)
            print(f"{way}: {run['wall']:.1f} s wall, {run['cpu']:.1f} s CPU, "
                  f"load {run['load before']:.1f}", flush=True)  # fmt: skip
    first = found[WAYS[0]][0]
    factors = {
        of: statistics.median(a[of] / b[of] for a, b in zip(*found.values(), strict=True))
        for of in ("wall", "cpu")
    }
    same = len({run["embeddings"] for runs in found.values() for run in runs}) == 1
    measured = [run["metrics"] for runs in found.values() for run in runs]
    print(
        f"{options.runs} runs of {options.epochs} epochs, {first['cells']} cells x "
        f"{first['genes']} genes, {options.jobs} at a time on {os.cpu_count()} cores "
        f"({options.accelerator}): wall {factors['wall']:.2f}x, CPU {factors['cpu']:.2f}x; "
        f"embeddings {'identical' if same else 'DIFFERENT'}, metrics differ by "
        f"{max(measured) - min(measured):.2g}"
    )
    if options.out:
        facts = {"machine": platform.platform(), "cores": os.cpu_count(), "factors": factors,
                 "embeddings identical": same, **found}  # fmt: skip
        options.out.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
