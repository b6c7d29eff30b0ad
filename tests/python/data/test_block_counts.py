"""Counts on disk come to training as those in memory do."""

import dataclasses

import numpy as np
import pytest
import torch

from scsystems.data import blocks
from scsystems.data.block_counts import BlockCounts, StoredCells
from scsystems.data.counts import ResidentCounts
from scsystems.data.disk import DiskMatrix
from scsystems.data.resident import CellArrays, ResidentCells

CPU = torch.device("cpu")


@pytest.fixture
def cells(adata, tmp_path, monkeypatch):
    """Counts on disk, in blocks of a hundred cells."""
    adata.X = adata.layers["counts"]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * adata.n_vars * 100)
    monkeypatch.setattr(blocks, "CHUNK", 16)
    x = DiskMatrix.open(tmp_path / "cells.h5ad")[:, np.arange(3, 30)]
    batch = adata.obs["donor"].cat.codes.to_numpy(np.int64)
    return CellArrays(x, batch, batch[:, None])


def test_minibatches_are_those_of_memory_and_every_cell_comes(cells):
    source = BlockCounts(cells, CPU)
    whole = ResidentCounts(cells.x[:], cells.categorical[:, 0])
    seen, n_blocks = [], 0
    for block in source.epoch(20, torch.Generator().manual_seed(1)):
        n_blocks += 1
        for indices in block:
            found = source.gather(indices)
            expected = whole.gather(found.index)
            for a, b in zip(found.counts, expected.counts, strict=True):
                assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            assert torch.equal(found.batch, expected.batch)
            seen += found.index.tolist()
    assert n_blocks > 1
    assert set(seen) == set(range(len(cells)))
    in_order = [source.gather(indices).index for indices in source.in_order(32)]
    assert torch.equal(torch.cat(in_order), torch.arange(len(cells)))


def test_a_block_has_to_be_read_first(cells):
    with pytest.raises(RuntimeError, match="no block"):
        BlockCounts(cells, CPU).gather(torch.arange(3))


def test_counts_are_made_dense(cells):
    whole = ResidentCounts(cells.x[:], cells.categorical[:, 0])
    at = torch.tensor([5, 2, 200])
    np.testing.assert_array_equal(
        whole.gather(at).counts.dense().numpy(), cells.x[at.numpy()].toarray()
    )


def test_any_cells_that_are_held_can_be_gathered(cells):
    source = StoredCells(cells, CPU)
    whole = ResidentCells(dataclasses.replace(cells, x=cells.x[:]), CPU, "sparse")
    assert len(source) == 240
    held = torch.tensor([200, 3, 77, 78, 79, 10])
    source.hold(held)
    for at in (held, held[[4, 1]]):
        found, expected = source.gather(at), whole.gather(at)
        assert torch.equal(found.x, expected.x)
        assert torch.equal(found.categorical, expected.categorical)
        assert torch.equal(found.index, at)
    with pytest.raises(TypeError, match="on disk"):
        StoredCells(CellArrays(cells.x[:], cells.system, cells.categorical), CPU)
