"""The genes ScSpecies trains on, against the same steps by scanpy, whatever the counts are kept in."""

import inspect

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import scsystems as scs
from scsystems.data import datasets
from scsystems.data.species_genes import species_genes
from scsystems.errors import InputError


@pytest.fixture(scope="module")
def counts():
    cells = datasets.simulated_by_species(n_cells=300, n_genes=400, n_types=3, depth=600, seed=3)
    return cells[0]["species1"]


def by_hand(adata, n, min_cells=3, batch_key=None):
    part = adata[:, np.asarray((adata.X > 0).sum(0)).ravel() >= min_cells].copy()
    sc.pp.normalize_total(part, target_sum=1e4)
    sc.pp.log1p(part)
    sc.pp.highly_variable_genes(part, n_top_genes=n, flavor="cell_ranger", batch_key=batch_key)
    return list(part.var_names[part.var["highly_variable"]])


@pytest.mark.parametrize("batch_key", [None, "donor"])
@pytest.mark.parametrize("min_cells", [3, 40])
def test_genes_are_those_of_scanpy(counts, batch_key, min_cells):
    found = list(species_genes("one", counts, 100, min_cells, batch_key=batch_key))
    assert found == by_hand(counts, 100, min_cells, batch_key)
    assert len(found) == 100


def test_it_does_not_matter_what_holds_the_counts(counts):
    expected = list(species_genes("one", counts, 100))
    for matrix in (counts.X.toarray(), sparse.csc_matrix(counts.X), counts.X.astype(np.int64)):
        assert list(species_genes("one", AnnData(matrix, var=counts.var), 100)) == expected
    layered = AnnData(np.zeros(counts.shape), var=counts.var, layers={"counts": counts.X})
    assert list(species_genes("one", layered, 100, layer="counts")) == expected
    # cells without counts have no say
    empty = sparse.csr_matrix((7, counts.n_vars))
    more = AnnData(sparse.vstack([counts.X, empty], format="csr"), var=counts.var)
    assert list(species_genes("one", more, 100)) == expected


def test_no_number_or_a_large_one_takes_all_genes(counts):
    for n in (None, counts.n_vars, 10**9):
        assert species_genes("one", counts, n) is counts.var_names
    few = np.asarray((counts.X > 0).sum(0)).ravel() >= 40
    assert list(species_genes("one", counts, counts.n_vars - 1, 40)) == list(counts.var_names[few])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_top_genes": 0}, "n_top_genes=0"),
        ({"n_top_genes": 2.5}, "n_top_genes=2.5"),
        ({"n_top_genes": "many"}, "n_top_genes='many'"),
        ({"n_top_genes": 9, "min_cells": 0}, "min_cells=0"),
        ({"n_top_genes": 9, "min_cells": 10_000}, "no gene is in at least min_cells=10000"),
        ({"n_top_genes": 9, "batch_key": "nothing"}, "nothing"),
        ({"n_top_genes": 9, "layer": "nothing"}, "nothing"),
    ],
)
def test_bad_arguments(counts, options, message):
    with pytest.raises(InputError, match=message):
        species_genes("one", counts, **options)


def test_what_are_no_counts_is_refused(counts):
    log = AnnData(counts.X.log1p(), obs=counts.obs, var=counts.var)
    with pytest.raises(InputError, match=r"one: .*counts"):
        species_genes("one", log, 100)


def test_the_defaults_are_the_models():
    ours = inspect.signature(species_genes).parameters
    for function in (scs.ScSpecies.__init__, scs.ScSpecies.add_target):
        for name in ("n_top_genes", "min_cells"):
            assert inspect.signature(function).parameters[name].default == ours[name].default


def test_an_index_is_as_good_as_any(counts):
    """Names of genes that are numbers, as text."""
    named = AnnData(counts.X, var=pd.DataFrame(index=[str(i) for i in range(counts.n_vars)]))
    at = counts.var_names.get_indexer(species_genes("one", counts, 100))
    assert list(species_genes("one", named, 100)) == [str(i) for i in at]
