"""Metrics of Series and data frames in different orders are those of arrays in one order."""

import numpy as np
import pandas as pd
import pytest

from scsystems import metrics
from scsystems.errors import InputError
from scsystems.metrics.arrays import check_groups


class Named:
    """The cells of the fixture, with names, every Series in an order of its own."""

    def __init__(self, cells):
        names = pd.Index([f"cell{i}" for i in range(len(cells.labels))])
        self.z = pd.DataFrame(cells.embedding, index=names)
        self.labels = self.series(names, cells.labels, 1)
        self.systems = self.series(names, cells.systems, 2)
        clusters = np.random.default_rng(0).integers(0, 5, len(names))
        self.clusters = self.series(names, clusters, 3)
        self.mask = self.series(names, cells.labels == "a", 4)
        # the type "a" in one system only
        apart = np.where(
            np.asarray(cells.labels) == "a", np.asarray(cells.systems)[0], cells.systems
        )
        self.apart = self.series(names, apart, 5)
        self.names = names

    @staticmethod
    def series(names, values, seed):
        return pd.Series(values, index=names).sample(frac=1, random_state=seed)

    def arrays(self):
        """The same as arrays, all in the order of the embedding."""
        found = Named.__new__(Named)
        for key, value in vars(self).items():
            setattr(found, key, value.loc[self.names].to_numpy() if key != "names" else value)
        return found


CALLS = {
    "kbet": lambda c: metrics.kbet(c.z, c.labels, c.systems),
    "asw_batch": lambda c: metrics.asw_batch(c.z, c.labels, c.systems),
    "asw_signed": lambda c: metrics.asw_signed(c.z, c.labels, c.systems),
    "asw_label": lambda c: metrics.asw_label(c.z, c.labels),
    "silhouettes": lambda c: metrics.silhouettes(c.z, c.labels),
    "isolated_labels": lambda c: metrics.isolated_labels(c.z, c.labels, c.apart),
    "label_transfer": lambda c: metrics.label_transfer(c.z, c.labels, c.systems, k=5).recall,
    "explained_variance": lambda c: metrics.explained_variance(c.z, c.systems),
    "pcr_comparison": lambda c: metrics.pcr_comparison(c.z, c.z * 2, c.systems),
    "ilisi": lambda c: metrics.ilisi(metrics.nearest_neighbors(c.z), c.systems, c.labels),
    "clisi": lambda c: metrics.clisi(metrics.nearest_neighbors(c.z), c.labels),
    "lisi": lambda c: metrics.lisi(metrics.nearest_neighbors(c.z), c.labels),
    "graph_connectivity": lambda c: metrics.graph_connectivity(
        metrics.nearest_neighbors(c.z), c.labels
    ),
    "condition_ilisi": lambda c: metrics.condition_ilisi(c.z, c.systems, c.mask, ~c.mask, k=20),
    "nmi": lambda c: metrics.nmi(c.clusters, c.labels),
    "ari": lambda c: metrics.ari(c.clusters, c.labels),
    "jaccard": lambda c: metrics.jaccard(c.clusters, c.labels),
    "component_shares": lambda c: metrics.component_shares(c.clusters, c.labels),
    "sample_distances": lambda c: metrics.sample_distances(c.z, c.labels, c.systems, c.systems, 5),
    "matched_profiles": lambda c: metrics.matched_profiles(
        c.z, np.asarray(c.z), c.labels, c.systems
    ),
    "cluster_preservation": lambda c: metrics.cluster_preservation(c.clusters, c.labels, c.systems),
}


def same(found, expected):
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, dict):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_cells_are_matched_by_name(cells, name):
    named = Named(cells)
    found, expected = CALLS[name](named), CALLS[name](named.arrays())
    same(found, expected)
    groups = getattr(expected, "groups", None)
    assert groups is None or found.groups == pytest.approx(groups, nan_ok=True)


def test_arrays_stay_in_their_order_and_foreign_cells_are_refused(cells):
    named = Named(cells)
    arrays = named.arrays()
    # the first that has names decides; an array has none
    in_order = arrays.z[named.names.get_indexer(named.labels.index)]
    same(
        metrics.asw_batch(in_order, named.labels, named.systems),
        metrics.asw_batch(named.z, named.labels, named.systems),
    )
    with pytest.raises(InputError, match="labels has no value for 360 of 360 cells"):
        metrics.kbet(named.z, named.labels.rename(lambda n: n + "x"), named.systems)
    with pytest.raises(InputError, match="systems has no value for 1 of 360"):
        metrics.kbet(named.z, named.labels, named.systems.iloc[1:])


@pytest.mark.parametrize(
    "values",
    [
        [3, 1, 3, 2],
        np.array([3.0, 1, 3, 2]),
        pd.array([3, 1, 3, 2], dtype="Int64"),
        pd.Categorical([3.0, 1.0, 3.0, 2.0], categories=[3.0, 2.0, 1.0]),
        ["3", "1", "3", "2"],
        [3, "1", 3.0, 2],
    ],
)
def test_groups_have_the_same_names_and_order_in_every_form(values):
    groups = check_groups(values, 4, "labels")
    assert groups.names == ["1", "2", "3"]
    np.testing.assert_array_equal(groups.codes, [2, 0, 2, 1])
    np.testing.assert_array_equal(groups.sizes, [1, 1, 2])


def test_columns_of_numbers_are_evaluated_like_whole_numbers(adata):
    adata.obs["whole"] = adata.obs["cell_type"].cat.codes.to_numpy() + 1
    adata.obs["fraction"] = adata.obs["whole"].astype(float)
    adata.obsm["z"] = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    options = {"metrics": ["asw_label", "label_transfer"], "min_cells": 5, "verbose": False}
    found, expected = (
        metrics.evaluate(adata, "z", "system", key, **options) for key in ("fraction", "whole")
    )
    pd.testing.assert_frame_equal(found, expected)
    assert {"1", "2", "3"} <= set(found["group"])
    strength = metrics.batch_strength(adata, "system", "fraction", "donor", min_cells=5)
    assert list(strength.asw["label"]) == ["1", "2", "3"]
    np.testing.assert_array_equal(strength.asw["n_cells"], np.bincount(adata.obs["whole"])[1:])
