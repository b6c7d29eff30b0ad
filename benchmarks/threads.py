"""Training on two cores against one, epoch by epoch in turns.

    OMP_NUM_THREADS=1 python benchmarks/threads.py --data prepared.h5ad --label cell_type

For each setting three programs train the same model from the same seed: ``n_threads=1``,
``n_threads=2``, and two processes that torch.distributed has joined (gloo), each with a minibatch
of its own; while one trains an epoch the others wait, so that all see the same machine. A ratio is
the median over epochs, with quartiles: of wall time, and of the CPU time of the first process,
which tells what two idle cores would give but for waiting. ``busy``: another program keeps one
core to itself, as far as the system lets it. All results are scored at the end.
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
# ways to train
WAYS = {
    "one": {"n_threads": 1, "group": False},
    "two": {"n_threads": 2, "group": False},
    "group": {"n_threads": 1, "group": True},
}
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
    parser.add_argument("--settings", type=int, nargs="+", help="numbers from 0; default all")
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
    if is_group := args.task.pop("group"):
        torch.distributed.init_process_group("gloo")
    is_first = not is_group or torch.distributed.get_rank() == 0
    adata = ad.read_h5ad(args.data)
    scsystems.SysVI.setup_anndata(
        adata, batch_key=args.system, categorical_covariate_keys=[args.batch]
    )
    model, latent = scsystems.SysVI(adata, seed=args.seed), args.task.pop("latent")
    start, used = 0.0, 0.0

    def turn(epoch: int, *_) -> None:
        nonlocal start, used
        if not is_first:
            return
        print(time.perf_counter() - start, time.process_time() - used, flush=True)
        sys.stdin.readline()
        start, used = time.perf_counter(), time.process_time()

    model.train(max_epochs=args.epochs, verbose=False, callbacks=turn, **args.task)
    if is_first:
        np.save(latent, model.get_latent_representation())


def take_turns(args: argparse.Namespace, tasks: list[dict]) -> list[list[tuple[float, ...]]]:
    """Seconds of every epoch of each task, by the clock and of the CPU."""
    names = ("data", "system", "batch", "epochs", "seed")
    same = [word for name in names for word in (f"--{name}", str(getattr(args, name)))]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                *(torchrun if task["group"] else []),
                __file__,
                *same,
                "--task",
                json.dumps(task),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for task in tasks
    ]
    times: list[list[tuple[float, ...]]] = [[] for _ in workers]
    for worker, seconds in zip(workers, times, strict=True):
        seconds.append(tuple(map(float, worker.stdout.readline().split())))
    for _ in range(args.epochs - 1):
        for worker, seconds in zip(workers, times, strict=True):
            print(file=worker.stdin, flush=True)
            seconds.append(tuple(map(float, worker.stdout.readline().split())))
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
        chosen = range(len(SETTINGS)) if args.settings is None else args.settings
        for precision, batch_size, busy in (SETTINGS[i] for i in chosen):
            names = [str(Path(folder) / f"{way}.npy") for way in WAYS]
            tasks = [
                {"precision": precision, "batch_size": batch_size, "latent": name, **way}
                for way, name in zip(WAYS.values(), names, strict=True)
            ]
            load = os.getloadavg()[0]
            other = subprocess.Popen([sys.executable, "-c", "while True: pass" if busy else ""])
            try:
                seconds = dict(zip(WAYS, take_turns(args, tasks), strict=True))
            finally:
                other.kill()
                other.wait()
            found = {way: scores(args, name) for way, name in zip(WAYS, names, strict=True)}
            setting = {"precision": precision, "batch_size": batch_size, "busy": busy, "load": load}
            rows.append(setting | {"seconds": seconds, "scores": found})
            print(f"{precision}, {batch_size} cells{', busy' if busy else ''}, load {load:.1f}")
            for way, taken in seconds.items():
                said = []
                for what, one, this in zip(
                    ("wall", "CPU"),
                    zip(*seconds["one"], strict=True),
                    zip(*taken, strict=True),
                    strict=True,
                ):
                    ratios = [a / b for a, b in zip(one, this, strict=True)]
                    low, middle, high = statistics.quantiles(ratios, n=4)
                    said.append(
                        f"{what} {middle:.2f} ({low:.2f} to {high:.2f}), median "
                        f"{statistics.median(this):.3f} s per epoch"
                    )
                print(f"  one / {way}: {'; '.join(said)}; {found[way]}", flush=True)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
