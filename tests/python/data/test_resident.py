import numpy as np
import pytest
import torch
from scipy import sparse

from scsystems.data import resident as minibatches
from scsystems.data import room
from scsystems.data.counts import ResidentCounts
from scsystems.data.resident import CellArrays, ResidentCells, iterate
from scsystems.data.source import Shard, epoch_schedule

CPU = torch.device("cpu")


def cells(n=50, form=sparse.csr_matrix):
    rng = np.random.default_rng(0)
    x = rng.poisson(0.5, (n, 7)).astype(np.float32)
    return CellArrays(
        form(x),
        rng.integers(0, 2, n),
        rng.integers(0, 3, (n, 2)),
        rng.normal(size=(n, 1)).astype("f4"),
        None,
    ), x


def counts(n):
    return cells(n)[1], np.zeros(n, np.int64)


@pytest.mark.parametrize("n_cells", [2, 3, 127, 128, 129, 257, 1000])
@pytest.mark.parametrize("batch_size", [2, 128])
def test_every_cell_every_epoch_and_never_a_single_cell(n_cells, batch_size):
    schedule = epoch_schedule(n_cells, batch_size, torch.Generator().manual_seed(0), CPU)
    assert set(schedule.flatten().tolist()) == set(range(n_cells))
    assert 2 <= schedule.shape[1] <= batch_size
    assert schedule.numel() - n_cells < len(schedule)


@pytest.mark.parametrize("n_cells", [4, 7, 129, 1000])
@pytest.mark.parametrize("n", [2, 3])
def test_processes_share_a_schedule(n_cells, n):
    own = [
        epoch_schedule(n_cells, 16, torch.Generator().manual_seed(0), CPU, Shard(number, n))
        for number in range(n)
    ]
    assert len({tuple(s.shape) for s in own}) == 1
    assert own[0].shape[1] >= 2
    sets = [set(s.flatten().tolist()) for s in own]
    assert set.union(*sets) == set(range(n_cells))
    assert {len(s) for s in sets} == {-(-n_cells // n)}
    for cells_ in (ResidentCells(cells(n_cells)[0], CPU), ResidentCounts(*counts(n_cells))):
        parts = [i for k in range(n) for i in cells_.in_order(3, Shard(k, n))]
        assert torch.cat(parts).tolist() == list(range(n_cells))
        for number in range(n):
            generator = torch.Generator().manual_seed(0)
            (block,) = cells_.epoch(16, generator, Shard(number, n))
            assert torch.equal(block, own[number])


def test_schedule_follows_the_generator():
    one, two, other = (
        epoch_schedule(99, 10, torch.Generator().manual_seed(s), CPU) for s in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("storage", ["dense", "sparse", "auto"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_gather(storage, form):
    arrays, x = cells(form=form)
    resident = ResidentCells(arrays, CPU, storage)
    at = torch.tensor([4, 0, 49, 4])
    batch = resident.gather(at)
    np.testing.assert_array_equal(batch.x, x[at])
    assert batch.x.dtype == torch.float32
    np.testing.assert_array_equal(batch.system, arrays.system[at])
    np.testing.assert_array_equal(batch.categorical, arrays.categorical[at])
    np.testing.assert_array_equal(batch.continuous, arrays.continuous[at])
    assert batch.weight is None


def test_index_arithmetic_of_the_gpu_gather_on_the_cpu():
    """The sparse gather of a GPU runs anywhere; only its choice depends on the device."""
    arrays, x = cells()
    rows = minibatches._SparseRows(arrays.x, torch.device("meta"))
    csr = arrays.x
    rows.start, rows.columns = torch.tensor(csr.indptr).long(), torch.tensor(csr.indices)
    rows.values, rows.ramp = torch.tensor(csr.data), torch.arange(int(np.diff(csr.indptr).max()))
    at = torch.tensor([4, 0, 49, 4])
    np.testing.assert_array_equal(rows.gather(at), x[at])


def test_auto_storage_stays_sparse_when_dense_would_be_large(monkeypatch):
    arrays, _ = cells()
    assert ResidentCells(arrays, CPU).storage == "dense"
    monkeypatch.setattr(room, "CPU_DENSE_LIMIT", 10)
    assert ResidentCells(arrays, CPU).storage == "sparse"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_iterate_keeps_the_order(form):
    arrays, x = cells(form=form)
    chunks = list(iterate(arrays, CPU, 16))
    np.testing.assert_array_equal(torch.cat([c.x for c in chunks]), x)
    np.testing.assert_array_equal(torch.cat([c.system for c in chunks]), arrays.system)
    assert [len(c.x) for c in chunks] == [16, 16, 16, 2]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_take(form):
    arrays, x = cells(form=form)
    taken = arrays.take(np.array([3, 1]))
    got = taken.x.toarray() if sparse.issparse(taken.x) else taken.x
    np.testing.assert_array_equal(got, x[[3, 1]])
    np.testing.assert_array_equal(taken.categorical, arrays.categorical[[3, 1]])
    assert taken.weight is None
