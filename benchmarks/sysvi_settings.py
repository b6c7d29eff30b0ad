"""SysVI with settings of your own on one data set: trials like those in benchmarks/experiments.md.

    python benchmarks/sysvi_settings.py --out trials.jsonl --data pancreas.h5ad --label cell_type \
        --batch donor --n-top-genes 2000 --seeds 0 1 2 3 4 --plan '{"lr": 1e-3}'

Every run is a line of ``--out`` (data set, settings, seed, scores, CPU-seconds of training and
embedding); runs that are there already are not repeated. Prints the means over seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
from quality import read, run_sysvi, sysvi_defaults

import scsystems as scs

SCORES = ["ilisi", "moran", "nmi", "nmi_fixed", "label_transfer"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--system", default="system")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--batch", help="column with samples")
    parser.add_argument("--n-top-genes", type=int, help="of counts (default: the paper's 3000)")
    parser.add_argument(
        "--hvg-merge", choices=("intersection", "joint"), default="intersection",
        help="how genes of counts are put together",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", type=json.loads, default={}, help="arguments of SysVI, as JSON")
    parser.add_argument("--plan", type=json.loads, default={}, help="plan_kwargs, as JSON")
    parser.add_argument("--train", type=json.loads, default={}, help="others of train(), as JSON")
    parser.add_argument("--moran-min-cells", type=int, default=500)
    return parser.parse_args()


def score(adata, moran_min_cells: int) -> dict[str, float]:
    """Overall scores, and label transfer per direction and per direction and type."""
    table = scs.metrics.evaluate(
        adata, ["run"], "system", "label", "batch", metrics=SCORES, unintegrated="pca",
        moran_min_cells=moran_min_cells, verbose=False,
    )  # fmt: skip
    scores = table[table["level"] == "overall"].set_index("metric")["value"].to_dict()
    groups = table[(table["metric"] == "label_transfer") & (table["level"] == "group")]
    return scores | groups.set_index("group")["value"].to_dict()


def main() -> None:
    options = arguments()
    adata = read(options)
    asked = {k: v for k, v in vars(options).items() if k not in ("out", "seeds")}
    asked["data"] = options.data.name
    # what is not asked for is the package's default, which changes
    settings = asked | {"defaults": sysvi_defaults(adata.n_obs, None)}
    done = []
    if options.out.exists():
        done = [json.loads(line) for line in options.out.read_text().splitlines()]
    mine = {run["seed"]: run for run in done if run["settings"] == settings}
    adata.obsm["pca"] = scs.metrics.principal_components(adata.X)
    for seed in options.seeds:
        if seed in mine:
            continue
        adata.obsm["run"], facts = run_sysvi(
            adata, options.model, options.plan, seed, **options.train
        )
        scores = score(adata, options.moran_min_cells)
        mine[seed] = facts | {"settings": settings, "seed": seed, "scores": scores}
        with options.out.open("a") as file:
            file.write(json.dumps(mine[seed]) + "\n")
        print(f"seed {seed}: {', '.join(f'{name} {scores[name]:.3f}' for name in SCORES)}")
    runs = pd.DataFrame([mine[seed]["scores"] for seed in options.seeds], index=options.seeds)
    runs["cpu_seconds"] = [mine[seed]["cpu_seconds"] for seed in options.seeds]
    print(runs.agg(["mean", "min", "max"]).T.round(3).to_string())


if __name__ == "__main__":
    main()
