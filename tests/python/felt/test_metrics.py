"""Every argument of the metrics is felt."""

from functools import cache
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from felt import Trial, arguments_of, check, public

import scsystems as scs
from scsystems import metrics as m

FUNCTIONS = public(m)


@cache
def cells():
    """Three types in two systems with two samples each, an embedding and expression that follow them."""
    rng = np.random.default_rng(0)
    n = 300
    c = SimpleNamespace()
    c.labels = np.repeat(["a", "b", "c"], [130, 110, 60])
    c.systems = rng.choice(["h", "m"], n, p=[0.6, 0.4])
    c.samples = np.char.add(c.systems, rng.choice(["1", "2", "3"], n))
    center = rng.normal(0, 0.8, (3, 5))[np.unique(c.labels, return_inverse=True)[1]]
    shift = 0.7 * (c.systems == "m")[:, None] * np.ones(5)
    c.z, c.other_z = (center + 0.3 * shift + rng.normal(0, 1, (n, 5)) for _ in range(2))
    c.x, c.other_x = (
        np.log1p(rng.poisson(np.exp((center + 2 * shift) @ rng.normal(0, 0.4, (5, 60))))).astype(
            np.float32
        )
        for _ in range(2)
    )
    c.near, c.other_near = m.nearest_neighbors(c.z, 60), m.nearest_neighbors(c.other_z, 60)
    c.permuted = rng.permutation(c.labels)
    c.clusters, c.other_clusters = (rng.permutation(c.labels) for _ in range(2))
    c.clusters[:150], c.other_clusters[:120] = c.labels[:150], c.labels[:120]
    c.other_systems = np.where(np.char.endswith(c.samples, "1"), "h", "m")
    c.other_samples = np.char.add(c.systems, rng.choice(["1", "2"], n))
    c.weights = c.near.connectivities
    c.noise = rng.normal(0, 1, (n, 60)).clip(0).astype(np.float32)
    c.masks = [rng.random(n) < 0.6 for _ in range(3)]
    obs = pd.DataFrame({"system": c.systems, "other": c.other_systems, "label": c.labels,
                        "permuted": c.permuted, "sample": c.samples,
                        "other_sample": c.other_samples},
                       index=[f"c{i}" for i in range(n)])  # fmt: skip
    c.adata = ad.AnnData(c.x, obs=obs, obsm={"z": c.z, "other": c.other_z})
    c.adata.layers["other"] = c.other_x
    c.other_adata = ad.AnnData(c.other_x, obs=obs.iloc[::-1].set_axis(obs.index), obsm={
        "z": c.other_z, "other": c.z}, layers={"other": c.x})  # fmt: skip
    return c


def shown(function):
    """What a progress bar shows counts as well."""

    def call(**arguments):
        bars = []

        def tqdm(*args, disable, **more):
            bars.append(disable)
            return original(*args, disable=True, **more)

        module = scs.metrics.evaluate.__globals__
        original = module["tqdm"]
        module["tqdm"] = tqdm
        try:
            return function(**arguments), bars
        finally:
            module["tqdm"] = original

    return call


def trials(c) -> dict[str, Trial]:
    labels, systems = (c.labels, c.permuted), (c.systems, c.other_systems)
    z, x, near = (c.z, c.other_z), (c.x, c.other_x), (c.near, c.other_near)
    clusters, samples = (c.clusters, c.other_clusters), (c.samples, c.other_samples)
    adata = (c.adata, c.other_adata)
    widths = (None, m.silhouettes(c.other_z, c.labels))
    distances = m.sample_distances(c.z, c.labels, c.systems, c.samples, 5)
    moved = distances.assign(distance=distances["distance"] * (1 + (distances["kind"] == "within")))
    table = m.evaluate(c.adata, ["z", "other"], "system", "label", metrics=["ilisi", "nmi"],
                       verbose=False)  # fmt: skip
    own = {n: np.where(c.labels == n, c.systems, "other") for n in "ab"}
    components, other = (m.prior_component(e, means, np.ones((4, 5)))
                         for e, means in ((c.z, c.z[:4]), (c.z, c.z[-4:])))  # fmt: skip
    reference, other_reference = (
        m.moran_reference(c.x, c.labels, s, min_cells=15, cutoff=0.02) for s in samples
    )
    scores = pd.DataFrame([["z", name, "batch", "overall", "", 0.5] for name in m.METRICS],
                          columns=list(table))  # fmt: skip
    of_evaluate = {
        "adata": adata, "embeddings": (["z"], ["other"]), "system_key": ("system", "other"),
        "label_key": ("label", "permuted"), "batch_key": (None, "sample", {"metrics": ["moran"]}),
        "metrics": (["ilisi", "label_transfer"], ["clisi"]),
        "layer": (None, "other", {"metrics": ["pcr"]}),
        "unintegrated": (None, "other", {"metrics": ["pcr"]}),
        "k": (25, 5), "min_cells": (20, 30),
        "moran_min_cells": (20, 45, {"metrics": ["moran"], "batch_key": None}),
        "max_cells": (None, 150), "seed": (0, 1, {"max_cells": 150, "metrics": ["ilisi"]}), "verbose": (False, True),
    }  # fmt: skip
    return {
        "ari": Trial({"clusters": clusters, "labels": labels}),
        "nmi": Trial({"clusters": clusters, "labels": labels}),
        "jaccard": Trial({"clusters": clusters, "labels": labels}),
        "name_clusters": Trial({"clusters": clusters, "labels": labels}),
        "asw_batch": Trial({"embedding": z, "labels": labels, "systems": systems}),
        "asw_signed": Trial({"embedding": z, "labels": labels, "systems": systems}),
        "asw_label": Trial({"embedding": z, "labels": labels, "widths": widths}),
        "isolated_labels": Trial({
            "embedding": z, "labels": labels, "widths": widths,
            "systems": (own["a"], own["b"]),
        }),
        "batch_strength": Trial({
            "adata": adata, "system_key": ("system", "other"), "label_key": ("label", "permuted"),
            "sample_key": ("sample", "other_sample"), "embedding": (None, "z"),
            "layer": (None, "other"), "min_cells": (5, 25), "min_samples": (2, 3, {"sample_key": "other_sample"}),
            "max_cells": (None, 150), "seed": (0, 1, {"max_cells": 150}),
        }),
        "best_nmi_ari": Trial({
            "clusterings": ({1.0: c.clusters}, {1.0: c.other_clusters}), "labels": labels
        }),
        "clisi": Trial({"neighbors": near, "labels": labels, "k": (60, 20)}),
        "lisi": Trial({"neighbors": near, "groups": systems, "k": (60, 20)}),
        "ilisi": Trial({
            "neighbors": near, "systems": systems, "labels": (None, c.labels), "k": (60, 20)
        }),
        "condition_ilisi": Trial({
            "embedding": z, "systems": systems, "k": (30, 10),
            "similar": (c.masks[0], c.masks[1]), "dissimilar": (c.masks[1], c.masks[2]),
        }),
        "cluster_preservation": Trial({
            "clusters": clusters, "before": labels, "samples": samples
        }),
        "clusters_before": Trial({
            "expression": x, "samples": systems, "seed": (0, 3, {"expression": c.noise}),
        }),
        "compare_distances": Trial({"distances": (distances, moved), "min_samples": (2, 4)}),
        "component_shares": Trial({
            "components": (components, other), "groups": labels, "n_components": (None, 9)
        }),
        "evaluate": Trial(of_evaluate, shown(m.evaluate)),
        "explained_variance": Trial({"embedding": z, "groups": systems}),
        "graph_connectivity": Trial({"neighbors": (c.near.first(3), c.other_near.first(3)), "labels": labels}),
        "integrated_scores": Trial({"table": (scores, scores.assign(value=scores["value"] / 2))}),
        "summarize": Trial({
            "table": (table, table.assign(value=table["value"] / 2)), "level": ("overall", "macro")
        }),
        "kbet": Trial({
            "embedding": z, "labels": labels, "systems": systems, "alpha": (0.05, 0.6)
        }),
        "label_transfer": Trial({
            "embedding": z, "labels": labels, "systems": systems, "k": (25, 3),
            "min_cells": (10, 30),
            "all_references": (False, True, {"min_cells": 30, "embedding": c.noise}),
        }),
        "leiden": Trial({"neighbors": near, "resolutions": ((2.0,), (0.5,)), "seed": (0, 1)}),
        "matched_profiles": Trial({
            "embedding": z, "expression": x, "before": labels, "systems": systems, "k": (25, 5)
        }),
        "moran_preservation": Trial({
            "reference": (reference, other_reference), "expression": x, "embedding": z
        }),
        "moran_reference": Trial({
            "expression": x, "labels": labels, "samples": samples, "min_cells": (15, 20),
            "min_fraction": (0.1, 0.6), "cutoff": (0.02, 0.05), "seed": (0, 1),
        }),
        "morans_i": Trial({"weights": (c.weights, c.other_near.connectivities), "values": x}),
        "nearest_neighbors": Trial({"embedding": z, "k": (10, 5)}),
        "pcr_comparison": Trial({
            "before": (c.x, c.other_x), "after": z, "systems": systems
        }),
        "principal_components": Trial({
            "matrix": x, "n_components": (5, 3), "scale": (True, False), "seed": (0, 1)
        }),
        "prior_component": Trial({
            "embedding": z, "means": (c.z[:4], c.z[-4:]),
            "variances": (np.ones((4, 5)), np.full((4, 5), 9.0) ** np.arange(4)[:, None]),
            "weights": (None, np.array([0.001, 0.001, 0.001, 0.997])),
        }),
        "sample_distances": Trial({
            "embedding": z, "labels": labels, "systems": systems, "samples": samples,
            "min_cells": (5, 20),
        }),
        "silhouettes": Trial({
            "embedding": z, "groups": labels, "block": "metrics/test_silhouette.py::test_equals_scikit_learn",
        }),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tried():
    return trials(cells()), {}


@pytest.mark.parametrize(("name", "argument"), arguments_of(FUNCTIONS))
def test_argument_is_felt(tried, name, argument):
    table, seen = tried
    check(FUNCTIONS[name], table[name], argument, seen)


def test_tables_have_no_functions_that_are_gone(tried):
    assert set(tried[0]) == set(FUNCTIONS)
