# ruff: noqa: E501
"""Write the pages of docs that are made from something else.

results.md and defaults.md are made from benchmarks/results/*.csv, options.md from
scsystems.options.

    python scripts/pages.py           # writes them
    python scripts/pages.py --check   # fails if they are not what they are made from
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SETS = {
    "pancreas, prepared here": "Human and mouse pancreas (genes by `scs.pp.prepare`)",
    "pancreas, human and mouse": "Human and mouse pancreas (another choice of 1,299 genes)",
    "cell lines, two protocols": "Five cell lines, two protocols",
    "primates, embryoid bodies": "Embryoid bodies of three primates (300 genes measured)",
}
COLUMNS = {
    "overall": "overall",
    "ilisi": "iLISI",
    "graph_connectivity": "graph connectivity",
    "moran": "Moran's I",
    "nmi_fixed": "NMI",
    "label_transfer": "label transfer",
    "worst_recall": "lowest recall of a type",
    "cpu_seconds": "CPU-s",
}


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False)


def table(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row[n]) for n in names) + " |" for row in rows]
    return "\n".join(lines)


def methods(data_set: str) -> str:
    found = read("methods").query("data_set == @data_set")
    rows = []
    for method, part in found.groupby("method", sort=False):
        values = part.set_index("metric")
        row = {"method": f"**{method}**" if method == "SysVI" else method}
        for metric, shown in COLUMNS.items():
            if metric not in values.index:
                row[shown] = ""
                continue
            mean, sd = values.loc[metric, ["mean", "sd"]]
            row[shown] = f"{mean} ± {sd}" if sd and metric != "cpu_seconds" else mean
        rows.append(row)
    return table(rows)


def results() -> str:
    parts = [
        """# Results

How well SysVI integrates, beside its parts, other methods, and methods that only name cells, on real cells with known
types: human and mouse pancreas (Baron et al. 2016; 4,028 cells), five cell lines in two protocols (GSE118767; 1,021
cells), embryoid bodies of three primates (900 cells). All methods ran on the same genes (the paper's 3,000 variable
genes per system), deep ones for equal epochs (100 on the pancreas, 300 on the small sets), with three seeds, side by
side on the same two cores. `SysVI` has this package's defaults; `VAMP+CYC`, `VAMP`, `CYC`, `GMM`, `ADV` and `cVAE` are
the paper's method and its ablations (`preset="paper"`). Methods with `(labels)` are told the cell types of the largest
system.

- *overall*: 0.6 biology (NMI and Moran's I) + 0.4 mixing (iLISI), scaled over the methods of a table.
- *iLISI*: do systems mix around a cell? 0 apart, 1 mixed. It counts private types, too, so that 1 is not the goal.
- *graph connectivity*: are the cells of a type connected across systems? 1 all.
- *Moran's I*: is the variation within types kept? 1 as in the data.
- *NMI*: do small clusters, named by their most common type, agree with types?
- *label transfer*: balanced accuracy of types carried from every system to the others; *lowest recall* is that of the
  type that suffers most.
- *CPU-s*: training and embedding on one thread of a shared machine; rough.

The settings of SysVI were chosen on these sets, which flatters it a little; see [why these defaults](defaults.md). What
to expect of scSpecies is on [its own page](scspecies.md). `benchmarks/quality.py` runs the comparison."""
    ]
    for name, title in SETS.items():
        figure = name.replace(", ", "__").replace(" ", "_")
        parts.append(
            f"## {title}\n\n{methods(name)}\n\n"
            f"![Mixing against biology: every method a point](figures/{figure}_tradeoff.png)"
        )
    return "\n\n".join(parts) + "\n"


def defaults() -> str:
    seeds = read("defaults_by_seed").replace("", float("nan"))
    numbers = [c for c in seeds if c not in ("data_set", "seed")]
    seeds[numbers] = seeds[numbers].astype(float)
    means = []
    for name, title in SETS.items():
        part = seeds[seeds["data_set"] == name]
        row = {"data set": title}
        for column, shown in (
            ("ilisi", "iLISI"),
            ("moran", "Moran's I"),
            ("nmi_fixed", "NMI"),
            ("label_transfer", "label transfer"),
            ("human_to_mouse_gamma", "gamma cells, human to mouse"),
            ("mouse_to_human_gamma", "gamma cells, mouse to human"),
            ("cpu_seconds", "CPU-s"),
        ):
            values = part[column].dropna()
            digits = 0 if column == "cpu_seconds" else 3
            row[shown] = (
                f"{values.mean():.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"
                if len(values)
                else ""
            )
        means.append(row)
    chosen = read("settings")
    # the last round of trials; those before are in the log
    chosen = chosen[chosen["epochs"].isin(["250", "300"]) & chosen["primates_ilisi"].ne("")]
    trials = [
        {
            "epochs": row["epochs"],
            "lr, KL weight, cycle weight": row["setting"],
            "pancreas: iLISI": row["pancreas_ilisi"],
            "Moran's I": row["pancreas_moran"],
            "gamma cells, human to mouse": row["human_to_mouse_gamma"],
            "cell lines: iLISI": row["cell_lines_ilisi"],
            "Moran's I ": row["cell_lines_moran"],
            "primates: iLISI": row["primates_ilisi"],
            "Moran's I  ": row["primates_moran"],
        }
        for row in chosen.to_dict("records")
    ]
    return f"""# Why these defaults

The defaults of `SysVI` differ from the paper's and from scvi-tools'; `preset="paper"` gives the paper's. Every choice
was made on three real sets with known types, by mixing (iLISI), label transfer, the recall of rare types (gamma cells
of the pancreas), and the variation that is kept within types (Moran's I). What was tried, and what failed, is in the
[log of trials](../benchmarks/experiments.md).

| default | the paper | why |
|---|---|---|
| constant variance of the decoder (`out_var_mode="constant"`) | learned per gene | A learned variance counts a gene of noise as much as a marker, and falls on and on, so that reconstruction outweighs the cycle and systems that had mixed come apart again. |
| 20 components of the prior, starting from cells spread over every system | 5, from random cells | Rare types tend to get a component of their own. |
| the encoder does not see system and covariates | it does | More gamma cells are kept. |
| decoder of 3 layers (`n_layers_decoder=3`) | 2 | Systems mix more; with a constant variance it costs no rare cells. |
| Adam's `eps` 1e-4 | 0.01 | With 0.01 the prior's pseudoinputs move at a tenth of their rate, and less of the variation within types is kept. |
| KL weight 0.8, cycle weight 3 | 1 and 5 | The KL weight exchanges mixing for Moran's I; this pair keeps both above scvi-tools' SysVI. |
| `lr` 2e-3, at most 250 epochs | 1e-3, 400 | The same quality in half the time. |
| 2,000 variable genes per system | 3,000 | The pancreas mixes more, alike in all seeds. |

## The defaults, over five seeds

Means (smallest to largest of a seed). Cells at random places within their type would have an iLISI of 0.80 on the
pancreas, 0.74 on the primates and 0.51 on the cell lines.

{table(means)}

## Learning rate and the weights of the loss

Means over two to five seeds of the last round of trials, `eps` 1e-4. A
heavier cycle and a lighter KL weight are exchanged for each other; see `benchmarks/sysvi_settings.py` to try your own.

{table(trials)}

## When to choose otherwise

- Systems mix too little: raise the cycle weight (the paper went up to 50).
- Cell types blur: lower the cycle weight, or the KL weight to 0.5.
- A rare type matters: see that its markers are among the genes, and train several seeds; seeds differ by more than most
  settings do.
- Few or low genes, or expression on another scale than log1p of 10,000 counts: `out_var_mode="feature"` learns the
  variances; the squared error of the default has a unit.
"""


def options() -> str:
    from scsystems.options import SCSPECIES, SYSVI

    parts = [
        """# Options

Every option of the two methods, what it is called in Python, in R and on the command line, and what it is by default.
In Python, options of `plan` are given as `model.train(plan_kwargs={...})`, those of `prepare` to `scs.pp.prepare()`. In
R, options with underscores are given to `sysvi_options()` or `scspecies_options()`, the argument `control`; an option
without a name there is given in one of its lists, such as `model = list(prior_density = "factorized")`."""
    ]
    for method, table_ in (("SysVI", SYSVI), ("ScSpecies", SCSPECIES)):
        rows = [
            {
                "Python": f"`{o.name}` ({o.where})",
                "R": f"`{o.r}`" if o.r else "",
                "command line": f"`{o.cli}`" if o.cli else "",
                "what": o.doc,
                "default": _value(o.default),
                'with `preset="paper"`': f"`{o.paper!r}`" if o.value("paper") != o.default else "",
                "may be": ", ".join(map(_value, o.choices)),
            }
            for o in table_
        ]
        parts.append(f"## {method}\n\n{table(rows)}")
    return "\n\n".join(parts) + "\n"


def _value(value) -> str:
    return "by the data" if value is None else f"`{value!r}`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for name, text in (("results", results()), ("defaults", defaults()), ("options", options())):
        path = ROOT / "docs" / f"{name}.md"
        if not check:
            path.write_text(text, encoding="utf8")
        elif path.read_text(encoding="utf8") != text:
            sys.exit(
                f"docs/{name}.md is not what it is made from: run scripts/ {Path(__file__).name}"
            )


if __name__ == "__main__":
    main()
