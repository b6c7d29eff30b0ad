"""scSpecies' settings, one at a time: label transfer, mixing and CPU time of each.

Settings of the alignment alone (eta, alignment mode, search) share one pre-trained context; its
CPU seconds are given with every row. One thread. A row is written as soon as it is known.
Example::

    OMP_NUM_THREADS=1 python benchmarks/scspecies_settings.py --context mouse.h5ad \
        --target human.h5ad --orthologs human_mouse.tsv --labels cell_type --batch sample \
        --table eta --out eta.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import anndata as ad
import pandas as pd
import torch
from scspecies import Clock, score, without_rare

import scsystems as scs

# settings that only the alignment sees
OF_ALIGNMENT = {"eta", "alignment", "search_every", "mixing_weight"}


def start_at_most(eta: float) -> tuple[float, float]:
    """The default start of the weight, 10, unless the end is below it."""
    return min(10.0, eta), eta


TABLES = {
    "eta": [
        {"alignment": mode, "eta": start_at_most(eta)}
        for mode in ("intermediate", "latent")
        for eta in (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
    ],
    "defaults": [
        {},
        {"library": "encoder"},
        {"encoder_input": "counts"},
        {"homologous_fraction": "genes"},
        {"dispersion": "dataset"},
        {"mixing_weight": 0.0},
        {"likelihood": "zinb"},
        {"dispersion": "cell"},
        {"search_every": 0},
    ],
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("context", "target", "orthologs", "labels", "batch", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--context-name", default="mouse")
    parser.add_argument("--target-name", default="human")
    parser.add_argument("--table", choices=TABLES, nargs="+", default=list(TABLES))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    names = args.context_name, args.target_name
    data = [without_rare(ad.read_h5ad(path), args.labels) for path in (args.context, args.target)]
    labels = [cells.obs[args.labels].astype(str).to_numpy() for cells in data]
    trained, rows = {}, []
    for options in (options for table in args.table for options in TABLES[table]):
        model = scs.ScSpecies(
            {names[0]: data[0]},
            {names[1]: data[1]},
            args.labels,
            args.orthologs,
            batch_key=args.batch,
            seed=args.seed,
            **options,
        )
        targets, model._targets = model._targets, {}
        key = json.dumps({k: v for k, v in options.items() if k not in OF_ALIGNMENT})
        if key not in trained:
            clock = Clock()
            model.train(max_epochs=args.epochs, accelerator="cpu", verbose=False)
            clock.stage("pre-training")
            trained[key] = model._context, model._prototypes, clock.stages
        model._context, model._prototypes, stages = trained[key]
        model._targets = targets
        clock = Clock()
        model.train(max_epochs=args.epochs, accelerator="cpu", verbose=False)
        clock.stage("alignment")
        facts = json.dumps({"cpu_seconds": stages | clock.stages})
        z = [model.get_latent_representation(name) for name in names]
        found = {
            "context": z[0],
            "target": z[1],
            "predicted": model.transfer_labels()["label"].astype(str).to_numpy(),
            "facts": facts,
        }
        row = {"context": names[0], "seed": args.seed, "options": options, **score(found, *labels)}
        rows.append(row)
        with Path(args.out).open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    flat = pd.json_normalize(rows)
    flat["options"] = [json.dumps(row["options"]) for row in rows]
    flat["cpu"] = flat.filter(like="cpu_seconds.").sum(axis=1)
    shown = ["options", "balanced_accuracy", "ilisi", "cpu"]
    print(flat[shown].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
