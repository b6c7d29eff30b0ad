"""What the parts share: arguments, sizes, the clock, and simulated cells."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse

import scsystems as scs
from scsystems.train import loop
from scsystems.train.step import Steps

SYSTEM, SAMPLE = "system", "sample"


@dataclass(frozen=True)
class Sizes:
    """How much is measured: cells of most parts, of an atlas and its epochs, and the most cells."""

    cells: int
    atlas: int
    atlas_epochs: int
    largest: int
    genes: int = 2000


FULL = Sizes(100_000, 500_000, 20, 2_000_000)
SMALL = Sizes(2_000, 4_000, 2, 6_000)
TINY = Sizes(400, 300, 1, 300, 200)


class Bench:
    """Arguments, sizes, the time that is left, and cells that several parts use."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.sizes = TINY if options.tiny else SMALL if options.small else FULL
        self.device = torch.device("cuda" if options.device == "gpu" else options.device)
        self.began = time.perf_counter()
        self._kept: dict[int, ad.AnnData] = {}

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def left(self) -> float:
        """Seconds that are left."""
        return 60 * self.options.minutes - (time.perf_counter() - self.began)

    def simulated(self, n: int) -> ad.AnnData:
        """Cells set up for training; those of the size before are forgotten."""
        if n not in self._kept:
            self._kept.clear()
            self._kept[n] = simulate(n, self.sizes.genes)
        return self._kept[n]

    def train(self, adata, epochs: int, **more) -> tuple[scs.SysVI, float]:
        """A trained model and the seconds that training took."""
        model = scs.SysVI(adata, **more.pop("model", {}))
        options = {"seed": 0, "verbose": False, "accelerator": self.options.device} | more
        with self.timed() as clock:
            model.train(max_epochs=epochs, **options)
        return model, clock.seconds

    def wait(self) -> None:
        """Until the GPU has done what it was asked for."""
        if self.on_gpu:
            torch.cuda.synchronize()

    @contextmanager
    def timed(self) -> Iterator[Clock]:
        """Seconds of a block, the GPU's work included."""
        self.wait()
        clock, started = Clock(), time.perf_counter()
        yield clock
        self.wait()
        clock.seconds = time.perf_counter() - started


def rate(n_cells: int, few: float, more: float) -> float | None:
    """Cells per second from the seconds of two runs, one of them with so many more cells.

    What a run costs besides drops out. ``None`` where that is more than what is measured.
    """
    return n_cells / (more - few) if more > few else None


@dataclass
class Clock:
    """Read it when the block has ended."""

    seconds: float = float("nan")


def simulate(n: int, n_genes: int) -> ad.AnnData:
    """Cells with an eighth of the genes each, of two systems with samples in both."""
    rng = np.random.default_rng(0)
    k = n_genes // 8
    # a stretch of a random order of the genes: distinct columns without sorting
    order = rng.permutation(n_genes).astype(np.int32)
    columns = np.empty((n, k), np.int32)
    for start in range(0, n, 100_000):
        first = rng.integers(0, n_genes, (min(100_000, n - start), 1), dtype=np.int32)
        columns[start : start + 100_000] = order[(first + np.arange(k, dtype=np.int32)) % n_genes]
    # values come again after some millions: to draw all would take longer than to train
    values = np.resize(rng.gamma(2.0, 0.7, min(n * k, 4_000_037)).astype(np.float32), n * k)
    x = sparse.csr_matrix((values, columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n_genes))
    obs = pd.DataFrame(
        {
            SYSTEM: pd.Categorical(np.where(np.arange(n) % 2, "a", "b")),
            SAMPLE: pd.Categorical(rng.integers(0, 6, n).astype(str)),
        },
        index=np.arange(n).astype(str),
    )
    adata = ad.AnnData(x, obs=obs)
    set_up(adata)
    return adata


def set_up(adata: ad.AnnData) -> None:
    scs.SysVI.setup_anndata(adata, batch_key=SYSTEM, categorical_covariate_keys=[SAMPLE])


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


@contextmanager
def first_steps(bench: Bench) -> Iterator[list[float]]:
    """When the first step of each training within the block had ended."""
    ended: list[float] = []
    init, step = Steps.__init__, Steps.step

    def begun(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.has_stepped = False

    def stepped(self, indices):
        step(self, indices)
        if not self.has_stepped:
            self.has_stepped = True
            bench.wait()
            ended.append(time.perf_counter())

    Steps.__init__, Steps.step = begun, stepped
    try:
        yield ended
    finally:
        Steps.__init__, Steps.step = init, step
