"""Every argument of the figures is felt, in their pixels."""

from types import SimpleNamespace

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from felt import Trial, arguments_of, check, public

from scsystems import pl
from scsystems.metrics import compare_distances, sample_distances

mpl.use("Agg")
FUNCTIONS = public(pl)


def on_given(function):
    """Draw on axes of a given number, or on the function's own; every figure is seen."""

    def call(**arguments):
        plt.close("all")
        for name in ("ax", "axes"):
            if arguments.get(name):
                _, axes = plt.subplots(1, arguments[name], figsize=(3, 2), squeeze=False)
                arguments[name] = axes.ravel() if name == "axes" else axes[0, 0]
        function(**arguments)
        return [SimpleNamespace(figure=plt.figure(n)) for n in plt.get_fignums()]

    return call


def trials() -> dict[str, Trial]:
    rng = np.random.default_rng(0)
    n = 90
    kind, system = rng.choice(["a", "b"], n), rng.choice(["h", "m"], n)
    samples = np.char.add(system, rng.choice(["1", "2", "3"], n))
    z, z2 = (rng.normal(size=(n, 4)) + 2 * (kind == "b")[:, None] for _ in range(2))
    strengths = []
    for space in (z, z2):
        distances = sample_distances(space, kind, system, samples, 2)
        strengths.append(
            SimpleNamespace(distances=distances, tests=compare_distances(distances, 2))
        )
    changes = pd.DataFrame({"cell_type": np.repeat(["a", "b"], 20),
                            "target_gene": [f"G{i}" for i in range(20)] * 2,
                            **{f"{c}{k}": rng.random(40) * 2 - (c == "lfc")
                               for c in ("lfc", "probability") for k in ("", "_absolute", "_null")}})  # fmt: skip
    rows = [
        [run, *row]
        for run, x in (("r1", 0.2), ("r2", 0.7))
        for row in (
            ["ilisi", "overall", "", x],
            ["jaccard", "group", "a", x],
            ["jaccard", "group", "b", 1 - x / 3],
        )
    ]
    table = pd.DataFrame(rows, columns=["embedding", "metric", "level", "group", "value"])
    table["setting"] = table["embedding"].map({"r1": "s2", "r2": "s1"})
    runs = pd.DataFrame({"ilisi": [0.1, 0.5, 0.7], "nmi_fixed": [0.9, 0.4, 0.3],
                         "moran": [0.2, 0.6, 0.1], "setting": ["s", "s", "t"],
                         "weight": [1.0, 2.0, 3.0]}, index=pd.Index(list("xyz"), name="embedding"))  # fmt: skip
    history = {name: pd.DataFrame({name: values}, index=pd.RangeIndex(1, 7, name="epoch"))
               for name, values in (("elbo_train", np.arange(6.0)[::-1]),
                                    ("kl_local_train", np.arange(6.0) ** 2))}  # fmt: skip
    record = pd.DataFrame([[e, t, c, -abs(far_apart(t, c)) / e] for e in (1, 2, 3) for t in "ab" for c in "ab"],
                          columns=["epoch", "target_type", "context_type", "difference"])  # fmt: skip
    genes = pd.DataFrame(
        rng.normal(size=(15, 2)), index=[f"G{i}" for i in range(15)], columns=["a", "b"]
    )
    alike = pd.DataFrame(rng.random((3, 3)), index=list("abc"), columns=list("abc"))
    adata = ad.AnnData(np.zeros((n, 1), np.float32),
                       obs=pd.DataFrame({"kind": kind, "system": system},
                                        index=[f"c{i}" for i in range(n)]),
                       obsm={"one": z[:, :2], "two": z2[:, :2]})  # fmt: skip
    other = adata.copy()
    other.obsm["one"] = z2[:, 2:]
    palette = {"a": "#111111", "b": "#999999"}
    of_settings = {"s": "#111111", "t": "#999999"}
    known, given = list(kind), list(rng.choice(["a", "b"], n))
    frames = {
        "batch_strength": {
            "strength": tuple(strengths), "palette": (None, ["#111111", "#999999"]), "ax": (None, 1)
        },
        "fold_change_scatter": {
            "table": (changes, changes.assign(lfc=-changes["lfc"])), "cell_types": (None, ["b"]),
            "kind": ("", "_null"), "n_genes": (3, 1), "probability": (0.9, 0.2), "n_columns": (4, 1),
            "color": ("#33658a", "#ff0000"), "axes": (None, 2),
        },
        "jaccard_by_type": {
            "table": (table, table.assign(value=table["value"] / 2)), "by": ("embedding", "setting"),
            "scale": (False, True), "sizes": "plots/test_jaccard.py::test_sizes_in_titles", "n_columns": (4, 1),
            "palette": (None, ["#111111", "#999999"]), "axes": (None, 2),
        },
        "label_transfer_heatmap": {
            "known": (known, known[::-1]), "transferred": (given, given[::-1]),
            "annotate": (True, False), "cmap": ("viridis", "magma"), "ax": (None, 1),
        },
        "metric_strips": {
            "runs": (runs, runs.assign(ilisi=[0.2, 0.2, 0.9])), "metrics": (["ilisi"], ["moran"]),
            "by": (None, "setting"), "palette": (None, of_settings, {"by": "setting"}),
            "axes": (None, 1),
        },
        "prior_components": {
            "components": (rng.integers(0, 4, n), rng.integers(0, 4, n)), "labels": (kind, given),
            "systems": (system, system[::-1]), "cmap": ("viridis", "magma"), "axes": (None, 2),
        },
        "prototype_curves": {
            "record": (record, record.assign(difference=record["difference"] * record["epoch"])),
            "target_types": (None, ["b"]), "palette": (None, palette), "n_columns": (4, 1),
            "axes": (None, 2),
        },
        "relevant_genes": {
            "relevance": (genes, -genes), "cell_types": (None, ["b"]), "n_genes": (10, 4),
            "n_columns": (5, 1), "color": ("#33658a", "#ff0000"), "axes": (None, 2),
        },
        "similarity_heatmap": {
            "similarity": (alike, alike.T), "n_best": (2, 1), "cmap": ("viridis_r", "magma"),
            "ax": (None, 1),
        },
        "tradeoff": {
            "runs": (runs, runs.assign(ilisi=[0.2, 0.2, 0.9])), "x": ("ilisi", "moran"),
            "y": ("nmi_fixed", "moran"), "by": (None, "setting"), "color": (None, "weight"),
            "palette": (None, of_settings, {"by": "setting"}),
            "legend": (True, False, {"by": "setting"}), "ax": (None, 1),
        },
        "training_curves": {
            "history": (history, {k: -v for k, v in history.items()}), "keys": (None, ["elbo"]),
            "n_columns": (4, 1), "skip": (0, 3), "axes": (None, 2),
        },
        "umap_panels": {
            "adata": (adata, other), "embeddings": (["one"], ["two"]), "color": (["kind"], ["system"]),
            "titles": (None, {"one": "before"}), "palettes": (None, {"kind": palette}),
            "max_cells": (None, 40), "point_size": (None, 40.0), "seed": (0, 1, {"max_cells": 40}),
            "axes": (None, 1),
        },
    }  # fmt: skip
    drawn = {name: Trial(pairs, on_given(FUNCTIONS[name])) for name, pairs in frames.items()}
    drawn["umap_coordinates"] = Trial({
        "embedding": (z, z2), "n_neighbors": (15, 5), "min_dist": (0.5, 0.01), "seed": (0, 1)
    })  # fmt: skip
    return drawn


def far_apart(first: str, second: str) -> float:
    return 2.0 * ord(first) - ord(second) - 90


@pytest.fixture(scope="module")
def tried():
    yield trials(), {}
    plt.close("all")


@pytest.mark.parametrize(("name", "argument"), arguments_of(FUNCTIONS))
def test_argument_is_felt(tried, name, argument):
    table, seen = tried
    check(FUNCTIONS[name], table[name], argument, seen)


def test_tables_have_no_functions_that_are_gone(tried):
    assert set(tried[0]) == set(FUNCTIONS)
