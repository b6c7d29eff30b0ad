import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from scsystems.nn.sysvi.priors import (
    GaussianMixturePrior,
    StandardNormalPrior,
    VampPrior,
    mixture_log_density,
)


@pytest.fixture
def mixture():
    rng = np.random.default_rng(0)
    return {
        "z": rng.normal(size=(6, 3)),
        "mean": rng.normal(size=(4, 3)),
        "var": rng.uniform(0.2, 2, size=(4, 3)),
        "weight": rng.dirichlet(np.ones(4)),
    }


def reference(mixture, density):
    """Both densities by scipy in float64, with the constants."""
    log_n = stats.norm.logpdf(
        mixture["z"][:, None], mixture["mean"], np.sqrt(mixture["var"])
    )  # B x K x L
    if density == "joint":
        return logsumexp(np.log(mixture["weight"]) + log_n.sum(2), axis=1)
    return logsumexp(np.log(mixture["weight"])[:, None] + log_n, axis=1).sum(1)


@pytest.mark.parametrize("density", ["joint", "factorized"])
def test_mixture_density_against_scipy(mixture, density):
    t = {k: torch.tensor(v) for k, v in mixture.items()}
    got = mixture_log_density(t["z"], t["mean"], t["var"], t["weight"].log(), density)
    constant = 3 / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(got - constant, reference(mixture, density), rtol=1e-10)


def test_one_component_makes_both_densities_equal(mixture):
    t = {k: torch.tensor(v) for k, v in mixture.items()}
    one = [t["z"], t["mean"][:1], t["var"][:1], torch.zeros(1, dtype=torch.float64)]
    torch.testing.assert_close(
        mixture_log_density(*one, "joint"), mixture_log_density(*one, "factorized")
    )


@pytest.mark.parametrize("density", ["joint", "factorized"])
def test_gmm_kl_estimates_the_divergence(mixture, density):
    """Averaged over many samples the one-sample estimate is E_q[log q - log p] by scipy."""
    t = {k: torch.tensor(v) for k, v in mixture.items()}
    prior = GaussianMixturePrior(t["mean"], t["var"], True, density)
    prior.logits.data = t["weight"].log()
    rng = np.random.default_rng(1)
    mean, var = np.array([0.3, -0.2, 0.5]), np.array([0.5, 1.0, 0.3])
    z = mean + np.sqrt(var) * rng.normal(size=(50, 3))
    q = stats.norm.logpdf(z, mean, np.sqrt(var)).sum(1)
    expected = q - reference({**mixture, "z": z}, density)
    got = prior.kl(torch.tensor(mean), torch.tensor(var), torch.tensor(z), None)
    np.testing.assert_allclose(got.detach(), expected, rtol=1e-6)


def test_vamp_components_are_the_encoded_pseudoinputs():
    x, design = torch.rand(3, 5), torch.rand(3, 2)
    prior = VampPrior(x, design, True, "joint")

    def encode(given, covariates):
        torch.testing.assert_close(given, prior.x)
        torch.testing.assert_close(covariates.design, prior.design)
        return given[:, :2], given[:, :2] + 1

    mean, var = prior.components(encode)
    torch.testing.assert_close(mean, x[:, :2])
    torch.testing.assert_close(var, x[:, :2] + 1)


@pytest.mark.parametrize("trainable", [True, False])
def test_trainable_switch(trainable):
    vamp = VampPrior(torch.rand(3, 5), torch.rand(3, 2), trainable, "joint")
    gmm = GaussianMixturePrior(torch.rand(3, 2), torch.ones(3, 2), trainable, "joint")
    assert {vamp.x.requires_grad, vamp.design.requires_grad} == {trainable}
    assert {gmm.mean.requires_grad, gmm.log_var.requires_grad} == {trainable}
    assert vamp.logits.requires_grad
    assert gmm.logits.requires_grad


def test_standard_normal_prior_is_zero_at_the_prior():
    kl = StandardNormalPrior().kl(torch.zeros(2, 3), torch.ones(2, 3), None, None)
    assert kl.tolist() == [0, 0]
