"""A report of a search, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from scsystems import __version__, checks, plots, words
from scsystems.checks import head
from scsystems.data.matrix import expression
from scsystems.data.schema import Setup
from scsystems.errors import InputError
from scsystems.metrics import principal_components
from scsystems.plots.axes import pyplot
from scsystems.reports.document import Document


def write(result, path: str | Path, adata=None, label_key: str | None = None) -> Path:
    """Write the report of a search.

    Parameters
    ----------
    result
        Result of :func:`scsystems.tune.grid`.
    path
        File ending in ``.html`` (one file) or ``.md`` (figures in a folder beside it).
    adata
        The cells, for UMAPs before and after integration.
    label_key
        Column of ``adata.obs`` to color them by, besides the systems.
    """
    document = Document(path)
    title = "Settings of SysVI compared"
    document.heading(title, 1)
    document.text(_summary(result))
    document.heading("Ranking")
    document.text(
        f"Every metric is scaled to 0 .. 1 over the {len(result.runs)} runs; a run's score is "
        f"{result.weights[0]:g} x biology (mean of {', '.join(result.biology)}) + "
        f"{result.weights[1]:g} x batch correction (mean of {', '.join(result.batch)}). Settings "
        "are ranked by the mean over seeds (sd: standard deviation)."
        + ("" if result.labeled else " No cell types were given: all criteria do without them.")
    )
    for name, (low, high) in result.alike.items():
        document.text(
            f"Mind that {name} hardly differs between runs ({low:.3f} to {high:.3f}); scaling makes "
            "as much of that as of a large difference."
        )
    document.table(result.ranking.drop(columns=["representative"]))
    y = result.biology[0]
    size = (5.5, 3.6)
    figure, ax = pyplot().subplots(figsize=size, layout="constrained")
    plots.tradeoff(result.runs, result.batch[0], y, by="setting", ax=ax)
    document.figure(figure, "tradeoff", "Mixing against biology; crosses are means over seeds.")
    shown = [*result.batch, *result.biology]
    shown += ["label_transfer"] if "label_transfer" in result.runs else []
    ordered = result.runs.set_index("setting").loc[list(result.ranking.index)].reset_index()
    strips = plots.metric_strips(ordered, list(dict.fromkeys(shown)), by="setting")
    document.figure(strips[0].figure, "metrics", "Runs (dots) and their means (lines).")
    if result.labeled:
        _labeled(document, result)
    document.heading("The representative run")
    record = result.records[result.representative]
    document.text(
        f"Of the best setting the run with the median score: seed {record['seed']}, trained in "
        f"{record['seconds']:.0f} s on {record['device']}."
    )
    curves = plots.training_curves(result.history(), skip=1 if _is_long(record) else 0)
    document.figure(
        next(iter(curves.values())).figure, "training", "Losses per epoch (the first left out)."
    )
    if adata is not None:
        document.figure(_umaps(result, adata, label_key), "umap", "Before and after integration.")
    document.heading("All runs")
    document.table(result.runs)
    for heading, notes in (
        ("Runs that failed", result.failed),
        ("Metrics that could not be computed", result.left_out),
    ):
        if notes:
            document.heading(heading)
            for name, reason in notes.items():
                document.text(f"{name}: {reason}")
    document.text(f"scsystems {__version__}")
    return document.write(title)


def _summary(result) -> str:
    best, ranking = result.best, result.ranking
    text = (
        f"Best of {len(ranking)} settings: {best.name} (score {ranking['overall'].iloc[0]:.2f}, "
        f"mean of {ranking['n_runs'].iloc[0]} runs)."
    )
    if len(ranking) > 1:
        second = ranking.iloc[1]
        gap = ranking["overall"].iloc[0] - second["overall"]
        spread = np.nanmax([ranking["sd"].iloc[0], second["sd"], 0])
        text += f" The next, {ranking.index[1]}, has {second['overall']:.2f}"
        text += ": closer than seeds are to each other, so either will do." if gap < spread else "."
    return text


def _labeled(document: Document, result) -> None:
    document.heading("Cell types")
    axes = plots.jaccard_by_type(result.table, by="setting")
    document.figure(
        next(iter(axes.values())).figure,
        "jaccard",
        "Jaccard index of every cell type against iLISI: a fall means that the type is merged "
        "with another.",
    )
    groups = result.table.query("metric == 'label_transfer' and level == 'group'")
    if len(groups):
        recall = groups.pivot_table(
            index="group", columns="setting", values="value", aggfunc="mean", sort=False
        )[list(result.ranking.index)]
        document.text(
            "Label transfer by 25 nearest neighbors: balanced accuracy per direction, then "
            "recall per cell type; means over seeds."
        )
        document.table(recall.rename_axis(index="direction"))


def _umaps(result, adata, label_key: str | None):
    from anndata import AnnData

    checks.anndata("adata", adata)
    space = pd.DataFrame(result.embedding(), index=result.cell_names)
    absent = adata.obs_names[~adata.obs_names.isin(space.index)]
    if adata.n_obs != len(space) or len(absent):
        raise InputError(
            f"{words.word('data')} has {adata.n_obs} cells, the runs {len(space)}, and {len(absent)} of those are not "
            f"among these ({head(absent, 3)}). Expected the same cells, in any order."
        )
    setup = Setup.read(adata)
    before = principal_components(expression(adata, setup.layer))
    spaces = {"before": before, "after": space.loc[adata.obs_names].to_numpy()}
    shown = AnnData(obs=adata.obs, obsm=spaces)
    color = [setup.batch_key] + ([label_key] if label_key else [])
    return plots.umap_panels(shown, ["before", "after"], color)[0, 0].figure


def _is_long(record) -> bool:
    return max(len(points) for points in record["history"].values()) > 10
