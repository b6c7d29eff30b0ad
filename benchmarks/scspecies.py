"""scSpecies side by side: this package and, if its environment is given, scspecies 0.1.4.

Both get the same counts, orthologs, batches and number of epochs, one thread, each in a
process of its own; latent means are scored by the same metrics. Cells of types with at most 20
cells are left out. Example::

    OMP_NUM_THREADS=1 python benchmarks/scspecies.py --context mouse.h5ad --target human.h5ad \
        --orthologs human_mouse.tsv --labels cell_type --batch sample --seeds 0 1 2 \
        --peer-python ENV/bin/python --out scspecies.json

The peer's environment needs scspecies 0.1.4 with muon 0.1.7 and mudata <= 0.3.8.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LABELS_IN_BOTH = 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("context", "target", "orthologs", "labels", "batch"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--context-name", default="mouse")
    parser.add_argument("--target-name", default="human")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--options", type=json.loads, nargs="+", default=[{}], help="JSON of ScSpecies arguments"
    )
    parser.add_argument("--both-directions", action="store_true")
    parser.add_argument("--peer-python")
    parser.add_argument("--out")
    parser.add_argument("--worker", choices=("ours", "peer"), help=argparse.SUPPRESS)
    return parser.parse_args()


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Clock:
    """CPU seconds of named stages."""

    def __init__(self):
        self.stages, self.last = {}, cpu_seconds()

    def stage(self, name: str) -> None:
        now = cpu_seconds()
        self.stages[name], self.last = now - self.last, now


def save(out: str, z_context, z_target, predicted, clock: Clock) -> None:
    import numpy as np

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    facts = json.dumps({"cpu_seconds": clock.stages, "peak_gib": peak})
    np.savez(
        out, context=z_context, target=z_target, predicted=np.asarray(predicted, str), facts=facts
    )


def ours(args) -> None:
    import anndata as ad
    import torch

    import scsystems as scs

    torch.set_num_threads(1)
    context, target = ad.read_h5ad(args.context), ad.read_h5ad(args.target)
    model = scs.ScSpecies(
        {args.context_name: context},
        {args.target_name: target},
        args.labels,
        args.orthologs,
        batch_key=args.batch,
        seed=args.seeds[0],
        **args.options[0],
    )
    clock = Clock()
    targets, model._targets = model._targets, {}
    model.train(max_epochs=args.epochs, accelerator="cpu", verbose=False)
    clock.stage("pre-training")
    model._targets = targets
    model.train(max_epochs=args.epochs, accelerator="cpu", verbose=False)
    clock.stage("neighbors and alignment")
    predicted = model.transfer_labels()["label"]
    clock.stage("label transfer")
    z = [model.get_latent_representation(name) for name in model.species]
    save(args.out, *z, predicted, clock)


def peer(args) -> None:
    import contextlib
    import io

    # this file's folder would hide the package of the same name
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]
    import anndata as ad
    import muon as mu
    import pandas as pd
    import torch
    from scspecies.models import scSpecies
    from scspecies.preprocessing import create_mdata

    torch.set_num_threads(1)
    context, target = ad.read_h5ad(args.context), ad.read_h5ad(args.target)
    names = context.obs_names, target.obs_names
    pairs = pd.read_csv(args.orthologs)
    homologue = dict(zip(pairs["target"], pairs["context"], strict=True))

    class Prepared(create_mdata):
        """The peer's preparation with a table in place of its download, and without dropping cells."""

        def translate_gene_list(self, adata):
            known = [homologue.get(g, f"non_hom_{i}") for i, g in enumerate(adata.var_names)]
            adata.var["var_names_transl"] = known
            return adata

    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        options = {"min_non_zero_genes": 0.0, "min_cell_type_size": 0, "min_batch_size": 0}
        clock = Clock()
        data = Prepared(context, args.batch, args.labels, "context", n_top_genes=None, **options)
        data.setup_target_adata(
            target, args.batch, args.labels, dataset_name="target", NCBI_Taxon_ID=9606
        )
        clock.stage("neighbors")
        container = mu.MuData(data.dataset_collection)
        model = scSpecies("cpu", container, folder, args.seeds[0], "context", "target")
        model.train_context(args.epochs, save_model=False)
        clock.stage("pre-training")
        model.get_representation("context", save_intermediate=True, save_libsize=True)
        model.train_target(args.epochs, save_model=False)
        model.get_representation("target", save_intermediate=True, save_libsize=True)
        clock.stage("alignment")
        model.transfer_labels_data(args.labels)
        clock.stage("label transfer")
    parts = [model.mdata.mod[k] for k in ("context", "target")]
    z = [
        pd.DataFrame(p.obsm["z_mu"], index=p.obs_names.str.replace(f"_{k}$", "", regex=True))
        .loc[n]
        .to_numpy()
        for p, k, n in zip(parts, ("context", "target"), names, strict=True)
    ]
    save(args.out, *z, parts[1].obs[f"pred_sim_{args.labels}"], clock)


def score(result, context_labels, target_labels) -> dict:
    """Label transfer, mixing and recall of one run."""
    import numpy as np

    from scsystems.metrics import ilisi, label_transfer, nearest_neighbors

    z = np.concatenate([result["context"], result["target"]])
    labels = np.concatenate([context_labels, target_labels])
    species = np.repeat(["context", "target"], [len(context_labels), len(target_labels)])
    transfer = label_transfer(z, labels, species, k=25, min_cells=LABELS_IN_BOTH)
    recall = transfer.recall.query("source == 'context'").set_index("label")["recall"]
    shared = np.isin(target_labels, recall.index)
    right = np.asarray(result["predicted"]) == target_labels
    by_transfer = [right[shared & (target_labels == name)].mean() for name in recall.index]
    return {
        "balanced_accuracy": transfer.direction("context", "target"),
        "balanced_accuracy_reranked": float(np.mean(by_transfer)),
        "ilisi": ilisi(nearest_neighbors(z), species),
        "recall": recall.round(3).to_dict(),
        **json.loads(str(result["facts"])),
    }


def without_rare(adata, labels: str):
    """The cells of types with more than a few cells: the peer cannot register rarer ones."""
    size = adata.obs[labels].map(adata.obs[labels].value_counts()).astype(int)
    adata = adata[size > LABELS_IN_BOTH].copy()
    adata.obs[labels] = adata.obs[labels].astype(str).astype("category")
    return adata


def main() -> None:
    args = arguments()
    if args.worker:
        return {"ours": ours, "peer": peer}[args.worker](args)
    import anndata as ad
    import numpy as np
    import pandas as pd

    from scsystems.models.scspecies.species import homologues

    directions = [("context", "target")]
    if args.both_directions:
        directions.append(("target", "context"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for here, there in directions:
            names = {k: getattr(args, f"{k}_name") for k in (here, there)}
            paths = {k: getattr(args, k) for k in (here, there)}
            data = {k: without_rare(ad.read_h5ad(path), args.labels) for k, path in paths.items()}
            paths = {k: str(Path(folder) / f"{k}.h5ad") for k in data}
            for k, path in paths.items():
                data[k].write_h5ad(path)
            labels = [data[k].obs[args.labels].astype(str).to_numpy() for k in (here, there)]
            table = homologues(
                args.orthologs, names[here], data[here].var_names, names[there], data[there]
            )
            pairs = Path(folder) / f"{here}.csv"
            table.to_csv(pairs, index=False)
            jobs = [("ours", sys.executable, args.orthologs, options) for options in args.options]
            if args.peer_python:
                jobs.append(("peer", args.peer_python, str(pairs), {}))
            for package, python, orthologs, options in jobs:
                for seed in args.seeds:
                    out = str(Path(folder) / "result.npz")
                    command = [
                        python,
                        __file__,
                        "--worker",
                        package,
                        "--out",
                        out,
                        "--seeds",
                        str(seed),
                    ]
                    command += [
                        "--context",
                        paths[here],
                        "--target",
                        paths[there],
                        "--orthologs",
                        orthologs,
                    ]
                    command += ["--context-name", names[here], "--target-name", names[there]]
                    command += [
                        "--labels",
                        args.labels,
                        "--batch",
                        args.batch,
                        "--epochs",
                        str(args.epochs),
                    ]
                    command += ["--options", json.dumps(options)]
                    subprocess.run(command, check=True)
                    with np.load(out) as result:
                        row = score(result, *labels)
                    row = {
                        "package": package,
                        "context": names[here],
                        "seed": seed,
                        "options": options,
                        **row,
                    }
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    if args.out:
        Path(args.out).write_text(json.dumps(rows, indent=1))
    flat = pd.json_normalize(rows)
    flat["cpu"] = flat.filter(like="cpu_seconds.").sum(axis=1)
    shown = [
        "package",
        "context",
        "seed",
        "balanced_accuracy",
        "balanced_accuracy_reranked",
        "ilisi",
        "cpu",
        "peak_gib",
    ]
    print(flat[shown].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
