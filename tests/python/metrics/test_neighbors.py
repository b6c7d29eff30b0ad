import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scsystems.errors import InputError
from scsystems.metrics import nearest_neighbors


def test_exact_and_self_first(cells):
    found = nearest_neighbors(cells.embedding, 20)
    distances = cdist(cells.embedding, cells.embedding)
    expected = np.sort(distances, axis=1)[:, :20]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-4, atol=1e-4)
    assert (found.indices[:, 0] == np.arange(360)).all()
    assert (found.distances[:, 0] == 0).all()
    rows = np.arange(360)[:, None]
    np.testing.assert_allclose(distances[rows, found.indices], expected, rtol=1e-4, atol=1e-4)


def test_coinciding_cells_are_still_first_of_their_own():
    found = nearest_neighbors(np.vstack([np.zeros((8, 2)), np.ones((2, 2))]), 4)
    assert (found.indices[:, 0] == np.arange(10)).all()
    assert all(len(set(row)) == 4 for row in found.indices)


def test_first_and_too_many(cells):
    found = nearest_neighbors(cells.embedding, 10_000)
    assert found.k == found.n_cells == 360
    assert found.first(5).indices.shape == (360, 5)
    assert found.first(1000) is found


@pytest.mark.calls_scanpy
def test_connectivities_equal_scanpys(cells):
    import anndata as ad
    import scanpy as sc

    adata = ad.AnnData(np.zeros((360, 1), np.float32), obsm={"e": cells.embedding})
    sc.pp.neighbors(adata, n_neighbors=15, use_rep="e", transformer="sklearn")
    ours = nearest_neighbors(cells.embedding, 90).first(15).connectivities
    assert abs(ours - adata.obsp["connectivities"]).max() < 1e-3
    assert abs(ours - ours.T).max() < 1e-6


def test_graph_has_no_self_edges(cells):
    graph = nearest_neighbors(cells.embedding, 15).graph
    assert graph.diagonal().sum() == 0
    assert (graph.sum(axis=1) == 14).all()


@pytest.mark.parametrize(("n", "k"), [(2, 2), (10, 1)])
def test_too_few(n, k):
    with pytest.raises(InputError, match="at least 3 cells"):
        nearest_neighbors(np.zeros((n, 2)), k)
