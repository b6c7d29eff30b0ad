"""The whole loss against an independent float64 computation in numpy."""

import numpy as np
import pytest
import torch

from scsystems.data.source import Minibatch
from scsystems.nn.layers import CovariateSizes
from scsystems.nn.sysvi.net import SysVINet, SysVISizes, SysVIWeights
from scsystems.nn.sysvi.priors import VampPrior

B, G, L, H = 12, 9, 3, 8


def make_net(**options):
    sizes = SysVISizes(
        n_genes=G,
        covariates=CovariateSizes(2, (3,), 1),
        n_latent=L,
        n_hidden=H,
        dropout_rate=0.0,
        covariate_init="linear",
        **options,
    )
    return SysVINet(sizes, torch.Generator().manual_seed(0))


def make_batch(weight=None):
    rng = np.random.default_rng(0)
    return Minibatch(
        x=torch.tensor(rng.gamma(1, 1, (B, G)), dtype=torch.float32),
        system=torch.tensor(rng.integers(0, 2, B)),
        categorical=torch.tensor(rng.integers(0, 3, (B, 1))),
        continuous=torch.tensor(rng.normal(size=(B, 1)), dtype=torch.float32),
        weight=weight,
    )


def hidden(stack, x, design, train):
    for layer in stack.layers:
        w, b, c = (
            p.detach().double().numpy() for p in (layer.weight, layer.bias, layer.covariate_weight)
        )
        h = x @ w.T + b + design @ c
        norm = layer.norm
        mean, var = (
            (h.mean(0), h.var(0))
            if train
            else (norm.running_mean.numpy(), norm.running_var.numpy())
        )
        h = (h - mean) / np.sqrt(var + norm.eps)
        h = h * norm.weight.detach().numpy() + norm.bias.detach().numpy()
        x = np.maximum(h, 0)
    return x


def affine(layer, h):
    return h @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def numpy_loss(net, batch, weights, noise, train, zero_cycle_covariates=False):
    """Formulas of the paper, float64, one-hot covariates."""
    x = batch.x.double().numpy()

    def design(system):
        return np.concatenate(
            [
                np.eye(2)[system],
                np.eye(3)[batch.categorical[:, 0].numpy()],
                batch.continuous.double().numpy(),
            ],
            1,
        )

    system = batch.system.numpy()
    here, there = design(system), design(1 - system)
    if zero_cycle_covariates:
        there[:, 2:] = 0
    h = hidden(net.encoder.hidden, x, here, train)
    mean, var = affine(net.encoder.mean, h), np.exp(affine(net.encoder.log_var, h))
    z = mean + np.sqrt(var) * noise
    hd = hidden(net.decoder.hidden, z, here, train)
    x_mean = affine(net.decoder.mean, hd)
    if net.sizes.out_var_mode == "constant":
        v = np.ones_like(x)
    elif net.sizes.out_var_mode == "sample_feature":
        v = np.exp(affine(net.decoder.log_var, hd))
    else:
        v = np.exp(net.decoder.log_var.detach().double().numpy()) * np.ones_like(x)
    reconstruction = 0.5 * (np.log(v) + (x - x_mean) ** 2 / v).sum(1)

    if isinstance(net.prior, VampPrior):
        hp = hidden(
            net.encoder.hidden,
            net.prior.x.detach().double().numpy(),
            net.prior.design.detach().double().numpy(),
            False,
        )
        pm, pv = affine(net.encoder.mean, hp), np.exp(affine(net.encoder.log_var, hp))
        logits = net.prior.logits.detach().double().numpy()
        w = np.exp(logits) / np.exp(logits).sum()
        dens = np.stack(
            [
                w[k] * (np.exp(-((z - pm[k]) ** 2) / 2 / pv[k]) / np.sqrt(pv[k])).prod(1)
                for k in range(len(w))
            ]
        )
        log_q = (-0.5 * np.log(var) - (z - mean) ** 2 / 2 / var).sum(1)
        kl = log_q - np.log(dens.sum(0))
    else:
        kl = 0.5 * (var + mean**2 - 1 - np.log(var)).sum(1)

    x_there = affine(net.decoder.mean, hidden(net.decoder.hidden, z, there, train))
    mean_there = affine(net.encoder.mean, hidden(net.encoder.hidden, x_there, there, train))
    both = np.concatenate([mean, mean_there])
    standard = [(m - both.mean(0)) / both.std(0, ddof=1) for m in (mean, mean_there)]
    cycle = ((standard[0] - standard[1]) ** 2).sum(1)
    if batch.weight is not None:
        cycle = cycle * batch.weight.numpy()
    parts = reconstruction.mean(), kl.mean(), cycle.mean()
    total = weights.reconstruction * parts[0] + weights.kl * parts[1] + weights.cycle * parts[2]
    return total, *parts


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("vamp", [True, False])
@pytest.mark.parametrize("out_var_mode", ["constant", "feature", "sample_feature"])
@pytest.mark.parametrize("cycle_covariates", ["keep", "zero"])
def test_loss_against_float64(train, vamp, out_var_mode, cycle_covariates):
    net = make_net(out_var_mode=out_var_mode, cycle_covariates=cycle_covariates)
    for layer in [*net.encoder.hidden.layers, *net.decoder.hidden.layers]:
        layer.norm.running_mean.normal_(generator=torch.Generator().manual_seed(2))
    if vamp:
        rng = np.random.default_rng(5)
        net.prior = VampPrior(
            torch.tensor(rng.gamma(1, 1, (4, G))).float(),
            torch.tensor(rng.random((4, 6))).float(),
            True,
            "joint",
        )
        net.prior.logits.data = torch.tensor([0.1, -0.3, 0.5, 0.0])
    batch = make_batch(weight=torch.linspace(0.5, 1.5, B))
    weights = SysVIWeights(reconstruction=0.7, kl=1.3, cycle=4.0)
    noise = torch.randn(B, L, generator=torch.Generator().manual_seed(9)).double().numpy()
    expected = (
        numpy_loss(net, batch, weights, noise, train, cycle_covariates == "zero")
        if not train
        else None
    )
    if train:  # running statistics are read before the training pass changes them
        import copy

        # pseudoinputs are encoded after the first encoder pass, with statistics it has updated once
        frozen = copy.deepcopy(net)
        frozen.encoder.hidden(
            batch.x, net.covariates(batch.system, batch.categorical, batch.continuous), True, None
        )
        there = net.covariates(1 - batch.system, batch.categorical, batch.continuous)
        if cycle_covariates == "zero":
            there = net.covariates.system_only(1 - batch.system)
        with torch.no_grad():
            mean, var = copy.deepcopy(net).encoder(
                batch.x, net.covariates(batch.system, batch.categorical, batch.continuous), True
            )
            z = mean + var.sqrt() * torch.tensor(noise, dtype=torch.float32)
            x_there = frozen.decoder.mean(copy.deepcopy(net).decoder.hidden(z, there, True, None))
            frozen.encoder.hidden(x_there, there, True, None)
        expected = numpy_loss(frozen, batch, weights, noise, True, cycle_covariates == "zero")
    got = net.loss(batch, weights, torch.Generator().manual_seed(9), train)
    np.testing.assert_allclose(
        [
            got.total.item(),
            got.reconstruction_loss.item(),
            got.kl_local.item(),
            got.cycle_loss.item(),
        ],
        expected,
        rtol=2e-4,
    )
    assert got.elbo.item() == pytest.approx(
        got.reconstruction_loss.item() + got.kl_local.item(), rel=1e-6
    )


def test_cycle_weight_zero_skips_the_cycle():
    net, batch = make_net(), make_batch()
    seen = []
    net.encoder.posterior_mean = lambda *a: seen.append(a)
    loss = net.loss(batch, SysVIWeights(cycle=0.0), torch.Generator().manual_seed(0), True)
    assert not seen
    assert float(loss.cycle_loss) == 0


def test_encoder_can_be_kept_from_the_covariates():
    net, batch = make_net(encode_covariates=False), make_batch()
    first = net(batch.x, batch.system, batch.categorical, batch.continuous)[0]
    second = net(batch.x, 1 - batch.system, batch.categorical * 0, batch.continuous + 1)[0]
    torch.testing.assert_close(first, second)
    with_covariates = make_net()
    other = with_covariates(batch.x, 1 - batch.system, batch.categorical, batch.continuous)[0]
    assert not torch.allclose(
        with_covariates(batch.x, batch.system, batch.categorical, batch.continuous)[0], other
    )


@pytest.mark.parametrize(("given", "expected"), [(None, 2), (1, 1), (3, 3)])
def test_the_decoder_may_have_a_depth_of_its_own(given, expected):
    net = make_net(n_layers_decoder=given)
    assert len(net.encoder.hidden.layers) == 2
    assert len(net.decoder.hidden.layers) == expected


def test_same_generator_same_weights():
    one, two = make_net().state_dict(), make_net().state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
