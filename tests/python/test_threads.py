import numpy as np
import pytest
import torch

import scsystems as scs
from scsystems.threads import torch_threads_kept


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_number_is_put_back_even_after_an_error(one_thread):
    with torch_threads_kept():
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 1

    @torch_threads_kept()
    def fail():
        torch.set_num_threads(2)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == 1


def test_choosing_genes_components_and_umap_leave_torch_alone(one_thread, make):
    adata = make(200, 60)
    scs.pp.select_features(adata, system_key="system", n_top_genes=20)
    scs.metrics.principal_components(adata.X, n_components=5)
    scs.pl.umap_coordinates(np.random.default_rng(0).normal(size=(60, 5)))
    assert torch.get_num_threads() == 1
