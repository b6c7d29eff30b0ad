"""Label-aware sysVI: told the labels of one system, does it name the cells of the others?

Scores are of labels that training was never told: those of the other systems. A row per system
that is told, setting and seed. ``plain`` rows are of the unlabeled model, whose nearest neighbors
name the cells. Example::

    OMP_NUM_THREADS=1 python benchmarks/labels.py --data pancreas.h5ad --system system \
        --label cell_type_broad --seeds 0 1 --wrong 0 0.1 --leave-out --out labels.csv

The file holds log-normalized values; of several (``human=a.h5ad mouse=b.h5ad``) with counts and
``--orthologs`` one is made.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

import scsystems as scs
from scsystems.metrics.lisi import ilisi
from scsystems.metrics.neighbors import nearest_neighbors

# labels with no more cells in the named systems are not counted one by one
LEAST_CELLS = 20
BINS = 10


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True, metavar="[NAME=]FILE")
    parser.add_argument("--orthologs")
    parser.add_argument("--system", default="system")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--told", nargs="+", help="systems whose labels are told (default: each)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--weights", type=float, nargs="*", default=[], help="default: the model's")
    parser.add_argument("--wrong", type=float, nargs="*", default=[0.0], help="wrong labels")
    parser.add_argument(
        "--leave-out", nargs="*", help="types missing in the told system, one at a time; none: each"
    )
    parser.add_argument("--no-plain", action="store_true")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--name", help="name of the data set")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def read(args: argparse.Namespace) -> ad.AnnData:
    """Log-normalized cells with the columns ``system`` and ``label``."""
    if len(args.data) > 1:
        parts = dict(entry.split("=", 1) for entry in args.data)
        cells = scs.pp.prepare(
            {name: ad.read_h5ad(path) for name, path in parts.items()}, orthologs=args.orthologs
        )
        args.system = "system"
    else:
        cells = ad.read_h5ad(args.data[0])
        if scs.pp.looks_like_counts(cells.X):
            cells = scs.pp.prepare(cells, args.system)
    cells.obs["system"] = cells.obs[args.system].astype(str)
    cells.obs["label"] = cells.obs[args.label].astype(str)
    return cells


def spoiled(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Labels of which a fraction are replaced by another one, drawn at random."""
    rng, names = np.random.default_rng(seed), np.unique(labels[pd.notna(labels)])
    labels = labels.copy()
    at = np.flatnonzero(pd.notna(labels))
    for i in rng.choice(at, round(fraction * len(at)), replace=False):
        labels[i] = rng.choice(names[names != labels[i]])
    return labels


def trained(cells: ad.AnnData, seed: int, epochs: int | None, weight=None, **setup) -> scs.SysVI:
    scs.SysVI.setup_anndata(cells, batch_key="system", **setup)
    model = scs.SysVI(cells, seed=seed)
    plan = None if weight is None else {"label_weight": weight}
    model.train(max_epochs=epochs, plan_kwargs=plan, verbose=False)
    return model


def mixing(z: np.ndarray, cells: ad.AnnData) -> float:
    """Mean over shared types of the iLISI among their cells, 0 to 1."""
    sizes = pd.crosstab(cells.obs["label"], cells.obs["system"])
    shared = sizes.index[(sizes > LEAST_CELLS).all(axis=1)]
    at = cells.obs["label"].isin(shared).to_numpy()
    neighbors = nearest_neighbors(z[at], min(91, at.sum()))
    return float(ilisi(neighbors, cells.obs["system"][at], cells.obs["label"][at]).macro)


def naming(found: np.ndarray, truth: np.ndarray) -> dict[str, float | str]:
    """How many cells are named right, and the type with the smallest recall."""
    types, sizes = np.unique(truth, return_counts=True)
    recall = {k: float(np.mean(found[truth == k] == k)) for k in types[sizes > LEAST_CELLS]}
    weakest = min(recall, key=recall.get)
    return {"right": float(np.mean(found == truth)), "weakest": weakest, "recall": recall[weakest]}


def calibration_error(p: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: how far the probability is from the fraction that is right."""
    edges = np.clip((p * BINS).astype(int), 0, BINS - 1)
    gaps = [
        (edges == b).sum() * abs(p[edges == b].mean() - right[edges == b].mean())
        for b in np.unique(edges)
    ]
    return float(sum(gaps) / len(p))


def scores(cells: ad.AnnData, told: str, args, seed: int, wrong: float, weight) -> dict:
    """Train on the labels of one system, and name the cells of the others."""
    labels = cells.obs["label"].where(cells.obs["system"] == told).to_numpy(object)
    cells.obs["told"] = spoiled(labels, wrong, seed)
    start = time.process_time()
    model = trained(cells, seed, args.epochs, weight, labels_key="told")
    seconds = time.process_time() - start
    truth = cells.obs["label"].to_numpy(str)
    others = (cells.obs["system"] != told).to_numpy()
    known = others & np.isin(truth, labels[pd.notna(labels)].astype(str))
    p = model.predict(soft=True)
    found = p.columns.to_numpy(str)[p.to_numpy().argmax(1)]
    sure, right = p.max(axis=1).to_numpy()[known], (found == truth)[known]
    row = naming(found[known], truth[known]) | {
        "mixing": mixing(model.get_latent_representation(), cells),
        "sure": float(sure.mean()),
        "calibration_error": calibration_error(sure, right),
        "temperature": float(model.net.classifier.temperature),
        "seconds": seconds,
    }
    new = others & ~known
    if new.sum() >= LEAST_CELLS:
        either, table = new | known, model.novelty()
        row["novelty"] = roc_auc_score(new[either], table["score"][either])
        row["called_new"] = float(table["novel"][new].mean())
        row["called_known"] = float(table["novel"][known].mean())
    return row


def plain(cells: ad.AnnData, told: list[str], args, seed: int) -> list[dict]:
    """The unlabeled model, whose nearest neighbors name the cells."""
    start = time.process_time()
    z = trained(cells, seed, args.epochs).get_latent_representation()
    seconds = time.process_time() - start
    rows, truth = [], cells.obs["label"].to_numpy(str)
    for name in told:
        here = (cells.obs["system"] == name).to_numpy()
        known = ~here & np.isin(truth, truth[here])
        vote = KNeighborsClassifier(25).fit(z[here], truth[here])
        row = naming(vote.predict(z[known]).astype(str), truth[known])
        rows.append({"told": name, **row, "mixing": mixing(z, cells), "seconds": seconds})
    return rows


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    cells = read(args)
    name = args.name or Path(args.data[0]).stem
    told = args.told or sorted(cells.obs["system"].unique())
    rows: list[dict] = []

    def add(row: dict, **facts) -> None:
        rows.append({"set": name, **facts, **row})
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False), flush=True)
        if args.out:
            pd.DataFrame(rows).to_csv(args.out, index=False)

    for seed in args.seeds:
        if not args.no_plain:
            for row in plain(cells, told, args, seed):
                add(row, method="plain", seed=seed)
        for system in told:
            for weight in args.weights or [None]:
                for wrong in args.wrong:
                    row = scores(cells.copy(), system, args, seed, wrong, weight)
                    add(
                        row,
                        method="labels",
                        told=system,
                        seed=seed,
                        wrong=wrong,
                        weight=weight,
                        left_out="",
                    )
            sizes = pd.crosstab(cells.obs["label"], cells.obs["system"])
            shared = sizes.index[(sizes > LEAST_CELLS).all(axis=1)]
            lost_types = () if args.leave_out is None else args.leave_out or shared
            for label in lost_types:
                lost = (cells.obs["system"] == system) & (cells.obs["label"] == label)
                row = scores(cells[~lost].copy(), system, args, seed, 0.0, None)
                add(row, method="labels", told=system, seed=seed, wrong=0.0, left_out=label)


if __name__ == "__main__":
    main()
