import numpy as np
import pytest
import torch
from scipy import sparse, special

from scsystems.data.counts import ResidentCounts


def counts():
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (9, 6)).astype(np.float64)
    x[4] = 0
    return x


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_a_minibatch_holds_the_nonzero_counts_of_its_cells(kind):
    x, index = counts(), torch.tensor([7, 4, 0, 8])
    batch = np.arange(9) % 3
    found, codes, at = ResidentCounts(kind(x), batch, torch.float64).gather(index)
    dense = np.zeros((4, 6))
    dense[found.row.numpy(), found.column.numpy()] = found.x.numpy()
    np.testing.assert_array_equal(dense, x[index])
    np.testing.assert_array_equal(dense.ravel()[found.position()], found.x)
    np.testing.assert_array_equal(np.diff(found.start), (x[index] > 0).sum(1))
    np.testing.assert_array_equal(found.total, x[index].sum(1))
    np.testing.assert_allclose(found.log_factorials, special.gammaln(x[index] + 1).sum(1))
    np.testing.assert_array_equal(codes, batch[index])
    assert torch.equal(at, index)
    assert (found.n_cells, found.n_genes) == (4, 6)


def test_stored_zeros_are_left_out_and_the_source_stays():
    x = sparse.csr_matrix(counts().astype(np.float32))
    x.data[:3] = 0
    stored = x.nnz
    found, _, _ = ResidentCounts(x, np.zeros(9, int)).gather(torch.arange(9))
    assert found.x.all()
    assert len(found.x) == stored - 3
    assert x.nnz == stored
