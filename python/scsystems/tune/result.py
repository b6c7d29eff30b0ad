"""What a search found: runs, ranking, the best setting, its representative run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scsystems.errors import InputError
from scsystems.metrics.evaluate import COLUMNS

from .scoring import rank_settings, score_runs
from .settings import Setting


@dataclass(frozen=True)
class TuneResult:
    """Result of :func:`scsystems.tune.grid`.

    Attributes
    ----------
    settings
        All settings that were compared.
    records
        Run -> its parameters, seed, seconds, history and metrics.
    embeddings
        Run -> cells x dimensions.
    biology, batch, weights
        The metrics that were scored, and the weights of either kind.
    failed
        Setting and seed -> why a run failed.
    left_out
        Metric -> why it could not be computed.
    labeled
        Whether cell types were known.
    cell_names
        Names of the cells, the rows of the embeddings.

    Examples
    --------
    Train the best setting again, here or on other data::

        best = result.best
        model = scs.SysVI(adata, **best.model)
        model.train(**best.train)
    """

    settings: list[Setting]
    records: dict[str, dict[str, Any]]
    embeddings: dict[str, np.ndarray] = field(repr=False)
    biology: list[str]
    batch: list[str]
    weights: tuple[float, float]
    failed: dict[str, str]
    left_out: dict[str, str]
    labeled: bool
    cell_names: pd.Index = field(repr=False)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Tidy metrics of all runs, as from ``evaluate``, with ``setting`` and ``seed``."""
        rows = [row for record in self.records.values() for row in record["rows"]]
        table = pd.DataFrame(rows, columns=COLUMNS)
        for key in ("setting", "seed"):
            table[key] = table["embedding"].map({r: rec[key] for r, rec in self.records.items()})
        return table

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row per run: ``setting``, ``seed``, metrics, scores, ``seconds``; best first."""
        overall = self.table[self.table["level"] == "overall"]
        wide = overall.pivot_table(index="embedding", columns="metric", values="value", sort=False)
        facts = pd.DataFrame(
            {run: [r["setting"], r["seed"]] for run, r in self.records.items()},
            index=["setting", "seed"],
        ).T.astype({"seed": int})
        runs = facts.join(wide).rename_axis(index="run", columns=None)
        runs = score_runs(runs, self.biology, self.batch, self.weights)
        runs["seconds"] = [self.records[run]["seconds"] for run in runs.index]
        return runs.sort_values("overall", ascending=False, kind="stable")

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """A row per setting, best first: means over seeds; see ``rank_settings``."""
        return rank_settings(self.runs).drop(columns="seed")

    @property
    def alike(self) -> dict[str, tuple[float, float]]:
        """Scored metrics whose values hardly differ (by less than 0.02): lowest and highest.

        Scaling makes as much of these differences as of large ones.
        """
        values = self.runs[[*self.batch, *self.biology]]
        low, high = values.min(), values.max()
        return {name: (low[name], high[name]) for name in values if high[name] - low[name] < 0.02}

    @property
    def best(self) -> Setting:
        """The setting with the best mean score."""
        name = self.ranking.index[0]
        return next(setting for setting in self.settings if setting.name == name)

    @property
    def representative(self) -> str:
        """The best setting's run with the median score."""
        return self.ranking["representative"].iloc[0]

    def embedding(self, run: str | None = None) -> np.ndarray:
        """Embedding of a run (default: the representative one), cells x dimensions."""
        return self.embeddings[self._known(run)]

    def history(self, run: str | None = None) -> dict[str, pd.DataFrame]:
        """Training history of a run (default: the representative one)."""
        history = self.records[self._known(run)]["history"]
        return {
            name: pd.DataFrame(points, columns=["epoch", name]).set_index("epoch")
            for name, points in history.items()
        }

    def report(self, path: str | Path, adata=None, label_key: str | None = None) -> Path:
        """Write a report with tables and figures; see :func:`scsystems.tune.report.write`."""
        from .report import write

        return write(self, path, adata, label_key)

    def _known(self, run: str | None) -> str:
        run = self.representative if run is None else run
        if run not in self.records:
            raise InputError(f"There is no run '{run}'; found {list(self.records)}.")
        return run
