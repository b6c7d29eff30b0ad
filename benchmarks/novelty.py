"""Are cells of types that the context does not have found? One context type is left out at a time.

The area under the ROC curve (cells of the left-out type against those of types the context has)
of the novelty score, of its two signs, and of the naive scores: the mean distance to the nearest
context cells in the latent space (which is the second sign) and, without any model, in the data
(cosine distance on the log counts of homologous genes). ``called`` and ``called_known`` are the
shares of novel and of known cells that get called novel. Example::

    OMP_NUM_THREADS=1 python benchmarks/novelty.py --context mouse.h5ad --target human.h5ad \
        --orthologs human_mouse.tsv --labels cell_type --batch sample --epochs 30 --out novelty.csv
"""

from __future__ import annotations

import argparse

import anndata as ad
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

import scsystems as scs
from scsystems.data.neighbors import nearest
from scsystems.models.scspecies.training import log1p

LEAST_CELLS = 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("context", "target", "orthologs", "labels", "batch"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--context-name", default="mouse")
    parser.add_argument("--target-name", default="human")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--both-directions", action="store_true")
    parser.add_argument("--types", nargs="+", help="leave out only these")
    parser.add_argument("--out")
    return parser.parse_args()


def left_out(data: dict[str, ad.AnnData], label: str, args, seed: int) -> dict[str, float]:
    """Train without ``label`` in the context (the first data set), and score the target's cells."""
    (context, reference), (target, query) = data.items()
    reference = reference[(reference.obs[args.labels] != label).to_numpy()].copy()
    model = scs.ScSpecies(
        {context: reference},
        {target: query},
        args.labels,
        args.orthologs,
        batch_key=args.batch,
        seed=seed,
    )
    model.train(max_epochs=args.epochs, verbose=False)
    types = query.obs[args.labels].to_numpy(str)
    new = types == label
    # cells of other types that the context lacks as well belong to neither side
    known = np.isin(types, reference.obs[args.labels].to_numpy(str))
    found = model.novelty()
    there, here = model._targets[target].pairs.T
    counts = model._targets[target].cells.x[:, here], model._context.cells.x[:, there]
    _, distance = nearest(*map(log1p, counts), 25, "cosine")
    scores = {
        "score": found["score"].to_numpy(),
        "unexplained": found["unexplained"].to_numpy(),
        "latent_distance": found["distance"].to_numpy(),
        "data_distance": distance.mean(1),
    }
    either = new | known
    row = {k: roc_auc_score(new[either], v[either]) for k, v in scores.items()}
    called = found["novel"].to_numpy()
    return {**row, "called": called[new].mean(), "called_known": called[known].mean()}


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    data = {
        args.context_name: ad.read_h5ad(args.context),
        args.target_name: ad.read_h5ad(args.target),
    }
    for adata in data.values():
        adata.obs[args.labels] = adata.obs[args.labels].astype(str)
    sizes = pd.concat({k: v.obs[args.labels].value_counts() for k, v in data.items()}, axis=1)
    types = args.types or sorted(sizes.index[(sizes > LEAST_CELLS).all(axis=1)])
    orders = [data] if not args.both_directions else [data, dict(reversed(data.items()))]
    rows = []
    for order in orders:
        for label in types:
            for seed in args.seeds:
                row = {"context": next(iter(order)), "left_out": label, "seed": seed}
                rows.append({**row, **left_out(order, label, args, seed)})
                print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    if args.out:
        table.to_csv(args.out, index=False)
    shown = table.groupby(["context", "left_out"], sort=False).mean(numeric_only=True)
    shown = shown.drop(columns="seed")
    print(shown.round(3).to_string())
    print(shown.groupby("context", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
