"""A report of a search, for people: HTML in one file, or Markdown with a folder of figures."""

from __future__ import annotations

import base64
import io
from html import escape
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

STYLE = (
    "body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:.85rem}td,th{padding:.2rem .6rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


class Document:
    """Collects headings, text, tables and figures, and writes them as HTML or Markdown.

    Parameters
    ----------
    path
        File to write; its ending, ``.html`` or ``.md``, chooses the format.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if self.path.suffix not in (".html", ".md"):
            raise InputError(f"The report's path is '{path}'; expected an ending .html or .md.")
        self.html = self.path.suffix == ".html"
        self._parts: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading."""
        marks = f"<h{level}>{escape(text)}</h{level}>" if self.html else f"{'#' * level} {text}"
        self._parts.append(marks)

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>" if self.html else text)

    def table(self, frame: pd.DataFrame, digits: int = 3) -> None:
        """Add a table, its index as the first column."""
        header = [frame.index.name or "", *map(str, frame.columns)]
        rows = [
            [_cell(v, digits) for v in (index, *row)]
            for index, row in zip(frame.index, frame.itertuples(index=False), strict=True)
        ]
        if self.html:
            head = "".join(f"<th>{escape(name)}</th>" for name in header)
            body = "".join(
                f"<tr>{''.join(f'<td>{escape(v)}</td>' for v in row)}</tr>" for row in rows
            )
            self._parts.append(f"<table><tr>{head}</tr>{body}</table>")
        else:
            lines = [header, ["---"] * len(header), *rows]
            clean = [[v.replace("|", "\\|") for v in line] for line in lines]
            self._parts.append("\n".join(f"| {' | '.join(line)} |" for line in clean))

    def figure(self, figure, name: str, caption: str) -> None:
        """Add a figure and close it: inside the HTML, or as PNG beside the Markdown."""
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=120)
        pyplot().close(figure)
        if self.html:
            source = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
            self._parts.append(
                f'<p><img alt="{escape(caption)}" src="{source}"><br>{escape(caption)}</p>'
            )
        else:
            folder = self.path.with_name(f"{self.path.stem}_figures")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.png").write_bytes(picture.getvalue())
            self._parts.append(f"![{caption}]({folder.name}/{name}.png)\n\n{caption}")

    def write(self, title: str) -> Path:
        """Write the file."""
        text = "\n\n".join(self._parts) + "\n"
        if self.html:
            text = (
                f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
                f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n{text}"
                "</body></html>\n"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, encoding="utf-8")
        return self.path


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


def _cell(value, digits: int) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.{digits}f}"
    return str(value)
