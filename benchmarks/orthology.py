"""One-to-one orthologs against groups of them: what SysVI makes of either, with its defaults.

    python benchmarks/orthology.py --out RESULTS --name pancreas --label cell_type --batch batch \
        --data human=human.h5ad mouse=mouse.h5ad --seeds 0 1 2

Species come with raw counts and genes of their own; human and mouse are paired by the table that comes with
the package, others by ``--orthologs``. Every finished run is kept in ``RESULTS/NAME.csv``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anndata as ad
import pandas as pd

import scsystems as scs
from scsystems.data.orthologs.links import ORTHOLOGY
from scsystems.metrics.evaluate import COLUMNS

sys.path.insert(0, str(Path(__file__).parent))
from quality import evaluate, run_sysvi


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--name", required=True, help="name of the data set")
    parser.add_argument("--data", nargs="+", required=True, metavar="SPECIES=FILE")
    parser.add_argument("--orthologs", type=Path)
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--batch", help="column with samples")
    parser.add_argument("--min-cells", type=int, default=20)
    parser.add_argument("--fractional", action="store_true", help="values need not be whole")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="default: the method's own")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"{options.name}.csv"
    species = {
        name: ad.read_h5ad(path) for name, path in (entry.split("=", 1) for entry in options.data)
    }
    done = pd.read_csv(target) if target.exists() else pd.DataFrame()
    for orthology in ORTHOLOGY:
        adata = scs.pp.prepare(
            species,
            batch_key=options.batch,
            orthologs=options.orthologs,
            orthology=orthology,
            min_cells=options.min_cells,
            fractional=options.fractional,
        )
        batch = adata.obs[options.batch].astype(str) if options.batch else ""
        adata.obs = pd.DataFrame(
            {
                "system": adata.obs["system"].astype(str),
                "batch": adata.obs["system"].astype(str) + " " + batch,
                "label": adata.obs[options.label].astype(object),
            }
        )
        adata.obsm["pca"] = scs.metrics.principal_components(adata.X)
        facts = {"n_shared": adata.uns["preparation"]["n_shared"], "n_genes": adata.n_vars}
        for seed in options.seeds:
            if len(done) and ((done["orthology"] == orthology) & (done["seed"] == seed)).any():
                continue
            embedding, ran = run_sysvi(adata, {}, {}, seed, max_epochs=options.epochs)
            rows = pd.DataFrame(
                evaluate(adata, embedding, "SysVI", 500),
                columns=COLUMNS,
            )
            rows = rows.assign(orthology=orthology, seed=seed, **facts, seconds=ran["seconds"])
            done = pd.concat([done, rows], ignore_index=True)
            done.to_csv(target, index=False)
            print(options.name, orthology, seed, facts, f"{ran['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
