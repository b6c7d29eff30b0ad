"""Work that one process leaves at any moment, and another one finishes."""

import os

import numpy as np
import pytest
import torch

from scsystems.train.parallel import journal
from scsystems.train.parallel.journal import Journal


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(journal, "BLOCK", 4)


@pytest.fixture
def as_another(monkeypatch):
    """Whether this process counts as one that was forked from the journal's."""
    own = os.getpid()
    return lambda yes: monkeypatch.setattr(os, "getpid", lambda: own + yes)


class Death(BaseException):
    """What ends a process; nothing of it is left to clean up."""


class Dying:
    """Numbers whose ``n``-th change is the last thing that happens."""

    def __init__(self, array, left):
        self.array, self.left = array, left

    def __len__(self):
        return len(self.array)

    def __getitem__(self, at):
        return self.array[at]

    def change(self, at):
        for i in range(*at.indices(len(self.array))):
            if self.left == 0:
                raise Death
            self.left -= 1
            # not to be done twice
            self.array[i] = self.array[i] * 3 + 1


def work(book, round_, first, second, left):
    """Change two arrays, block by block, number by number."""
    dying = Dying(first, left)
    for block in book.blocks(1, round_, [first, second]):
        dying.change(block)
        second[block] += first[block]


@pytest.mark.parametrize("n_changes", range(12))
def test_what_is_left_is_finished_as_if_nothing_had_happened(n_changes, as_another):
    expected, result = ([np.arange(10.0), np.ones(10)] for _ in range(2))
    book = Journal(2, 2, torch.float64)
    for round_, left in ((0, 100), (1, n_changes), (1, 100), (2, 100)):
        as_another(yes=True)
        if left == 100:
            as_another(yes=round_ == 0)
            work(book, round_, *result, left)
        elif n_changes < 10:
            with pytest.raises(Death):
                work(book, round_, *result, left)
        else:
            work(book, round_, *result, left)
    for _ in range(3):
        expected[0][:] = expected[0] * 3 + 1
        expected[1] += expected[0]
    for one, other in zip(expected, result, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_first_process_keeps_nothing(as_another):
    book, arrays = Journal(2, 1, torch.float32), [np.ones(6, np.float32)]
    assert list(book.blocks(0, 0, arrays)) == [slice(0, 4), slice(4, 6)]
    assert not book.kept.any()
    as_another(yes=True)
    assert list(book.blocks(0, 1, arrays)) == [slice(0, 4), slice(4, 6)]
    assert book.kept[0].any()
    assert not book.kept[1].any()


def test_nothing_to_do():
    assert list(Journal(1, 1, torch.float32).blocks(0, 0, [np.ones(0, np.float32)])) == []
