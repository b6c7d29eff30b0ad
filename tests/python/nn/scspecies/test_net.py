import numpy as np
import pytest
import torch
from scipy import stats

from scsystems.nn import likelihoods
from scsystems.nn.likelihoods import (
    kl_normal,
    negative_binomial,
    negative_binomial_pairs,
    zero_inflated_negative_binomial,
)
from scsystems.nn.scspecies.net import ScviNet, ScviSizes


def counts(n=5, g=7, seed=0):
    """Counts with many zeros, log means, log dispersions, logits of zeros, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.poisson(torch.rand(n, g, generator=generator) * 6, generator=generator).double()
    x *= torch.rand(n, g, generator=generator) > 0.4
    return x, *(
        torch.randn(shape, generator=generator).double() for shape in ((n, g), (g,), (n, g))
    )


def scipy_terms(x, log_mean, log_theta):
    theta, mean = np.exp(log_theta.numpy()), np.exp(log_mean.numpy())
    return stats.nbinom.logpmf(x.numpy(), theta, theta / (theta + mean))


def test_negative_binomial_matches_scipy():
    x, log_mean, log_theta, _ = counts()
    value = negative_binomial(x, log_mean, log_theta)
    np.testing.assert_allclose(value, scipy_terms(x, log_mean, log_theta).sum(1), rtol=1e-12)
    per_cell = negative_binomial(x, log_mean, log_theta.expand_as(x))
    np.testing.assert_allclose(per_cell, value, rtol=1e-12)
    np.testing.assert_allclose(
        negative_binomial(x.float(), log_mean.float(), log_theta.float()), value, rtol=1e-4
    )


def test_zero_inflated_negative_binomial_matches_scipy():
    x, log_mean, log_theta, logits = counts(seed=1)
    extra = 1 / (1 + np.exp(-logits.numpy()))
    p = (1 - extra) * np.exp(scipy_terms(x, log_mean, log_theta)) + extra * (x.numpy() == 0)
    value = zero_inflated_negative_binomial(x, log_mean, log_theta, logits)
    np.testing.assert_allclose(value, np.log(p).sum(1), rtol=1e-12)


def test_extreme_parameters_stay_finite_and_right():
    x = torch.tensor([[0.0, 1.0, 5000.0]])
    log_mean = torch.tensor([[-30.0, -12.0, 9.0]])
    log_theta = torch.tensor([-10.0, 10.0, 10.0])
    value = negative_binomial(x, log_mean, log_theta)
    expected = scipy_terms(x.double(), log_mean.double(), log_theta.double()).sum(1)
    np.testing.assert_allclose(value, expected, rtol=1e-3)
    far = zero_inflated_negative_binomial(
        x, log_mean, log_theta, torch.tensor([[80.0, -80.0, -80.0]])
    )
    assert torch.isfinite(far).all()


@pytest.mark.parametrize("per_cell", [False, True])
def test_closed_form_gradients_match_finite_differences(per_cell):
    x, log_mean, log_theta, logits = counts()
    if per_cell:
        log_theta = log_theta.expand_as(x).clone()
    inputs = [t.requires_grad_() for t in (log_mean, log_theta, logits)]
    assert torch.autograd.gradcheck(lambda m, t: negative_binomial(x, m, t), inputs[:2])
    assert torch.autograd.gradcheck(
        lambda m, t, z: zero_inflated_negative_binomial(x, m, t, z), inputs
    )


@pytest.mark.parametrize("slow", [False, True])
def test_a_table_of_dispersions_by_batch(slow, monkeypatch):
    """The same value and gradient as with the rows picked beforehand, on either kind of device."""
    monkeypatch.setattr(likelihoods, "_gamma_is_slow", lambda device: slow)
    x, log_mean, log_theta, _ = counts()
    table = torch.stack([log_theta, log_theta + 1, log_theta - 1]).requires_grad_()
    batch = torch.tensor([2, 0, 0, 1, 2])
    log_mean.requires_grad_()
    value = negative_binomial(x, log_mean, table, batch)
    expected = scipy_terms(x, log_mean.detach(), table.detach()[batch]).sum(1)
    np.testing.assert_allclose(value.detach(), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(
        lambda m, t: negative_binomial(x, m, t, batch), (log_mean, table)
    )
    weights = torch.arange(5.0, dtype=torch.float64)
    (value * weights).sum().backward()
    picked = table.detach()[batch].requires_grad_()
    (negative_binomial(x, log_mean, picked) * weights).sum().backward()
    summed = torch.zeros_like(table).index_add_(0, batch, picked.grad)
    np.testing.assert_allclose(table.grad, summed, rtol=1e-10)


@pytest.mark.parametrize("per_cell", [False, True])
def test_pairs_equal_the_general_formula(per_cell):
    x, _, log_theta, _ = counts()
    if per_cell:
        log_theta = log_theta + torch.arange(5.0)[:, None]
    generator = torch.Generator().manual_seed(2)
    log_rho = torch.log_softmax(torch.randn(6, 7, generator=generator).double(), 1)
    log_library = torch.rand(5, generator=generator).double() * 5
    among = torch.randint(0, 6, (5, 3), generator=generator)
    value = negative_binomial_pairs(x, log_library, log_theta, log_rho, among)
    for j in range(3):
        expected = negative_binomial(x, log_rho[among[:, j]] + log_library[:, None], log_theta)
        np.testing.assert_allclose(value[:, j], expected, rtol=1e-10)


def test_kl_of_normals_matches_torch():
    a, b = torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])
    c, d = torch.tensor([0.0, 1.0]), torch.tensor([1.5, 0.7])
    p, q = torch.distributions.Normal(a, b), torch.distributions.Normal(c, d)
    np.testing.assert_allclose(
        kl_normal(a, b, c, d), torch.distributions.kl_divergence(p, q), rtol=1e-5
    )


def net(**options):
    sizes = ScviSizes(
        **{
            "n_genes": 12,
            "n_homologous": 5,
            "n_batches": 2,
            "homologous_fraction": 0.4,
            "n_latent": 3,
            "n_features": 8,
            "n_hidden": 6,
            **options,
        }
    )
    return ScviNet(sizes, torch.Generator().manual_seed(0), torch.tensor([[3.0, 0.5], [2.0, 0.4]]))


def test_fractions_sum_to_their_shares():
    z, batch = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    rho = net().decoder(z, batch).log_rho.exp()
    np.testing.assert_allclose(rho[:, :5].sum(1).detach(), 0.4, rtol=1e-5)
    np.testing.assert_allclose(rho.sum(1).detach(), 1.0, rtol=1e-5)
    every = net(n_homologous=12, homologous_fraction=1.0).decoder(z, batch).log_rho.exp()
    np.testing.assert_allclose(every.sum(1).detach(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
@pytest.mark.parametrize("dispersion", ["dataset", "batch", "cell"])
@pytest.mark.parametrize("library", ["observed", "encoder"])
def test_every_option_gives_finite_losses_and_gradients(likelihood, dispersion, library):
    network = net(likelihood=likelihood, dispersion=dispersion, library=library)
    x, batch = torch.poisson(torch.full((9, 12), 2.0)), torch.arange(9) % 2
    loss = network.loss(x, batch, 0.5, torch.Generator().manual_seed(1), True)
    loss.total.backward()
    assert all(torch.isfinite(part) for part in loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert (loss.kl_library == 0) == (library == "observed")
    np.testing.assert_allclose(
        loss.total.item(),
        (loss.reconstruction_loss + 0.5 * (loss.kl_local + loss.kl_library)).item(),
        rtol=1e-5,
    )


def test_embedding_has_no_noise_and_no_dropout():
    network = net(dropout_rate=0.5)
    x, batch = torch.poisson(torch.full((6, 12), 2.0)), torch.zeros(6, dtype=torch.long)
    first, second = network.encode(x, batch), network.encode(x, batch)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_digamma_in_single_precision():
    z = torch.logspace(-4, 5, 500)
    torch.testing.assert_close(
        likelihoods._digamma(z).double(), torch.digamma(z.double()), rtol=2e-6, atol=2e-6
    )


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_training_and_results_use_the_same_likelihood(likelihood):
    sizes = ScviSizes(7, 4, 2, 0.3, n_latent=3, n_features=6, n_hidden=5, likelihood=likelihood)
    net = ScviNet(sizes, torch.Generator().manual_seed(0), torch.zeros(2, 2)).double()
    x, _, _, _ = counts()
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).double()
    batch = torch.tensor([0, 1, 1, 0, 1])
    library = x.sum(1).log()
    torch.testing.assert_close(
        net.decoded_log_prob(x, library, z, batch),
        net.log_prob(x, library, net.decoder(z, batch)),
    )
