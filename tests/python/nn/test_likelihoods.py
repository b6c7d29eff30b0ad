import numpy as np
import pytest
import torch
from scipy import stats

from scsystems.nn.likelihoods import gaussian_nll, kl_standard_normal, normal_log_density


@pytest.mark.parametrize("per_cell", [False, True])
def test_gaussian_nll_against_scipy(per_cell):
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(2, 6, 7))
    log_var = rng.normal(size=(6, 7) if per_cell else 7)
    expected = -stats.norm.logpdf(x, mean, np.exp(log_var / 2)).sum(1) - 7 / 2 * np.log(2 * np.pi)
    got = gaussian_nll(torch.tensor(x), torch.tensor(mean), torch.tensor(log_var))
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_normal_log_density_takes_a_variance():
    z, mean, var = np.random.default_rng(1).uniform(0.1, 2, (3, 5, 4))
    expected = stats.norm.logpdf(z, mean, np.sqrt(var)) + 0.5 * np.log(2 * np.pi)
    got = normal_log_density(torch.tensor(z), torch.tensor(mean), torch.tensor(var))
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_kl_against_torch_distributions():
    mean, var = torch.rand(2, 8, 3, dtype=torch.float64) + 0.1
    q = torch.distributions.Normal(mean, var.sqrt())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(q, p).sum(1)
    np.testing.assert_allclose(kl_standard_normal(mean, var), expected, rtol=1e-12)


def test_gaussian_nll_has_the_gradient_of_its_formula():
    """Per-gene variance has a hand-written gradient; autograd of the formula in float64 decides."""
    g = torch.Generator().manual_seed(0)
    x, mean = torch.randn(2, 6, 7, generator=g, dtype=torch.float64)
    log_var, weight = (
        torch.randn(7, generator=g, dtype=torch.float64),
        torch.rand(6, generator=g).double(),
    )
    grads = []
    for hand_written in (True, False):
        m, v = mean.clone().requires_grad_(), log_var.clone().requires_grad_()
        loss = gaussian_nll(x, m, v) if hand_written else 0.5 * (v + (x - m) ** 2 / v.exp()).sum(1)
        (loss * weight).sum().backward()
        grads.append((m.grad, v.grad))
    torch.testing.assert_close(grads[0], grads[1])
