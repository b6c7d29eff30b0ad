"""Training on two cores against one, epoch by epoch in turns.

    OMP_NUM_THREADS=1 python benchmarks/threads.py --data prepared.h5ad --label cell_type

For each setting two processes train the same model from the same seed, ``n_threads=1`` and
``n_threads=2``; while one trains an epoch the other waits, so that both see the same machine. A
ratio is the median over epochs, with quartiles. ``busy``: another program keeps one core to
itself, as far as the system lets it. Both results are scored at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speed import scores

# precision, cells in a minibatch, whether another program runs
SETTINGS = (
    ("bfloat16", 128, False),
    ("bfloat16", 128, True),
    ("float32", 128, False),
    ("bfloat16", 512, False),
    ("float32", 512, False),
)
# epochs in which memory is allocated and loops are compiled
WARM_UP = 2


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--system", default="system")
    parser.add_argument("--batch", default="batch")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def work(args: argparse.Namespace) -> None:
    """Train; wait for a line before each epoch, and answer with its time."""
    import anndata as ad
    import numpy as np
    import torch

    import scsystems

    torch.set_num_threads(1)
    adata = ad.read_h5ad(args.data)
    scsystems.SysVI.setup_anndata(
        adata, batch_key=args.system, categorical_covariate_keys=[args.batch]
    )
    model, latent = scsystems.SysVI(adata, seed=args.seed), args.task.pop("latent")
    start = 0.0

    def turn(epoch: int, *_) -> None:
        nonlocal start
        print(time.perf_counter() - start, flush=True)
        sys.stdin.readline()
        start = time.perf_counter()

    model.train(max_epochs=args.epochs, verbose=False, callbacks=turn, **args.task)
    np.save(latent, model.get_latent_representation())


def take_turns(args: argparse.Namespace, tasks: list[dict]) -> list[list[float]]:
    """Seconds of every epoch of each task."""
    names = ("data", "system", "batch", "epochs", "seed")
    same = [word for name in names for word in (f"--{name}", str(getattr(args, name)))]
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, *same, "--task", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for task in tasks
    ]
    times: list[list[float]] = [[] for _ in workers]
    for worker, seconds in zip(workers, times, strict=True):
        seconds.append(float(worker.stdout.readline()))
    for _ in range(args.epochs - 1):
        for worker, seconds in zip(workers, times, strict=True):
            print(file=worker.stdin, flush=True)
            seconds.append(float(worker.stdout.readline()))
    for worker in workers:
        print(file=worker.stdin, flush=True)
        if worker.wait():
            raise SystemExit("A worker failed.")
    return [seconds[WARM_UP:] for seconds in times]


def main() -> None:
    args = arguments()
    if args.task:
        work(args)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for precision, batch_size, busy in SETTINGS:
            names = [str(Path(folder) / f"{n}.npy") for n in (1, 2)]
            tasks = [
                {"n_threads": n, "precision": precision, "batch_size": batch_size, "latent": name}
                for n, name in enumerate(names, 1)
            ]
            load = os.getloadavg()[0]
            other = subprocess.Popen([sys.executable, "-c", "while True: pass" if busy else ""])
            try:
                one, two = take_turns(args, tasks)
            finally:
                other.kill()
                other.wait()
            low, middle, high = statistics.quantiles(
                (a / b for a, b in zip(one, two, strict=True)), n=4
            )
            found = [scores(args, name) for name in names]
            rows.append(
                {"precision": precision, "batch_size": batch_size, "busy": busy, "load": load}
                | {"ratio": middle, "quartiles": [low, high], "seconds": [one, two]}
                | {"scores": found}
            )
            print(
                f"{precision}, {batch_size} cells{', busy' if busy else ''}: one / two "
                f"{middle:.2f} ({low:.2f} to {high:.2f}), medians "
                f"{statistics.median(one):.3f} and {statistics.median(two):.3f} s per epoch; "
                + "; ".join(f"{key} {found[0][key]} and {found[1][key]}" for key in found[0]),
                flush=True,
            )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
