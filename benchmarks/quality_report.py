"""Tables and figures of the runs that ``quality.py`` keeps."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import scsystems as scs
from scsystems.metrics.evaluate import COLUMNS
from scsystems.plots.axes import colors
from scsystems.tune.report import Document
from scsystems.tune.scoring import rank_settings, score_runs

# comparators that are not run, and why
UNAVAILABLE = {
    "scArches": "its model for annotated references, scPoli, is run instead.",
    "scspecies": "see benchmarks/scspecies.py, which gives it each species' own genes.",
}
SHOWN = [
    "ilisi", "kbet", "graph_connectivity", "asw_batch", "nmi_fixed", "moran", "jaccard",
    "asw_label", "label_transfer",
]  # fmt: skip


def collect(out: Path, setting_of: Callable[[dict], str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All kept runs: one row per run, and the tidy table."""
    records = {path.stem: json.loads(path.read_text()) for path in (out / "runs").glob("*.json")}
    if not records:
        sys.exit(f"There are no runs in {out}.")
    tidy = pd.DataFrame([row for r in records.values() for row in r["rows"]], columns=COLUMNS)
    facts = pd.DataFrame.from_dict(
        {
            run: {"setting": setting_of(r)}
            | {k: r[k] for k in ("dataset", "seed", "epochs", "seconds", "cpu_seconds")}
            for run, r in records.items()
        },
        orient="index",
    )
    runs = facts.join(scs.metrics.summarize(tidy))
    # the pooled figures hide the loss of rare types: show the worst recall of any type, too
    recall = tidy.query("metric == 'label_transfer' and level == 'group'")
    recall = recall[recall["group"].str.contains(": ")]
    runs["worst_recall"] = recall.groupby("embedding")["value"].min()
    return runs, tidy.join(facts[["dataset", "setting", "seed"]], on="embedding")


def report(out: Path, methods: Sequence[str], setting_of: Callable[[dict], str]) -> None:
    """Write ``quality.json`` and ``quality.md``.

    Parameters
    ----------
    out
        Folder of the results.
    methods
        Names in tables, in the order in which they get their colors.
    setting_of
        Record of a kept run -> its name in tables.
    """
    runs, tidy = collect(out, setting_of)
    order = {name: i for i, name in enumerate(methods)}
    runs = runs.sort_values(
        ["dataset", "setting", "seed"],
        key=lambda c: c.map(order).fillna(c) if c.name == "setting" else c,
    )
    (out / "quality.json").write_text(
        json.dumps({"machine": platform.platform(), "cores": os.cpu_count(),
                    "runs": json.loads(runs.to_json(orient="records"))}, indent=1)
    )  # fmt: skip
    document = Document(out / "quality.md")
    document.heading("Integration quality", 1)
    document.text(
        f"Means over seeds and standard deviations, on {os.cpu_count()} cores of "
        f"{platform.processor() or platform.machine()}. worst_recall: the lowest recall of any "
        "cell type and direction in the label transfer. overall: 0.6 biology (mean of NMI-fixed "
        "and, where groups are large enough, Moran's I) + 0.4 iLISI, scaled over the runs of a "
        "data set."
    )
    palette = colors(methods)  # the same in all figures
    for dataset, everything in runs.groupby("dataset"):
        # others only name cells
        part = everything[everything["ilisi"].notna()]
        biology = [
            name
            for name in ("nmi_fixed", "moran")
            if part.get(name) is not None and part[name].notna().all()
        ]
        scored = score_runs(part, biology, ["ilisi"])
        ranking = rank_settings(scored)
        shown = [
            name for name in [*SHOWN, "worst_recall"] if name in part and part[name].notna().any()
        ]
        mean, sd = scored.groupby("setting")[shown].mean(), scored.groupby("setting")[shown].std()
        table = mean.loc[ranking.index].map("{:.3f}".format)
        spread = sd.loc[ranking.index].map(lambda v: "" if np.isnan(v) else f" ± {v:.3f}")
        table = table + spread
        table.insert(0, "overall", ranking["overall"].map("{:.3f}".format))
        table.insert(0, "runs", ranking["n_runs"])
        cpu = part.groupby("setting")["cpu_seconds"].mean()
        table["CPU-s"] = cpu.loc[ranking.index].map("{:.0f}".format)
        document.heading(str(dataset))
        document.table(table.rename_axis(index="method"))
        groups = tidy[
            (tidy["dataset"] == dataset)
            & (tidy["metric"] == "label_transfer")
            & (tidy["level"] == "group")
        ]
        if len(groups):
            document.text(
                "Label transfer: balanced accuracy per direction, then recall per cell type. Methods "
                "that only name cells come last."
            )
            wide = groups.pivot_table(index="group", columns="setting", values="value", sort=False)
            names = [*ranking.index, *(name for name in methods if name not in ranking.index)]
            document.table(
                wide[[name for name in names if name in wide]].rename_axis(index="direction")
            )
        slug = "".join(c if c.isalnum() else "_" for c in str(dataset))
        strips = scs.pl.metric_strips(
            scored.set_index("setting").loc[list(ranking.index)].reset_index(),
            [m for m in ("ilisi", "nmi_fixed", "moran", "label_transfer", "worst_recall") if m in shown],
            by="setting", palette=palette,
        )  # fmt: skip
        document.figure(strips[0].figure, f"{slug}_strips", "Runs (dots) and their means (lines).")
        ax = scs.pl.tradeoff(scored, "ilisi", "nmi_fixed", by="setting", palette=palette)
        ax.figure.set_size_inches(6.5, 3.8)
        document.figure(ax.figure, f"{slug}_tradeoff", "Mixing against biology.")
        axes = scs.pl.jaccard_by_type(
            tidy[tidy["embedding"].isin(part.index)], by="setting", palette=palette
        )
        document.figure(
            next(iter(axes.values())).figure,
            f"{slug}_jaccard",
            "Jaccard index per cell type against iLISI.",
        )
    document.heading("Not run")
    for name, reason in UNAVAILABLE.items():
        document.text(f"{name}: {reason}")
    skipped = out / "skipped.json"
    if skipped.exists():
        # what has failed once may have been run since
        done = {
            (r.dataset, name)
            for r in runs.itertuples()
            for name in (r.setting, f"{r.setting}, seed {r.seed}")
        }
        for dataset, reasons in json.loads(skipped.read_text()).items():
            for name, reason in reasons.items():
                if (dataset, name) not in done:
                    document.text(f"{dataset}: {name}: {reason}")
    print(document.write("Integration quality"))
