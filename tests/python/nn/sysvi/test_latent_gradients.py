"""KL and cycle gradients against automatic differentiation."""

import pytest
import torch

from scsystems.nn.sysvi.cycle import cycle_distance
from scsystems.nn.sysvi.latent_gradients import Posterior, cycle_gradients, latent_gradients
from scsystems.nn.sysvi.priors import VampPrior

B, K, L = 11, 4, 3


def normal(*shape, seed=0):
    g = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("density", ["joint", "factorized"])
def test_kl_to_a_mixture(density):
    prior = VampPrior(normal(K, 5), normal(K, 2), True, density).double()
    with torch.no_grad():
        prior.logits.copy_(normal(K, seed=9))
    leaves = [
        t.requires_grad_()
        for t in (
            normal(B, L, seed=1),
            normal(B, L, seed=2),
            normal(B, L, seed=3),
            normal(K, L),
            normal(K, L, seed=5),
        )
    ]
    z, mean, log_var, m, s = leaves
    kl = prior.kl(mean, log_var.exp(), z, lambda x, design: (m, s.exp())).mean()
    expected = torch.autograd.grad(0.7 * kl, [*leaves, prior.logits])
    z, mean, log_var, m, s = (t.detach() for t in leaves)
    with torch.no_grad():
        got = latent_gradients(
            prior,
            [prior.logits],
            z,
            Posterior(mean, log_var),
            None,
            Posterior(m, s),
            0.7,
            0.0,
            None,
        )
    torch.testing.assert_close(got.kl, kl.detach())
    for g, e in zip((got.z, *got.cells, *got.pseudo, *got.prior), expected, strict=True):
        torch.testing.assert_close(g, e)
    assert got.counterfactual is None
    assert float(got.cycle) == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_cycle_loss_with_a_collapsed_dimension(weighted):
    mean, other = normal(B, L, seed=1), normal(B, L, seed=2)
    mean[:, 0] = other[:, 0] = 0.5
    cell_weight = normal(B).abs() if weighted else None
    mean.requires_grad_(), other.requires_grad_()
    distance = cycle_distance(mean, other)
    loss = (distance if cell_weight is None else distance * cell_weight).mean()
    expected = torch.autograd.grad(3 * loss, [mean, other])
    value, *got = cycle_gradients(mean.detach(), other.detach(), cell_weight, 3.0)
    torch.testing.assert_close(value, loss.detach())
    for g, e in zip(got, expected, strict=True):
        # where a dimension has collapsed the reference divides nothing by nothing
        torch.testing.assert_close(g[:, 1:], e[:, 1:])
        assert torch.isfinite(g).all()
