import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from scsystems.data.blocks import BlockCells
from scsystems.data.chunks import Chunks, cut, cut_blocks, dealt, draw_order
from scsystems.data.disk import DiskMatrix
from scsystems.data.resident import CellArrays
from scsystems.data.source import Shard
from scsystems.errors import StoreError

CPU = torch.device("cpu")
N, G = 1000, 12


@pytest.fixture
def arrays(tmp_path):
    """Cells on disk, sorted by system, and the same expression in memory."""
    rng = np.random.default_rng(0)
    x = rng.poisson(0.5, (N, G)).astype(np.float32)
    x[:, 0] = np.arange(N)  # tells the cells apart
    AnnData(sparse.csr_matrix(x)).write_h5ad(tmp_path / "cells.h5ad")
    system = np.repeat([0, 1], [900, 100])
    donor = rng.integers(0, 3, (N, 1))
    matrix = DiskMatrix.open(tmp_path / "cells.h5ad")
    score, label = rng.normal(size=(N, 1)).astype("f4"), rng.integers(-1, 3, N)
    return CellArrays(matrix, system, donor, score, label=label), x


def source(arrays, n_block=200, chunk=10):
    return BlockCells(arrays, CPU, block_bytes=4 * G * n_block, chunk=chunk)


def epoch(cells, batch_size=32, seed=0):
    """The minibatches of an epoch, copied, block by block."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [[None if t is None else t.clone() for t in cells.gather(i)] for i in block]
        for block in cells.epoch(batch_size, generator)
    ]


def test_every_cell_is_in_an_epoch_with_all_that_belongs_to_it(arrays):
    arrays, x = arrays
    blocks = epoch(source(arrays))
    assert len(blocks) > 4
    sizes = {len(batch[0]) for block in blocks for batch in block}
    assert len(sizes) == 1
    seen = Counter()
    for block in blocks:
        for values, system, donor, score, weight, index, label in block:
            at = index.numpy()
            seen.update(at.tolist())
            np.testing.assert_array_equal(values, x[at])
            np.testing.assert_array_equal(system, arrays.system[at])
            np.testing.assert_array_equal(donor, arrays.categorical[at])
            np.testing.assert_array_equal(score, arrays.continuous[at])
            assert weight is None
            np.testing.assert_array_equal(label, arrays.label[at])
    assert set(seen) == set(range(N))
    # no more twice than what fills minibatches up
    assert sum(seen.values()) - N < len(blocks) * next(iter(sizes))


def test_same_seed_same_epoch_and_the_next_is_another(arrays):
    arrays, _ = arrays
    index = [
        [batch[5].tolist() for block in epoch(source(arrays), seed=s) for batch in block]
        for s in (0, 0, 1)
    ]
    assert index[0] == index[1]
    assert index[0] != index[2]
    cells, generator = source(arrays), torch.Generator().manual_seed(0)
    two = [[b.tolist() for b in cells.epoch(32, generator)] for _ in range(2)]
    assert two[0] != two[1]


def test_every_block_has_all_systems_in_proportion(arrays):
    arrays, _ = arrays
    for block in epoch(source(arrays, n_block=200)):
        system = torch.cat([batch[1] for batch in block])
        assert 0.05 < system.float().mean() < 0.16


def test_a_subset_of_the_cells(arrays):
    arrays, x = arrays
    rows = np.flatnonzero(np.random.default_rng(1).random(N) < 0.3)
    cells = source(arrays.take(rows), n_block=60)
    index = torch.cat([batch[5] for block in epoch(cells) for batch in block])
    assert set(index.tolist()) == set(range(len(rows)))
    in_order = [cells.gather(i) for i in cells.in_order(7)]
    np.testing.assert_array_equal(torch.cat([b.x for b in in_order]), x[rows])
    np.testing.assert_array_equal(torch.cat([b.index for b in in_order]), range(len(rows)))


@pytest.mark.parametrize("n_cells", [2, 3, 63, 64, 65, 999])
@pytest.mark.parametrize("n_block", [1, 50, 5000])
def test_no_minibatch_is_a_single_cell(arrays, n_cells, n_block):
    arrays, _ = arrays
    blocks = epoch(source(arrays.take(np.arange(n_cells)), n_block=n_block), batch_size=16)
    sizes = {len(batch[0]) for block in blocks for batch in block}
    assert len(sizes) == 1
    assert 2 <= sizes.pop() <= 16
    index = {int(i) for block in blocks for batch in block for i in batch[5]}
    assert index == set(range(n_cells))


def test_order_of_chunks_is_spread_over_systems():
    chunks = cut(np.repeat([0, 1, 2], [800, 150, 50]), 10)
    order = draw_order(chunks, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    for stretch in np.split(chunks.system[order], 5):
        counts = np.bincount(stretch, minlength=3)
        # of 20 chunks 16, 3 and 1 in the mean; a place is known to within one chunk of its system
        assert (np.abs(counts - [16, 3, 1]) <= 2).all()


def test_blocks_are_cut_to_size():
    chunks = cut(np.zeros(25, int), 10)
    blocks = cut_blocks(chunks, np.array([2, 0, 1]), [8, 8, 8, 4])
    assert blocks == [[(20, 25), (0, 3)], [(3, 10), (10, 11)], [(11, 19)], [(19, 20)]]


@pytest.mark.parametrize(("n_cells", "n_block"), [(1000, 100), (1000, 5000), (997, 60), (11, 2)])
@pytest.mark.parametrize("n", [2, 3])
def test_processes_share_an_epoch(arrays, n_cells, n_block, n):
    arrays, _ = arrays
    of_each = []
    for number in range(n):
        cells = source(arrays.take(np.arange(n_cells)), n_block=n_block)
        generator = torch.Generator().manual_seed(4)
        of_each.append(
            [
                [cells.gather(i).index.tolist() for i in block]
                for block in cells.epoch(16, generator, Shard(number, n))
            ]
        )
    # blocks and minibatches of the same sizes, a step of one for a step of the others
    assert len({tuple((len(block), len(block[0])) for block in own) for own in of_each}) == 1
    assert all(len(minibatch) > 1 for own in of_each for block in own for minibatch in block)
    sets = [{i for block in own for m in block for i in m} for own in of_each]
    assert set.union(*sets) == set(range(n_cells))
    # each reads its own part only, with no more than a cell of another's
    assert {len(own) for own in sets} == {-(-n_cells // n)}
    assert len(set.intersection(*sets[:2])) <= 1
    in_order = [
        [cells.gather(i).index.tolist() for i in cells.in_order(7, Shard(number, n))]
        for number in range(n)
    ]
    assert [i for own in in_order for m in own for i in m] == list(range(n_cells))


def test_cells_of_chunks_from_one_place_to_another():
    chunks = Chunks(np.array([0, 10, 20]), np.array([10, 20, 25]), np.array([0, 1, 2]))
    # in this order: 20 to 25, 0 to 10, 10 to 20
    part = dealt(chunks, np.array([2, 0, 1]), slice(3, 16))
    assert [a.tolist() for a in part] == [[23, 0, 10], [25, 10, 11], [2, 0, 1]]


def test_a_chunk_that_cannot_be_read_ends_the_epoch(arrays, monkeypatch):
    arrays, _ = arrays
    whole = DiskMatrix._read

    def damaged(self, start, stop):
        if start <= 500 < stop:
            raise OSError("bad sector")
        return whole(self, start, stop)

    monkeypatch.setattr(DiskMatrix, "_read", damaged)
    with pytest.raises(StoreError, match=r"cells \S+ to \S+ .*bad sector"):
        epoch(source(arrays))
    assert not [t for t in threading.enumerate() if t.name.startswith("scsystems-read")]


def test_an_epoch_that_is_given_up_leaves_no_thread(arrays):
    arrays, _ = arrays
    blocks = source(arrays).epoch(32, torch.Generator().manual_seed(0))
    next(blocks)
    blocks.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("scsystems-read")]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_cells_in_memory_come_in_blocks_too(arrays, form):
    """As they do where a GPU has no room for them."""
    stored, x = arrays
    cells = source(replace(stored, x=form(x)))
    blocks = epoch(cells)
    assert len(blocks) > 4
    seen = Counter()
    for values, system, donor, _, _, index, _ in (batch for block in blocks for batch in block):
        at = index.numpy()
        seen.update(at.tolist())
        np.testing.assert_array_equal(values, x[at])
        np.testing.assert_array_equal(system, stored.system[at])
        np.testing.assert_array_equal(donor, stored.categorical[at])
    assert set(seen) == set(range(N))
    assert seen.total() < 1.1 * N
    in_order = [cells.gather(i).index for i in cells.in_order(32)]
    np.testing.assert_array_equal(torch.cat(in_order), np.arange(N))
    assert not torch.equal(blocks[0][0][0], epoch(cells, seed=1)[0][0][0])
