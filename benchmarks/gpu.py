"""What scsystems does on a GPU: agreement with the CPU, speed, memory, and what bounds it.

    python benchmarks/gpu.py --out gpu                        # simulated cells only
    python benchmarks/gpu.py --out gpu --data prepared.h5ad   # and quality on real ones
    python benchmarks/gpu.py --out dry --device cpu --small   # does it run? (no GPU)

Needs this package with its extra ``metrics``; scvi-tools in the same Python is measured in
alternation. All parts together take less than 8 minutes on a data-center GPU; a part that would
begin after ``--minutes`` is listed as not run. After every part ``gpu.json`` and ``gpu.md`` in
the folder are written anew, so that a stop loses nothing. A part that fails is reported with its
error, and the next one begins.

``--data`` is log-normalized, as `scsystems.pp.prepare` gives it, with columns for system, sample
and label.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse

import scsystems as scs
from scsystems.train import loop

PARTS: dict[str, Callable[[Bench], list[dict]]] = {}
FULL = {"cells": 100_000, "atlas": 500_000, "atlas_epochs": 20, "largest": 2_000_000}
SMALL = {"cells": 2_000, "atlas": 4_000, "atlas_epochs": 2, "largest": 6_000}
GENES, DENSITY = 2000, 0.125


def part(function):
    PARTS[function.__name__] = function
    return function


class Bench:
    """Arguments, sizes, and cells that several parts use."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.sizes = options, SMALL if options.small else FULL
        self.device = torch.device("cuda" if options.device == "gpu" else options.device)
        self.kept: dict[int, ad.AnnData] = {}

    def simulated(self, n: int) -> ad.AnnData:
        """Cells with 250 of 2,000 genes, set up for training; those of the size before are forgotten."""
        if n not in self.kept:
            self.kept = {n: simulate(n)}
        return self.kept[n]

    def train(self, adata, epochs: int, **more) -> tuple[scs.SysVI, float]:
        """A trained model and the seconds that training took."""
        model = scs.SysVI(adata, **more.pop("model", {}))
        self.wait()
        started = time.perf_counter()
        model.train(
            max_epochs=epochs, accelerator=self.options.device, verbose=False, **{"seed": 0} | more
        )
        self.wait()
        return model, time.perf_counter() - started

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def simulate(n: int) -> ad.AnnData:
    rng = np.random.default_rng(0)
    k = int(GENES * DENSITY)
    # a stretch of a random order of the genes: distinct columns without sorting
    order = rng.permutation(GENES).astype(np.int32)
    columns = np.empty((n, k), np.int32)
    for start in range(0, n, 100_000):
        first = rng.integers(0, GENES, (min(100_000, n - start), 1), dtype=np.int32)
        columns[start : start + 100_000] = order[(first + np.arange(k, dtype=np.int32)) % GENES]
    values = rng.gamma(2.0, 0.7, n * k).astype(np.float32)
    x = sparse.csr_matrix((values, columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, GENES))
    obs = pd.DataFrame(
        {
            "system": pd.Categorical(np.where(np.arange(n) % 2, "a", "b")),
            "sample": pd.Categorical(rng.integers(0, 6, n).astype(str)),
        },
        index=np.arange(n).astype(str),
    )
    adata = ad.AnnData(x, obs=obs)
    scs.SysVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["sample"])
    return adata


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """For the time of the block, steps are recorded or not."""
    before = loop.can_record
    if not on:
        loop.can_record = lambda device: False
    try:
        yield
    finally:
        loop.can_record = before


# ---- parts, in the order in which they run ---------------------------------------------------


@part
def agreement(bench: Bench) -> list[dict]:
    """Losses on the GPU against those on the CPU, and the same seed twice."""
    adata = bench.simulated(bench.sizes["cells"] // 20)
    last = {}
    for name, where in (("cpu", "cpu"), ("once", None), ("twice", None)):
        model = scs.SysVI(adata)
        model.train(
            max_epochs=10,
            accelerator=where or bench.options.device,
            precision="float32",
            verbose=False,
        )
        last[name] = (float(model.history["train_loss"].iloc[-1, 0]), model)
    once, twice = (last[k][1].get_latent_representation() for k in ("once", "twice"))
    return [
        {
            "loss_cpu": last["cpu"][0],
            "loss_gpu": last["once"][0],
            "relative_difference": abs(last["once"][0] / last["cpu"][0] - 1),
            "same_seed_same_embedding": bool((once == twice).all()),
            "same_seed_largest_difference": float(np.abs(once - twice).max()),
        }
    ]


@part
def first_step(bench: Bench) -> list[dict]:
    """Seconds from the call of train() to the end of a first and a second epoch of few cells."""
    adata = bench.simulated(bench.sizes["cells"] // 20)
    _, first = bench.train(adata, 1)
    _, again = bench.train(adata, 1)
    return [{"seconds_first_call": first, "seconds_later_call": again}]


@part
def throughput(bench: Bench) -> list[dict]:
    """Cells per second in training, by minibatch, number format, and recording."""
    adata = bench.simulated(bench.sizes["cells"])
    rows = []
    for batch_size in (128, 512, 2048):
        for precision in ("bfloat16", "float32"):
            for recorded in (True, False):
                with recording(recorded):
                    _, few = bench.train(adata, 1, batch_size=batch_size, precision=precision)
                    _, more = bench.train(adata, 3, batch_size=batch_size, precision=precision)
                rows.append(
                    {
                        "batch_size": batch_size,
                        "precision": precision,
                        "recorded": recorded and bench.device.type == "cuda",
                        # what a call costs besides its epochs drops out
                        "cells_per_second": 2 * adata.n_obs / max(more - few, 1e-9),
                    }
                )
    return rows


@part
def peer(bench: Bench) -> list[dict]:
    """scvi-tools' SysVI on the same device, in alternation, minibatches of 128."""
    try:
        import scvi
    except ImportError:
        return [{"not_run": "scvi-tools is not installed"}]
    adata = bench.simulated(bench.sizes["cells"] // 5)
    quiet = {"enable_progress_bar": False, "logger": None, "enable_checkpointing": False}
    scvi.external.SysVI.setup_anndata(
        adata, batch_key="system", categorical_covariate_keys=["sample"]
    )
    rows = []
    for pair in range(3):
        seconds = {}
        for epochs in (1, 3):
            scvi.settings.seed = pair
            model = scvi.external.SysVI(adata)
            bench.wait()
            started = time.perf_counter()
            model.train(
                max_epochs=epochs, accelerator=bench.options.device, batch_size=128, **quiet
            )
            bench.wait()
            seconds["peer", epochs] = time.perf_counter() - started
            scs.SysVI.setup_anndata(
                adata, batch_key="system", categorical_covariate_keys=["sample"]
            )
            _, seconds["ours", epochs] = bench.train(adata, epochs)
        rate = {
            who: 2 * adata.n_obs / (seconds[who, 3] - seconds[who, 1]) for who in ("peer", "ours")
        }
        rows.append(
            {
                "scvi_tools": scvi.__version__,
                "cells_per_second_peer": rate["peer"],
                "cells_per_second_ours": rate["ours"],
                "ratio": rate["ours"] / rate["peer"],
            }
        )
    return rows


@part
def inference(bench: Bench) -> list[dict]:
    """Cells per second into the latent space."""
    adata = bench.simulated(bench.sizes["cells"])
    model, _ = bench.train(adata, 1)
    model.get_latent_representation(indices=np.arange(1000))
    started = time.perf_counter()
    model.get_latent_representation()
    return [{"cells_per_second": adata.n_obs / (time.perf_counter() - started)}]


@part
def profile(bench: Bench) -> list[dict]:
    """How much of the time the GPU works, and on what."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    if bench.device.type != "cuda":
        return [{"not_run": "no GPU"}]
    adata = bench.simulated(bench.sizes["cells"] // 5)
    rows = []
    for recorded in (True, False):
        with recording(recorded), profiler(activities=[ProfilerActivity.CUDA]) as seen:
            _, seconds = bench.train(adata, 2)
        table = seen.key_averages()
        busy = sum(e.self_device_time_total for e in table) / 1e6
        most = sorted(table, key=lambda e: -e.self_device_time_total)[:5]
        rows.append(
            {
                "recorded": recorded,
                "seconds": seconds,
                "fraction_of_time_the_gpu_works": busy / seconds,
                "most_time_in": "; ".join(
                    f"{e.key[:60]} {e.self_device_time_total / 1e6 / max(busy, 1e-9):.0%}"
                    for e in most
                ),
            }
        )
    return rows


@part
def scspecies(bench: Bench) -> list[dict]:
    """Seconds of scSpecies' three steps on simulated species."""
    n = bench.sizes["cells"] // 5
    species, table = scs.datasets.simulated_by_species(n_cells=n, n_genes=2000, seed=0)
    (first, context), (second, target) = list(species.items())[:2]
    model = scs.ScSpecies({first: context}, {second: target}, "cell_type", table)
    marks: dict[str, float] = {}
    started = time.perf_counter()

    def mark(epoch: int, most: int, losses: dict) -> None:
        marks.setdefault(f"seconds_to_end_of_epoch_{epoch}", time.perf_counter() - started)

    model.train(max_epochs=3, accelerator=bench.options.device, verbose=False, callbacks=mark)
    return [{"cells": n, "seconds_in_all": time.perf_counter() - started, **marks}]


@part
def quality(bench: Bench) -> list[dict]:
    """Mixing and label transfer on real cells, trained on the GPU and on the CPU."""
    if bench.options.data is None:
        return [{"not_run": "no --data"}]
    from scsystems.metrics import ilisi, label_transfer, nearest_neighbors

    o = bench.options
    adata = ad.read_h5ad(o.data)
    scs.SysVI.setup_anndata(adata, batch_key=o.system, categorical_covariate_keys=[o.sample])
    system, label = (adata.obs[k].astype(str).to_numpy() for k in (o.system, o.label))
    rows = []
    runs = [(o.device, seed) for seed in range(3)] + [("cpu", 0)]
    for device, seed in runs:
        model = scs.SysVI(adata, seed=seed)
        model.train(max_epochs=o.epochs, accelerator=device, verbose=False)
        z = model.get_latent_representation()
        recall = label_transfer(z, label, system, k=25, min_cells=20).recall
        rows.append(
            {
                "device": device,
                "seed": seed,
                "ilisi": float(ilisi(nearest_neighbors(z), system)),
                "label_transfer": float(recall.groupby("source")["recall"].mean().mean()),
            }
        )
    return rows


@part
def atlas(bench: Bench) -> list[dict]:
    """Half a million cells x 2,000 genes, 20 epochs, by the defaults."""
    adata, epochs = bench.simulated(bench.sizes["atlas"]), bench.sizes["atlas_epochs"]
    rows = []
    for batch_size in (128, 1024):
        _, seconds = bench.train(adata, epochs, batch_size=batch_size)
        rows.append({"cells": adata.n_obs, "batch_size": batch_size, "seconds": seconds})
    return rows


@part
def largest(bench: Bench) -> list[dict]:
    """Two million cells x 2,000 genes on one GPU: does it train, and how much memory does it take?"""
    adata = bench.simulated(bench.sizes["largest"])
    rows = []
    for storage in ("dense", "sparse"):
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        _, seconds = bench.train(adata, 1, batch_size=1024, storage=storage)
        row = {"cells": adata.n_obs, "storage": storage, "seconds_of_an_epoch": seconds}
        if bench.device.type == "cuda":
            row["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
        rows.append(row)
    return rows


# ---- running and reporting -------------------------------------------------------------------


def environment(bench: Bench) -> dict:
    facts = {
        "scsystems": scs.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(bench.device),
        "small": bench.options.small,
    }
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        facts |= {
            "gpu": properties.name,
            "gpu_gib": properties.total_memory / 2**30,
            "cuda": torch.version.cuda,
            "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        }
    return facts


def markdown(report: dict) -> str:
    lines = ["# scsystems on a GPU", ""]
    lines += [f"- {name}: {shown(value)}" for name, value in report["environment"].items()]
    for name, found in report["parts"].items():
        seconds = f" ({found['seconds']:.0f} s)" if "seconds" in found else ""
        lines += ["", f"## {name}{seconds}", "", found["what"], ""]
        if "error" in found:
            lines.append(f"Failed: {found['error'].splitlines()[-1]}")
            continue
        frame = pd.DataFrame(found["rows"])
        lines.append("| " + " | ".join(frame.columns) + " |")
        lines.append("|" + "---|" * len(frame.columns))
        lines += ["| " + " | ".join(map(shown, row)) + " |" for row in frame.to_numpy()]
    return "\n".join(lines) + "\n"


def shown(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--small", action="store_true", help="sizes for a dry run")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--data")
    parser.add_argument("--epochs", type=int, default=100, help="of the part quality")
    parser.add_argument("--system", default="system")
    parser.add_argument("--sample", default="donor")
    parser.add_argument("--label", default="cell_type")
    bench = Bench(parser.parse_args())
    warnings.simplefilter("ignore")
    out, began = bench.options.out, time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    report = {"environment": environment(bench), "parts": {}}
    for name in (n for n in PARTS if n in bench.options.parts):
        found = {"what": PARTS[name].__doc__}
        started = time.perf_counter()
        if started - began > 60 * bench.options.minutes:
            found["rows"] = [{"not_run": "no time left"}]
        else:
            try:
                found["rows"] = PARTS[name](bench)
            except Exception:
                # the other parts' figures are wanted all the same
                found["error"] = traceback.format_exc()
        found["seconds"] = time.perf_counter() - started
        report["parts"][name] = found
        (out / "gpu.json").write_text(json.dumps(report, indent=1))
        (out / "gpu.md").write_text(markdown(report))
        print(
            f"{name}: {found['seconds']:.1f} s {found.get('rows', found.get('error'))}", flush=True
        )


if __name__ == "__main__":
    main()
