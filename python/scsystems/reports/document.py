"""A document for people: HTML in one file, or Markdown with a folder of figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from scsystems.durable.replace import replace_file
from scsystems.errors import InputError
from scsystems.plots.axes import pyplot

STYLE = (
    "body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:.85rem}td,th{padding:.2rem .6rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
    ".table{overflow-x:auto;margin:1rem 0}li{margin:.3rem 0}"
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

    def points(self, texts: Iterable[str]) -> None:
        """Add a list of points."""
        if self.html:
            self._parts.append(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>")
        else:
            self._parts.append("\n".join(f"- {text}" for text in texts))

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
            self._parts.append(f'<div class="table"><table><tr>{head}</tr>{body}</table></div>')
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
                f'<meta name="viewport" content="width=device-width, initial-scale=1">'
                f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n{text}"
                "</body></html>\n"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, lambda place: place.write_text(text, encoding="utf-8"))
        return self.path


def _cell(value, digits: int) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.{digits}f}"
    return str(value)
