"""Every argument of scs.datasets, scs.pp, scs.tl and scs.tune is felt."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from felt import Trial, arguments_of, check, public

from scsystems import datasets, pp, tl, tune
from scsystems.data.resident import CellArrays
from scsystems.errors import ScsystemsError
from scsystems.models.sysvi.model import SysVI
from scsystems.nn.scspecies.net import ScviNet, ScviSizes
from scsystems.tune import grid as grid_function

PLACES = {"datasets": datasets, "pp": pp, "tl": tl, "tune": tune}
FUNCTIONS = {
    f"{place}.{name}": f for place, m in PLACES.items() for name, f in public(m).items()
} | {
    f"TuneResult.{name}": getattr(tune.TuneResult, name)
    for name in ("embedding", "history", "report")
}
SMALL = {"n_cells": 200, "n_genes": 60, "n_types": 3}


@cache
def counts(seed=0):
    adata = datasets.simulated(300, 2, 80, 3, depth=300.0, seed=seed)
    adata.obs["other"] = np.where(np.arange(300) % 3, "a", "b")
    adata.obs["sample"] = np.where(np.arange(300) % 2, "s1", "s2")
    adata.layers["more"] = (adata.X * 2).tocsr()
    adata.layers["more"].data[::3] += 3
    return adata


def net(seed=0):
    sizes = ScviSizes(n_genes=12, n_homologous=6, n_batches=2, homologous_fraction=0.4, n_latent=2,
                      n_features=8, n_hidden=6)  # fmt: skip
    return ScviNet(sizes, torch.Generator().manual_seed(seed), torch.zeros(2, 2))


def drawn(rng, **arguments):
    return tl.draw_cells(rng=np.random.default_rng(rng), **arguments)


def split(species):
    """Cells of every system on their own, the second with its own names of genes."""
    first, second = (counts()[counts().obs["system"] == s].copy() for s in ("species1", "species2"))
    second.var_names = second.var_names.str.replace("Gene", species)
    return {"species1": first, "species2": second}


@cache
def prepared(seed=0):
    adata = pp.prepare(counts(seed), "system", "donor", n_top_genes=50, min_cells=2)
    SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    return adata


def whole_of(seed, logs=None):
    """All genes, log-normalized, with another such matrix in a layer."""
    every = {"features": list(counts().var_names), "min_cells": None}
    adata = pp.prepare(counts(seed), "system", **every)
    if logs is not None:
        adata.layers["logs"] = pp.prepare(logs, "system", **every).X
    return adata


@cache
def search():
    """Four runs of two settings."""
    return tune.grid(prepared(), {"n_latent": [2, 3], "n_hidden": [8]}, (0, 1), label_key="cell_type",
                     max_epochs=2, n_jobs=1, biology=["nmi_fixed"], verbose=False, min_cells=5)  # fmt: skip


def searched(**arguments):
    """A search whose runs are drawn instead of trained, with what its runs and bars were told."""
    told = []
    module = grid_function.__globals__

    def train(adata, runs, n_jobs):
        told.append((n_jobs, [(s.parameters, seed) for s, seed in runs.values()]))
        for run, (setting, seed) in runs.items():
            rng = np.random.default_rng([seed, len(str(setting.parameters))])
            kind = pd.factorize(adata.obs["cell_type"])[0]
            z = rng.normal(size=(adata.n_obs, 3)) + 2 * kind[:, None]
            record = {"setting": setting.name, "parameters": setting.parameters, "seed": seed,
                      "seconds": 0.0, "history": {}, "version": ""}  # fmt: skip
            yield run, record, z.astype(np.float32)

    def tqdm(*args, disable, **more):
        told.append(disable)
        return original(*args, disable=True, **more)

    original = module["tqdm"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module, "_train", train)
        patch.setitem(module, "tqdm", tqdm)
        found = tune.grid(**arguments)
    folder = arguments.get("folder")
    kept = 0 if folder is None else len(list(folder.iterdir()))
    return found.runs, found.ranking, told, kept > 0


def told(**arguments):
    """A search that tells of every run, with what it told."""
    heard = []
    if arguments["callback"] is not None:
        arguments["callback"] = lambda *args: heard.append(args[:2])
    return searched(**arguments), heard


def written(**arguments):
    """What is in the file after a preparation from disk."""
    try:
        found = pp.prepare(**arguments)
    except ScsystemsError as error:
        return str(error)
    out = arguments["out"]
    held = found.to_memory() if found.isbacked else found
    return held, None if out is None else out.is_file()


def kept_genes(adata):
    """Names of the genes that the usual calls choose."""
    return set(pp.prepare(adata, "system", n_top_genes=40).var_names)


def trials(folder) -> dict[str, Trial]:
    adata, other = counts(), counts(1)
    adata.write_h5ad(folder / "cells.h5ad")
    there = folder / "there.h5ad"
    pp.prepare(folder / "cells.h5ad", out=there)
    rng = np.random.default_rng(0)
    z, z2 = (rng.normal(size=(30, 2)).astype(np.float32) for _ in range(2))
    x, x2 = (rng.poisson(3, (30, 12)).astype(np.float32) for _ in range(2))
    batch, batch2 = rng.integers(0, 2, 30), rng.integers(0, 2, 30)
    pairs = np.stack([np.arange(6)] * 2, 1)
    near, near2 = (rng.integers(0, 30, (30, 4)) for _ in range(2))
    label, label2 = (np.sort(rng.integers(0, 3, 30)), rng.integers(0, 3, 30))
    cells, cells2 = (CellArrays(v, np.zeros(30, int), batch[:, None]) for v in (x, x2))
    nets = net(), net(1)
    runs = pd.DataFrame({"setting": ["a", "a", "b"], "other": ["x", "y", "y"],
                         "nmi_fixed": [0.1, 0.5, 0.9], "moran": [0.9, 0.3, 0.1],
                         "ilisi": [0.2, 0.7, 0.1], "kbet": [0.5, 0.2, 0.9]})  # fmt: skip
    scored = tune.score_runs(runs)
    shifted = scored.assign(overall=[0.9, 0.1, 0.2])
    run = list(search().records)
    species = split("Other")
    table = pd.DataFrame(
        {"species1": adata.var_names, "species2": "Other" + adata.var_names.str[4:]}
    )
    # a gene of the second species with two partners
    extra = pd.DataFrame({"species1": adata.var_names[:1], "species2": table["species2"][1:2]})
    groups = pd.concat([table[1:], extra, table[:1]])
    fewer = {name: cells[:100].copy() for name, cells in species.items()}
    unlike = [g for g in adata.var_names if g not in kept_genes(adata)][:2]
    logged, whole = prepared(), whole_of(0)
    by_species = {"data": species, "system_key": "system", "batch_key": None}
    simulated = {"n_cells": (200, 220), "n_systems": (2, 3), "n_genes": (60, 70), "n_types": (3, 4),
                 "n_donors": (2, 3), "rare_fraction": (0.05, 0.3), "own_types": (True, False),
                 "system_effect": (0.8, 0.1), "donor_effect": (0.2, 0.5), "depth": (400.0, 90.0),
                 "seed": (0, 1)}  # fmt: skip
    archive = "data/test_datasets.py::test_pancreas_reads_a_wheel_and_an_installed_package"
    return {
        "datasets.pancreas": Trial({"path": archive}),
        "datasets.pancreas_by_species": Trial({"path": archive}),
        "datasets.simulated": Trial(simulated),
        "datasets.simulated_by_species": Trial({
            "homologous": (0.6, 0.3), "one_to_many": (0.05, 0.2), "settings": (SMALL, SMALL | {"seed": 1})
        }),
        "pp.looks_like_counts": Trial({
            "matrix": (adata.X, logged.X),
            "n_values": (10**6, 1, {"matrix": np.array([[3.0, 2.0], [0.5, 3.0]])}),
        }),
        "pp.prepare": Trial({
            "data": (adata, other), "system_key": ("system", "other"), "batch_key": (None, "sample"),
            "orthologs": (None, table, by_species),
            "names_from": (None, "species2", by_species | {"orthologs": table}),
            "layer": (None, "more"), "min_cells": (20, 120), "target_sum": (1e4, 100.0),
            "features": (None, list(adata.var_names[:9])), "n_top_genes": (40, 20),
            "flavor": ("cell_ranger", "seurat"),
            "min_batch_cells": (20, 151, {"batch_key": "sample"}), "counts_layer": ("counts", "raw"),
            "fractional": (False, True, {"data": _fractions(adata)}),
            "out": (None, folder / "out.h5ad", {"data": folder / "cells.h5ad"}),
            "overwrite": (False, True, {"data": folder / "cells.h5ad", "out": there}),
            "orthology": ("one2one", "groups", by_species | {"orthologs": groups}),
            "hvg_merge": ("intersection", "joint"), "keep": (None, unlike),
        }, written),
        "pp.join_species": Trial({
            "data": (species, fewer), "system_key": ("system", "which"),
            "orthologs": (table, table[:60]),
            "orthology": ("one2one", "groups", {"orthologs": groups}),
            "names_from": (None, "species2"), "layer": (None, "more"),
        }),
        "pp.select_features": Trial({
            "adata": (whole, whole_of(1)), "system_key": ("system", "other"),
            "batch_key": (None, "sample"), "layer": (None, "logs", {"adata": whole_of(0, logs=other)}),
            "min_cells": (20, 140), "n_top_genes": (20, 10), "flavor": ("cell_ranger", "seurat"),
            "min_batch_cells": (20, 151, {"batch_key": "sample"}),
            "hvg_merge": ("intersection", "joint"), "keep": (None, unlike),
        }),
        "tl.decode": Trial({
            "net": nets, "z": (z, z2), "batches": (np.array([0, 1]), np.array([1])),
            "genes": (np.array([0, 2]), np.array([1, 2])),
        }),
        "tl.draw_cells": Trial({
            "mean": (z, z2), "std": (np.ones((30, 2)), np.full((30, 2), 0.1)), "n_samples": (9, 8), "rng": (0, 1)
        }, drawn),
        "tl.fold_change": Trial({
            "target": (x, x2), "context": (x2, x + 1), "threshold": (1.0, 0.3), "offset": (1e-6, 1.0)
        }),
        "tl.mode": Trial({"values": (x[0], x[1] * 2)}),
        "tl.novelty": Trial({"unexplained": (z[:, 0], z2[:, 0]), "distance": (x[:, 0] + 1, x[:, 1] + 1)}),
        "tl.rank": Trial({"among": (near, near2), "values": (x[:, :4], x2[:, :4]), "k": (2, 3)}),
        "tl.relevance": Trial({
            "net": nets, "x": (torch.tensor(x), torch.tensor(x2)),
            "batch": (torch.tensor(batch), torch.tensor(batch2)), "gamma": (0.25, 0.1),
        }),
        "tl.similarity": Trial({
            "net": nets, "cells": (cells, cells2), "own": (z, z2), "context": (z2, z), "among": (near, near2)
        }),
        "tl.type_similarity": Trial({
            "net": nets, "cells": (cells, cells2), "own": (z, z2), "label": (label, label2),
            "context": (z2, z), "context_label": (label2, label), "n_samples": (5, 3), "seed": (0, 1),
        }),
        "tl.transfer": Trial({"among": (near, near2), "labels": (label, label2)}),
        "tl.unexplained": Trial({
            "target": nets, "context": nets[::-1], "z": (z, z2), "counts": (x[:, :6], x2[:, :6]),
            "pairs": (pairs, pairs[:, ::-1][::-1] * [1, 1] + [[1, 0]] * 6), "label": (label, label2),
        }),
        "tl.within_ellipse": Trial({"mean": (z, z2), "level": (0.9, 0.4)}),
        "tune.expand": Trial({"grid": ({"n_latent": [2, 3]}, {"n_latent": [2, 4]})}),
        "tune.score_runs": Trial({
            "runs": (runs, runs.iloc[:2]), "biology": (("nmi_fixed", "moran"), ("moran",)),
            "batch": (("ilisi",), ("kbet",)), "weights": ((0.6, 0.4), (0.4, 0.6)),
        }),
        "tune.rank_settings": Trial({"scored": (scored, shifted), "by": ("setting", "other")}),
        "tune.representative": Trial({
            "scored": (scored, shifted), "setting": ("a", "b"),
            "by": ("setting", "other", {"scored": scored.assign(other=["b", "a", "a"])}),
        }),
        "tune.grid": Trial({
            "adata": (logged, prepared(1)), "grid": ({"n_latent": [2, 13]}, {"n_latent": [4]}),
            "seeds": ((0, 1), (0, 2)), "label_key": ("cell_type", "other"),
            "batch_key": (None, "sample", {"biology": ["moran"]}), "folder": (None, folder / "runs"),
            "metrics": (None, ["kbet"]), "biology": (["nmi_fixed"], ["clisi"]),
            "batch": (("ilisi",), ("kbet",)), "weights": ((0.6, 0.4), (0.1, 0.9)),
            "min_cells": (5, 40), "moran_min_cells": (20, 40, {"biology": ["moran"]}),
            "max_cells": (None, 150),
            "n_jobs": (1, 2), "callback": (None, True), "verbose": (False, True),
            "train": ({}, {"max_epochs": 3}),
        }, told),
        "TuneResult.embedding": Trial({"run": (run[0], run[1])}, search().embedding),
        "TuneResult.history": Trial({"run": (run[0], run[1])}, search().history),
        "TuneResult.report": Trial({
            "path": "tune/test_report.py::test_markdown_has_its_figures_beside_it",
            "adata": "tune/test_report.py::test_html_is_one_file_with_tables_and_figures",
            "label_key": "tune/test_report.py::test_html_is_one_file_with_tables_and_figures",
        }),
    }  # fmt: skip


def _fractions(adata):
    adata = adata.copy()
    adata.X.data[::2] += 0.5
    return adata


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return trials(tmp_path_factory.mktemp("felt")), {}


@pytest.mark.parametrize(("name", "argument"), arguments_of(FUNCTIONS))
def test_argument_is_felt(tried, name, argument):
    table, seen = tried
    check(FUNCTIONS[name], table[name], argument, seen)


def test_tables_have_no_functions_that_are_gone(tried):
    assert set(tried[0]) == set(FUNCTIONS)
