"""Variable genes of one system."""

import pytest
import scanpy as sc

from scsystems.data.datasets import simulated
from scsystems.data.features import variable_genes


@pytest.mark.calls_scanpy
@pytest.mark.parametrize("flavor", ["cell_ranger", "seurat"])
@pytest.mark.parametrize("batch_key", [None, "donor"])
def test_genes_are_those_that_scanpy_marks_in_the_data_itself(flavor, batch_key):
    """Its table, which is what we read, came in another order before scanpy 1.10.3."""
    raw = simulated(n_cells=400, n_genes=300, seed=0)
    part = raw[raw.obs["system"] == "species1"].copy()
    sc.pp.normalize_total(part, target_sum=1e4)
    sc.pp.log1p(part)
    found = variable_genes(part, "species1", batch_key, 90, flavor, 10)
    sc.pp.highly_variable_genes(part, n_top_genes=90, flavor=flavor, batch_key=batch_key)
    assert found.tolist() == part.var_names[part.var["highly_variable"]].tolist()
