"""Fingerprints: equal for equal cells however they are stored, and for no others."""

import numpy as np
import pytest
from scipy import sparse

from scsystems.data import fingerprint as module
from scsystems.data.fingerprint import fingerprint, row_hashes


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    values = rng.poisson(1.5, (40, 12)).astype(np.float32)
    values[7] = 0
    return values * np.float32(0.3)


def by_hand(x):
    """The definition, in whole numbers of any size."""
    out = []
    for row in x.astype(np.float32):
        total = 0
        for j, value in enumerate(row, start=1):
            z = j * 0x9E3779B97F4A7C15 % 2**64
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
            total += int(value.view(np.uint32)) * (z ^ z >> 31)
        out.append(total % 2**64)
    return np.array(out, dtype=np.uint64)


def shuffled(x):
    """CSR with the entries of a row in another order, and zeros among them."""
    m = sparse.csr_matrix(x)
    m.data[3] = 0
    x[m.tocoo().row[3], m.tocoo().col[3]] = 0
    for start, stop in zip(m.indptr[:-1], m.indptr[1:], strict=True):
        m.data[start:stop] = m.data[start:stop][::-1].copy()
        m.indices[start:stop] = m.indices[start:stop][::-1].copy()
    m.has_sorted_indices = False
    return m


@pytest.mark.parametrize(
    "store",
    [
        np.asarray,
        np.asfortranarray,
        lambda x: x.astype(np.float64),
        lambda x: np.where(x == 0, -0.0, x),
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_matrix,
        sparse.csr_array,
        shuffled,
    ],
)
@pytest.mark.parametrize("at_once", [10, 2**21])
def test_rows_have_the_same_number_however_they_are_stored(x, store, at_once, monkeypatch):
    monkeypatch.setattr(module, "VALUES", at_once)
    stored = store(x)
    np.testing.assert_array_equal(row_hashes(stored), by_hand(x))


def test_whole_numbers_are_hashed_as_the_model_sees_them(x):
    counts = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(row_hashes(counts), row_hashes(counts.astype(np.float32)))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_nothing_has_a_number_too(shape):
    for empty in (np.zeros(shape), sparse.csr_matrix(shape), sparse.csc_matrix(shape)):
        np.testing.assert_array_equal(row_hashes(empty), np.zeros(shape[0], np.uint64))


def test_only_rows_that_differ_have_another_number(x):
    before = row_hashes(x)
    value, swapped, moved = x.copy(), x.copy(), x.copy()
    value[5, 2] += 1e-6
    row = np.flatnonzero(x[:, 0] != x[:, 1])[0]
    swapped[row, [0, 1]] = x[row, [1, 0]]
    moved[[8, 9]] = x[[9, 8]]
    assert list(np.flatnonzero(row_hashes(value) != before)) == [5]
    assert list(np.flatnonzero(row_hashes(swapped) != before)) == [row]
    assert list(np.flatnonzero(row_hashes(moved) != before)) == [8, 9]


def test_small_counts_of_many_cells_do_not_collide():
    # all rows of three values from 0 to 29: floats of small whole numbers share most of their bits
    rows = np.stack(np.meshgrid(*[np.arange(30)] * 3), -1).reshape(-1, 3).astype(np.float32)
    assert len(np.unique(row_hashes(rows))) == len(rows)


def test_every_fact_counts():
    facts = {"names": ["a", "b"], "codes": np.array([0, 1]), "options": {"layer": None, "k": 3}}
    others = [
        facts | {"names": ["ab", ""]},
        facts | {"names": ["b", "a"]},
        facts | {"codes": np.array([1, 0])},
        facts | {"codes": np.array([[0, 1]])},
        facts | {"codes": np.array([0.0, 1.0])},
        facts | {"options": {"layer": "None", "k": 3}},
        {"names": ["a", "b"], "codes": np.array([0, 1])},
        {"name": ["a", "b"], "codes": np.array([0, 1]), "options": {"layer": None, "k": 3}},
    ]
    found = [fingerprint(f) for f in (facts, *others)]
    assert len(set(found)) == len(found)
    assert fingerprint(dict(reversed(facts.items()))) == found[0]
