"""Running statistics of several processes against those of one that sees all minibatches."""

import torch
from torch import nn

from scsystems.train.parallel.statistics import shared_statistics


def norm():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.01).double()).double()


def test_agreed_statistics_are_those_of_one_minibatch_after_the_other():
    batches = torch.randn(3, 16, 4, generator=torch.Generator().manual_seed(0)).double() * 2 + 1
    one = nn.BatchNorm1d(4, momentum=0.01).double()
    several = nn.BatchNorm1d(4, momentum=0.01).double()
    for batch in batches:
        one(batch)
    with shared_statistics(several, 3) as statistics:
        for row, batch in enumerate(batches):
            statistics.write_to(row)
            several(batch)
        statistics.write_to(0)
        statistics.agree()
        assert torch.equal(statistics.rows, statistics.rows[:1].expand(3, -1))
    # what is left are three pairs of minibatches x the square of the momentum x their statistics
    scale = 3 * 0.01**2 * batches.var((0, 1)).max() * 2
    for name in ("running_mean", "running_var"):
        difference = getattr(several, name) - getattr(one, name)
        moved = getattr(one, name) - (0 if name == "running_mean" else 1)
        assert difference.abs().max() < scale < 0.2 * moved.abs().max()


def test_processes_that_had_no_minibatch_change_nothing():
    net = norm()
    net(torch.randn(8, 3, dtype=torch.float64))
    expected = [b.clone() for b in net.buffers()]
    with shared_statistics(net, 4) as statistics:
        for _ in range(50):
            statistics.agree()
    for buffer, before in zip(net.buffers(), expected, strict=True):
        assert torch.equal(buffer, before)
    assert net[1].running_mean.untyped_storage().nbytes() == 4 * 8


def test_a_network_without_statistics():
    with shared_statistics(nn.Linear(2, 2), 2) as statistics:
        statistics.agree()


def test_a_row_that_another_process_has_begun_is_begun_anew():
    net, batch = norm(), torch.randn(8, 3, dtype=torch.float64)
    with shared_statistics(net, 2) as statistics:
        statistics.agree()
        agreed = statistics.rows[0].clone()
        statistics.begin(1)
        net(batch)
        expected = statistics.rows[1].clone()
        assert not torch.equal(expected, agreed)
        # it is lost now, and the first does the same
        statistics.begin(0)
        statistics.begin(1)
        net(batch)
        assert torch.equal(statistics.rows[1], expected)
        assert torch.equal(statistics.rows[0], agreed)
        statistics.begin(0)
