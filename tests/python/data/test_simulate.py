"""Simulated cells are distributed as they are said to be."""

import numpy as np
import pytest

from scsystems.data.simulate import Design, _sparse_effects, simulate


def test_sparse_effects_have_their_share_sign_and_strength():
    effects = _sparse_effects(np.random.default_rng(0), (100, 2000), 0.06, 2.0)
    some = effects[effects != 0]
    assert len(some) / effects.size == pytest.approx(0.06, rel=0.02)
    assert (some > 0).mean() == pytest.approx(0.8, abs=0.01)
    # gamma with shape 4
    assert np.abs(some).mean() == pytest.approx(2.0, rel=0.02)
    assert np.abs(some).std() == pytest.approx(1.0, rel=0.03)


def log_means(adata, *columns):
    """Log of the mean share of every gene in the groups of some columns."""
    shares = adata.X.toarray() / adata.X.sum(1)
    keys = adata.obs[list(columns)].astype(str).agg("/".join, axis=1)
    return {key: np.log(np.asarray(shares[keys == key]).mean(0)) for key in np.unique(keys)}


def test_the_parts_of_a_log_mean_have_their_sizes():
    design = {"n_cells": 1600, "n_genes": 600, "n_systems": 2, "n_types": 2, "own_types": False}
    still = {"donor_effect": 0.0, "depth": 1e6, "rare_fraction": 0.4}
    adata = simulate(Design(**design, **still, system_effect=1.0, seed=0))
    found = log_means(adata, "cell_type", "system")

    def spread(values):
        low, high = np.quantile(values, [0.16, 0.84])
        return (high - low) / 2

    # a system's effect on a gene, and a quarter of it in each type: two of each in the difference
    between = [found[f"{t}/species1"] - found[f"{t}/species2"] for t in ("type1", "rare")]
    for change in between:
        assert spread(change) == pytest.approx(np.sqrt(2 * (1 + 0.25**2)), rel=0.15)
    # ... of which the systems' cancels between types
    assert spread(between[0] - between[1]) == pytest.approx(np.sqrt(4 * 0.25**2), rel=0.15)
    # the baseline, and a system's effects, once
    assert spread(found["type1/species1"]) == pytest.approx(np.sqrt(1.5**2 + 1 + 0.25**2), rel=0.15)
    quiet = simulate(Design(**design, **still, system_effect=0.0, seed=0))
    found = log_means(quiet, "cell_type", "system")
    # without the systems' effects only programs are left: of 6 % of the genes in either type
    change = np.abs(found["type1/species1"] - found["rare/species1"])
    assert (change > 0.7).mean() == pytest.approx(2 * 0.06 * 0.95, rel=0.35)
    assert change[change > 0.7].mean() == pytest.approx(2.0, rel=0.25)


def test_donors_differ_as_much_as_is_asked():
    shape = {"n_cells": 1600, "n_genes": 600, "n_types": 2, "own_types": False, "depth": 1e6}
    adata = simulate(Design(**shape, donor_effect=0.5, system_effect=0.0, n_donors=2, seed=0))
    found = log_means(adata[adata.obs["cell_type"] == "type1"], "donor")
    low, high = np.quantile(found["species1_donor1"] - found["species1_donor2"], [0.16, 0.84])
    assert (high - low) / 2 == pytest.approx(np.sqrt(2) * 0.5, rel=0.15)
