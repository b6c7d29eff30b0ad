import numpy as np
import pytest
import torch

from scsystems import SysVI
from scsystems.errors import InputError, NotTrainedError
from scsystems.nn.sysvi.net import SysVIWeights


def without_noise(model):
    """Let the posterior shrink onto its mean, so that samples do not matter."""
    with torch.no_grad():
        model.net.encoder.log_var.weight.zero_()
        model.net.encoder.log_var.bias.fill_(-15.0)


@pytest.mark.parametrize("out_var_mode", ["constant", "feature", "sample_feature"])
def test_scores_are_those_of_the_loss_written_out(train, adata, out_var_mode):
    model = train(prior="standard_normal", out_var_mode=out_var_mode)
    without_noise(model)
    mean, var = (v.astype(np.float64) for v in model.get_latent_representation(return_dist=True))
    decoded = model.get_normalized_expression(return_numpy=True).astype(np.float64)
    if out_var_mode == "constant":
        log_v = 0.0
    elif out_var_mode == "feature":
        log_v = model.net.decoder.log_var.detach().numpy().astype(np.float64)
    else:
        with torch.no_grad():
            batch, m, _ = next(model._posterior(None, None, None))
            terms = model.net.covariates(batch.system, batch.categorical, batch.continuous)
            log_v = model.net.decoder(m, terms)[1].numpy().astype(np.float64)
    x = adata.X.toarray().astype(np.float64)
    nll = 0.5 * (log_v + (x - decoded) ** 2 / np.exp(log_v)).sum(1)
    kl = 0.5 * (var + mean**2 - 1 - np.log(var)).sum(1)

    loss = model.get_reconstruction_error(return_mean=False)["reconstruction_loss"]
    np.testing.assert_allclose(loss, nll, rtol=2e-3)
    np.testing.assert_allclose(model.get_elbo(return_mean=False), -(nll + kl), rtol=2e-3)
    assert model.get_elbo() == pytest.approx(-(nll + kl).mean(), rel=1e-3)


@pytest.mark.parametrize("prior", ["standard_normal", "vamp", "gmm"])
def test_marginal_likelihood_is_the_integral_over_the_latent_space(train, prior):
    """One latent dimension, so that the integral can be summed on a grid."""
    model = train(prior=prior, n_latent=1, n_prior_components=3)
    cells = [0, 5, 17]
    found = model.get_marginal_ll(indices=cells, n_mc_samples=4000, return_mean=False)

    grid = np.linspace(-12, 12, 4001)
    z = torch.tensor(grid, dtype=torch.float32)[:, None]
    net = model.net
    with torch.no_grad():
        batch, *_ = next(model._posterior(None, cells, None))
        if prior == "standard_normal":
            log_p = -0.5 * grid**2 - 0.5 * np.log(2 * np.pi)
        else:
            m, v = (t.numpy().astype(float) for t in net.prior.components(net.encode))
            w = np.exp(net.prior.log_weights().numpy().astype(float))
            each = w * np.exp(-0.5 * (grid[:, None] - m.T) ** 2 / v.T) / np.sqrt(2 * np.pi * v.T)
            log_p = np.log(each.sum(1) + 1e-300)
        for i in range(len(cells)):
            system, donor = (
                t[i : i + 1].repeat(len(grid), *([1] * (t.dim() - 1)))
                for t in (batch.system, batch.categorical)
            )
            mu, log_v = net.decoder(z, net.covariates(system, donor, None))
            mu, log_v = mu.double().numpy(), log_v.double().numpy()
            log_x = -0.5 * (log_v + (batch.x[i].double().numpy() - mu) ** 2 / np.exp(log_v)).sum(1)
            total = log_x + log_p
            integral = np.log(np.exp(total - total.max()).sum() * (grid[1] - grid[0])) + total.max()
            assert found[i] == pytest.approx(integral, abs=0.1)


def test_elbo_is_a_lower_bound(train):
    model = train(epochs=20)
    assert model.get_elbo() < model.get_marginal_ll(n_mc_samples=200)
    # the training loss of the same cells, other latent samples
    batch, *_ = next(model._posterior(None, None, None))
    with torch.no_grad():
        loss = model.net.loss(batch, SysVIWeights(), torch.Generator().manual_seed(3), False)
    assert -model.get_elbo() == pytest.approx(loss.elbo.item(), rel=0.05)


def test_same_seed_same_scores_whatever_the_chunk(train):
    model = train()
    assert model.get_elbo(seed=1) == model.get_elbo(seed=1)
    assert model.get_elbo(seed=1) != model.get_elbo(seed=2)
    masked = model.get_elbo(indices=np.arange(240) < 7, return_mean=False)
    assert masked.shape == (7,)
    assert model.get_marginal_ll(
        indices=[1], n_mc_samples=3, batch_size=1, return_mean=False
    ).shape == (1,)


def test_bad_input(train, adata):
    model = train()
    with pytest.raises(InputError, match="n_mc_samples=0"):
        model.get_marginal_ll(n_mc_samples=0)
    for score in (model.get_elbo, model.get_marginal_ll, model.get_reconstruction_error):
        with pytest.raises(InputError, match="select no cells"):
            score(indices=[])
        with pytest.raises(InputError, match="adata lacks"):
            score(adata[:, :10].copy())
    with pytest.raises(NotTrainedError):
        SysVI(adata).get_elbo()
