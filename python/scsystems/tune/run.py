"""One run of a search: train, embed, measure."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scsystems import __version__
from scsystems.data.fingerprint import fingerprint
from scsystems.data.schema import Setup
from scsystems.errors import ModelFileError, NonFiniteError
from scsystems.metrics.evaluate import collect, evaluate_one
from scsystems.metrics.registry import Data
from scsystems.models.sysvi.model import SysVI
from scsystems.train.checkpoint import History

from .settings import Setting

Record = dict[str, Any]
"""What is kept of a run besides its embedding: parameters, seed, history, metrics."""


@dataclass(frozen=True)
class Kept:
    """A `Record` as a `scsystems.tune.store.RunStore` keeps it."""

    setting: str
    parameters: dict[str, Any]
    seed: int
    seconds: float
    device: str
    version: str
    history: History
    evaluation: dict[str, Any]
    # columns of scsystems.metrics.evaluate
    rows: list[tuple[str, str, str, str, Any, Any]]
    left_out: dict[str, str]

    def __post_init__(self):
        for *_, group, value in self.rows:
            if type(value) not in (int, float) or isinstance(group, (list, dict)):
                raise ModelFileError(
                    f"It has a metric whose value is {str(value)[:40]!r}. Expected a number."
                )


@dataclass(frozen=True)
class Evaluation:
    """How runs are measured; the options of :func:`scsystems.metrics.evaluate`."""

    metrics: list[str]
    label_key: str | None
    batch_key: str | None
    min_cells: int
    moran_min_cells: int
    max_cells: int | None

    def identity(self, data: Data) -> dict[str, Any]:
        """What the metrics of a run depend on, besides its embedding and the expression.

        A record says it of the metrics that it has.
        """
        groups = {"systems": data.systems, "samples": data.samples, "labels": data.labels}
        facts = {k: None if v is None else list(v) for k, v in groups.items()}
        return asdict(self) | {"data": fingerprint({"cells": data.cells, **facts})}

    def collect(self, adata) -> Data:
        """Gather what metrics need besides embeddings."""
        setup = Setup.read(adata)
        return collect(
            adata,
            setup.batch_key,
            self.label_key,
            self.batch_key,
            layer=setup.layer,
            min_cells=self.min_cells,
            moran_min_cells=self.moran_min_cells,
            max_cells=self.max_cells,
        )

    def measure(
        self, run: str, record: Record, embedding: np.ndarray, data: Data, left_out: dict[str, str]
    ) -> Record:
        """Add the metrics to a run's record; ``left_out`` gathers those that cannot be computed."""
        rows = evaluate_one(run, embedding, data, self.metrics, left_out, strict=False)
        return record | {
            "evaluation": self.identity(data),
            "rows": rows,
            "left_out": dict(left_out),
        }


def train_one(adata, setting: Setting, seed: int) -> tuple[Record, np.ndarray]:
    """Train one run.

    Returns
    -------
    Its record (with ``error`` if the loss became NaN), and the embedding.
    """
    start = time.perf_counter()
    record = {"setting": setting.name, "parameters": setting.parameters, "seed": seed}
    try:
        model = SysVI(adata, **setting.model, seed=seed)
        model.train(**setting.train, seed=seed, verbose=False)
        if model.interrupted:  # half a run must not be kept
            raise KeyboardInterrupt
        embedding = np.asarray(model.get_latent_representation())
    except NonFiniteError as error:
        return record | {"error": str(error)}, np.empty((0, 0), np.float32)
    history = {
        name: [[int(epoch), float(value)] for epoch, value in frame.iloc[:, 0].items()]
        for name, frame in model.history.items()
    }
    return record | {
        "seconds": time.perf_counter() - start,
        "device": str(model.device),
        "version": __version__,
        "history": history,
    }, embedding
