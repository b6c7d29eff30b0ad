"""How time and memory of scSpecies' searches grow with the number of cells, on simulated counts.

For every size N, in a process of its own: the neighbors in the data of 10,000 target cells among N
context cells (cosine, all homologous genes), their neighbors in the latent space, and the search
for the best of 25 candidates of 2,000 of them (the paper's best fifth). Time is linear in both
numbers of cells; ``peak_mib`` is the peak of the process's memory, making and holding the simulated
counts included. Example::

    OMP_NUM_THREADS=1 python benchmarks/scspecies_growth.py --cells 10000 50000 100000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

N_TARGET, N_ALIGNED, K, N_LATENT, DENSITY = 10_000, 2_000, 25, 10, 0.1


def peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2 ** (20 if sys.platform == "darwin" else 10)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def worker(n_cells: int, n_target: int, n_genes: int) -> None:
    import numpy as np
    import torch
    from scipy import sparse

    from scsystems.data.neighbors import nearest
    from scsystems.data.resident import CellArrays, ResidentCells
    from scsystems.models.scspecies.training import SEARCH_CHUNK, AlignmentObjective, Weights
    from scsystems.nn.scspecies.alignment import (
        AlignedNet,
        AlignmentOptions,
        Candidates,
        ContextCells,
    )
    from scsystems.nn.scspecies.net import ScviNet, ScviSizes

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def counts(n: int) -> sparse.csr_matrix:
        x = sparse.random(n, n_genes, DENSITY, "csr", np.float32, rng)
        x.data = 1 + np.floor(3 * x.data)
        return x

    target, context = counts(n_target), counts(n_cells)
    z = [rng.standard_normal((n, N_LATENT)).astype(np.float32) for n in (n_target, n_cells)]
    nearest(z[0][:50], z[1][:50], K)
    row = {"cells": n_cells, "targets": n_target}
    start = cpu_seconds()

    def stage(name: str) -> None:
        nonlocal start
        row[f"{name}_cpu"], start = round(cpu_seconds() - start, 1), cpu_seconds()

    index, _ = nearest(target.log1p(), context.log1p(), K, "cosine")
    stage("data_neighbors")
    nearest(*z, 2 * K)
    stage("latent_neighbors")
    sizes = ScviSizes(n_genes, n_genes, 1, 1.0)
    net = ScviNet(sizes, torch.Generator().manual_seed(0), torch.zeros(1, 2)).eval()
    kept = torch.arange(n_target) < min(N_ALIGNED, n_target)
    mean, label = torch.as_tensor(z[1]), torch.zeros(n_cells, dtype=torch.long)
    cells = ContextCells(torch.zeros(n_cells, 0), mean, torch.full_like(mean, 0.1), label)
    aligned = AlignedNet(
        net, cells, Candidates(torch.as_tensor(index), kept), AlignmentOptions(n_mixing_samples=1)
    )
    arrays = CellArrays(target, np.zeros(n_target, np.int64), np.zeros((n_target, 1), np.int64))
    resident = ResidentCells(arrays, torch.device("cpu"), "sparse")
    objective = AlignmentObjective(aligned, resident, Weights())
    generator = torch.Generator().manual_seed(0)
    objective._visit(aligned.search, objective.kept, SEARCH_CHUNK, generator)
    stage("candidate_search")
    row["peak_mib"] = peak_mib()
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 50_000, 100_000])
    parser.add_argument("--targets", type=int, default=N_TARGET)
    parser.add_argument("--genes", type=int, default=1_500)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.targets, args.genes)
        return
    import pandas as pd

    rows = []
    for n in args.cells:
        command = [sys.executable, __file__, "--worker", str(n)]
        command += ["--targets", str(args.targets), "--genes", str(args.genes)]
        rows.append(json.loads(subprocess.check_output(command, text=True)))
    print(pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
