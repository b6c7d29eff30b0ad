"""Small data that every test can make for itself."""

from __future__ import annotations

import os

os.environ.setdefault("MPLBACKEND", "Agg")

import anndata as ad
import numba.np.ufunc.parallel as numba_threads
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """One thread for every test."""
    torch.set_num_threads(1)
    # numba sets the number of the whole process when it starts its threads: as if it had not yet
    numba_threads._is_initialized = False


@pytest.fixture(autouse=True)
def threads_stay(request):
    """What the package does leaves torch's number of threads alone."""
    yield
    if "calls_scanpy" not in request.keywords:
        assert torch.get_num_threads() == 1


def make_adata(n_cells=240, n_genes=40, systems=("human", "mouse"), seed=0, dense=False):
    """Log-normalized cells of three types in several systems, with donors and a score."""
    rng = np.random.default_rng(seed)
    system = np.arange(n_cells) % len(systems)
    kind = rng.integers(0, 3, n_cells)
    rate = (
        np.exp(rng.normal(0, 1, (3, n_genes)))[kind]
        * np.exp(rng.normal(0, 0.7, (len(systems), n_genes)))[system]
    )
    counts = rng.poisson(rate * 2)
    x = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e3).astype(np.float32)
    obs = pd.DataFrame(
        {
            "system": pd.Categorical(np.array(systems)[system]),
            "donor": pd.Categorical([f"{systems[s]}{i % 3}" for i, s in enumerate(system)]),
            "score": rng.normal(5, 2, n_cells),
            "cell_type": pd.Categorical(np.array(["a", "b", "c"])[kind]),
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    adata = ad.AnnData(x if dense else sparse.csr_matrix(x), obs=obs, var=var)
    adata.layers["counts"] = sparse.csr_matrix(counts.astype(np.float32))
    return adata


@pytest.fixture
def adata():
    """Two systems."""
    return make_adata()


@pytest.fixture(scope="session")
def make():
    """The maker itself."""
    return make_adata
