"""Speed and memory of SysVI side by side with scvi-tools' SysVI, in one run.

    python benchmarks/environments.py --root ENVS scvi
    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python benchmarks/speed.py \
        --peer-python ENVS/scvi/bin/python --data prepared.h5ad --out speed.json

Runs of both alternate, each in a process of its own with the same cells, network size, epochs,
minibatches, on one thread; a ratio is the median over pairs of peer / ours. The first epoch of a
process (imports, memory) is not timed. ``--parts`` picks some of: ``train`` (with the quality of
both results), ``inference``, ``quality`` (until the peer's final quality is reached), ``memory`` and ``growth``
(simulated cells), ``import``, ``gpu``.
The data file has log-normalized ``X`` and columns for system, batch and label.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTS = ("train", "inference", "quality", "memory", "growth", "import", "gpu")
PINNED = "1.5.1 (1.4.2 on Python 3.11)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peer-python", help=f"Python with scvi-tools {PINNED}")
    parser.add_argument("--data", required=True)
    parser.add_argument("--system", default="system")
    parser.add_argument("--batch", default="batch")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a timed run")
    parser.add_argument("--quality-epochs", type=int, default=100, help="epochs of the peer")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- what runs inside a worker; the peer's environment lacks this package ----


def read(task: dict):
    """Real cells, or as many simulated ones with 23% of entries not zero."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scipy import sparse

    if "cells" not in task:
        return ad.read_h5ad(task["data"])
    n, g, density = task["cells"], task.get("genes", 2000), 0.23
    rng = np.random.default_rng(0)
    k = int(g * density)
    # a random stretch of a random order of the genes: distinct columns without sorting
    order = rng.permutation(g).astype(np.int32)
    start = rng.integers(0, g, n)
    columns = order[(start[:, None] + np.arange(k, dtype=np.int32)) % g]
    values = rng.gamma(2.0, 0.7, n * k).astype(np.float32)
    x = sparse.csr_matrix((values, columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, g))
    obs = pd.DataFrame(
        {
            "system": np.where(np.arange(n) % 2, "a", "b"),
            "batch": rng.integers(0, 6, n).astype(str),
        },
        index=np.arange(n).astype(str),
    )
    return ad.AnnData(x, obs=obs)


def peak_gib() -> float:
    """Largest resident memory of this process; what it was forked from does not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def used() -> float:
    """CPU time of this process and of those it has waited for."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def work(package: str, task: dict) -> dict:
    import warnings

    import numpy as np
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    adata = read(task)
    before = peak_gib()
    if package == "ours":
        import scsystems

        cls, options, version = (
            scsystems.SysVI,
            {"seed": task.get("seed", 0)},
            scsystems.__version__,
        )
        quiet = {"verbose": False}
    else:
        import scvi

        scvi.settings.seed = task.get("seed", 0)
        cls, options, version = scvi.external.SysVI, {}, scvi.__version__
        quiet = {"enable_progress_bar": False, "logger": None, "enable_checkpointing": False}
    cls.setup_anndata(adata, batch_key=task["system"], categorical_covariate_keys=[task["batch"]])
    device = task.get("accelerator", "cpu")
    plan = {"z_distance_cycle_weight": 5.0}

    def train(epochs: int):
        model = cls(adata, **options)
        cpu, wall = used(), time.perf_counter()
        model.train(
            max_epochs=epochs,
            accelerator=device,
            plan_kwargs=plan,
            batch_size=128,
            **quiet,
        )
        return model, used() - cpu, time.perf_counter() - wall

    if task.get("warm", True):
        train(1)
    model, cpu, wall = train(task["epochs"])
    result = {
        "package": package,
        "version": version,
        "torch": torch.__version__,
        "epochs": task["epochs"],
        "cells": adata.n_obs,
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_gib": peak_gib(),
        "before_gib": before,
    }
    if device != "cpu":
        result["gpu"] = torch.cuda.get_device_name()
        result["gpu_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    if task.get("inference"):
        model.get_latent_representation()
        cpu, wall = used(), time.perf_counter()
        for _ in range(5):
            latent = model.get_latent_representation()
        result |= {
            "latent_cpu_s": (used() - cpu) / 5,
            "latent_wall_s": (time.perf_counter() - wall) / 5,
        }
    if "latent" in task:
        latent = model.get_latent_representation()
        np.save(task["latent"], latent)
    return result


# ---- what runs here ----


class Bench:
    def __init__(self, args):
        self.args, self.rows = args, []
        self.folder = Path(tempfile.mkdtemp())

    def run(self, package: str, part: str, **task) -> dict:
        args = self.args
        task = {"data": args.data, "system": args.system, "batch": args.batch, **task}
        if "cells" in task:
            task |= {"system": "system", "batch": "batch"}
        python = sys.executable if package == "ours" else args.peer_python
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [
            python,
            __file__,
            "--data",
            args.data,
            "--worker",
            package,
            "--task",
            json.dumps(task),
        ]
        load = os.getloadavg()[0]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{package} failed in {part}:\n{done.stderr[-3000:]}")
        row = json.loads(done.stdout.strip().splitlines()[-1])
        row |= {"part": part, "load": round(load, 2)}
        if "seed" in task:
            row["seed"] = task["seed"]
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        return row

    def pairs(self, part: str, **task) -> list[tuple[dict, dict]]:
        """Alternating runs of the peer and of ours, (peer, ours) each."""
        found = []
        for seed in range(self.args.pairs):
            order = ("ours", "peer") if seed % 2 else ("peer", "ours")
            pair = {}
            for package in order:
                more = {}
                if task.get("keep"):
                    more["latent"] = str(self.folder / f"{part}-{package}-{seed}.npy")
                pair[package] = self.run(
                    package,
                    part,
                    seed=seed,
                    **more,
                    **{k: v for k, v in task.items() if k != "keep"},
                )
                if "latent" in more:
                    pair[package] |= scores(self.args, more["latent"])
            found.append((pair["peer"], pair["ours"]))
        return found


def scores(args: argparse.Namespace, latent: str) -> dict[str, float]:
    """How well an embedding, kept in a file, mixes systems and transfers labels between them."""
    import anndata as ad
    import numpy as np

    from scsystems.metrics import ilisi, label_transfer, nearest_neighbors

    obs = ad.read_h5ad(args.data, backed="r").obs
    system, label = (obs[k].astype(str).to_numpy() for k in (args.system, args.label))
    z = np.load(latent)
    transfer = label_transfer(z, label, system, k=25, min_cells=20)
    return {
        "ilisi": round(float(ilisi(nearest_neighbors(z), system)), 3),
        "label_transfer": round(
            float(np.mean(transfer.recall.groupby("source")["recall"].mean())), 3
        ),
    }


def ratio(pairs, key: str) -> str:
    found = [peer[key] / ours[key] for peer, ours in pairs]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def mean(rows, key: str) -> float:
    return sum(r[key] for r in rows) / len(rows)


def main() -> None:
    args = arguments()
    if args.worker:
        print(json.dumps(work(args.worker, args.task)))
        return
    bench, table = Bench(args), []
    parts = set(args.parts)
    if not args.peer_python:
        print("No --peer-python: parts that compare are left out.")
        parts -= {"train", "inference", "quality", "memory", "gpu"}

    if parts & {"train", "inference"}:
        pairs = bench.pairs("train", epochs=args.epochs, inference=True, keep=True)
        for name, key in (
            ("CPU", "cpu_s"),
            ("wall", "wall_s"),
            ("latent, CPU", "latent_cpu_s"),
            ("latent, wall", "latent_wall_s"),
        ):
            table.append((f"{name}: scvi-tools / ours", ratio(pairs, key)))
        for name, at in (("scvi-tools", 0), ("ours", 1)):
            rows = [p[at] for p in pairs]
            table.append(
                (
                    f"{name}: CPU s per epoch, iLISI, label transfer after {args.epochs} epochs",
                    ", ".join(
                        f"{v:.3f}"
                        for v in (
                            mean(rows, "cpu_s") / args.epochs,
                            mean(rows, "ilisi"),
                            mean(rows, "label_transfer"),
                        )
                    ),
                )
            )
    if "quality" in parts:
        latent = str(bench.folder / "goal.npy")
        peer = bench.run("peer", "quality", epochs=args.quality_epochs, latent=latent)
        goal = scores(args, latent)
        reached = None
        for epochs in (5, 10, 15, 20, 30, 40, 60, 80, args.quality_epochs):
            ours = bench.run("ours", "quality", epochs=epochs, latent=latent)
            got = scores(args, latent)
            print(epochs, goal, got, flush=True)
            if all(got[k] >= goal[k] for k in goal):
                reached = epochs
                break
        table.append(
            (
                f"CPU to the quality of {args.quality_epochs} epochs of scvi-tools {goal}",
                "not reached"
                if reached is None
                else f"{peer['cpu_s'] / ours['cpu_s']:.1f} times less ({reached} epochs)",
            )
        )
    if "memory" in parts:
        peer, ours = (
            bench.run(p, "memory", cells=200_000, epochs=1, warm=False) for p in ("peer", "ours")
        )
        table.append(
            (
                "peak GiB, 200,000 x 2,000 at 23%: scvi-tools, ours, the data alone",
                f"{peer['peak_gib']:.2f}, {ours['peak_gib']:.2f}, {ours['before_gib']:.2f}",
            )
        )
        table.append(
            ("CPU of that epoch: scvi-tools / ours", f"{peer['cpu_s'] / ours['cpu_s']:.2f}")
        )
    if "growth" in parts:
        for cells in args.cells:
            row = bench.run("ours", "growth", cells=cells, epochs=1, warm=False)
            table.append((f"ours, {cells:,} cells: CPU microseconds per cell and epoch, peak GiB",
                          f"{row['cpu_s'] / cells * 1e6:.0f}, {row['peak_gib']:.2f}"))  # fmt: skip
    if "import" in parts:
        found = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import scsystems; scsystems.SysVI"], check=True)
            found.append(time.perf_counter() - start)
        table.append(("import scsystems with SysVI, s", f"{statistics.median(found):.2f}"))
    if "gpu" in parts:
        import torch

        if torch.cuda.is_available():
            pairs = bench.pairs("gpu", epochs=args.epochs, accelerator="gpu", inference=True)
            table.append(("GPU, cells per second: ours / scvi-tools", ratio(pairs, "wall_s")))
            row = bench.run("ours", "gpu", cells=500_000, epochs=20, accelerator="gpu")
            table.append(("GPU: 500,000 x 2,000, 20 epochs, s", f"{row['wall_s']:.1f}"))
        else:
            table.append(("GPU", "not measured: torch sees none"))
    width = max(len(name) for name, _ in table)
    for name, value in table:
        print(f"{name:<{width}}  {value}")
    if args.out:
        record = {
            "machine": platform.processor(),
            "cores": os.cpu_count(),
            "runs": bench.rows,
            "table": table,
        }
        args.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
