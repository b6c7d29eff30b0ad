import numpy as np
import pytest
import torch

from scsystems.nn.sysvi.cycle import cycle_distance, other_system


def test_two_systems_swap():
    assert other_system(torch.tensor([0, 1, 1]), 2, None).tolist() == [1, 0, 0]


@pytest.mark.parametrize("n_systems", [3, 5])
def test_every_other_system_is_equally_likely(n_systems):
    system = torch.arange(n_systems).repeat(6000)
    partner = other_system(system, n_systems, torch.Generator().manual_seed(0))
    table = np.zeros((n_systems, n_systems))
    np.add.at(table, (system.numpy(), partner.numpy()), 1)
    assert np.all(np.diag(table) == 0)
    off = table[~np.eye(n_systems, dtype=bool)]
    np.testing.assert_allclose(off, 6000 / (n_systems - 1), rtol=0.08)


def test_distance_against_numpy():
    m, c = np.random.default_rng(0).normal(size=(2, 20, 4)) * [1, 2, 0.1, 5]
    both = np.concatenate([m, c])
    a, b = ((v - both.mean(0)) / both.std(0, ddof=1) for v in (m, c))
    expected = ((a - b) ** 2).sum(1)
    np.testing.assert_allclose(
        cycle_distance(torch.tensor(m), torch.tensor(c)), expected, rtol=1e-10
    )


def test_distance_does_not_change_with_the_scale_and_survives_collapsed_dimensions():
    m, c = torch.randn(2, 20, 4, dtype=torch.float64)
    torch.testing.assert_close(cycle_distance(m, c), cycle_distance(1e-3 * m, 1e-3 * c))
    m[:, 0] = c[:, 0] = 2.0
    assert torch.isfinite(cycle_distance(m, c)).all()
