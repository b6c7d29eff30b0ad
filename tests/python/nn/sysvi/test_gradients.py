"""The hand-written step against automatic differentiation of the reference, in float64."""

import numpy as np
import pytest
import torch

from scsystems.data.source import Minibatch
from scsystems.nn.kernels import residual, stack
from scsystems.nn.layers import CovariateSizes
from scsystems.nn.sysvi import mixture_gradients as mixture
from scsystems.nn.sysvi.gradients import SysVIGradients, has_fast_gradients
from scsystems.nn.sysvi.net import SysVINet, SysVISizes, SysVIWeights
from scsystems.nn.sysvi.priors import GaussianMixturePrior, VampPrior
from scsystems.train.flat import flat_parameters

B, L, H = 12, 3, 8


def make_net(prior="vamp", dtype=torch.float64, n_genes=9, density="joint", **options):
    options = {"dropout_rate": 0.1, "covariate_init": "linear", "n_hidden": H} | options
    sizes = SysVISizes(n_genes, CovariateSizes(3, (3,), 1), n_latent=L, **options)
    net = SysVINet(sizes, torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(5)
    if prior == "vamp":
        x, design = torch.rand(4, n_genes, generator=g), torch.rand(4, 7, generator=g)
        net.prior = VampPrior(x, design, True, density)
    if prior == "gmm":
        mean, var = torch.randn(4, L, generator=g), torch.rand(4, L, generator=g)
        net.prior = GaussianMixturePrior(mean, var, True, density)
    if net.classifier is not None:
        net.classifier.weight.data.normal_(generator=g)
        net.classifier.balance.uniform_(0.5, 2, generator=g)
    return net.to(dtype)


def make_batch(n=B, dtype=torch.float64, n_genes=9, weighted=True):
    rng = np.random.default_rng(n)
    return Minibatch(
        x=torch.tensor(rng.gamma(1, 1, (n, n_genes)), dtype=dtype),
        system=torch.tensor(rng.integers(0, 3, n)),
        categorical=torch.tensor(rng.integers(0, 3, (n, 1))),
        continuous=torch.tensor(rng.normal(size=(n, 1)), dtype=dtype),
        weight=torch.tensor(rng.random(n), dtype=dtype) if weighted else None,
        label=torch.tensor(rng.integers(-1, 4, n)),
    )


def run(net, weights, batches, fast, reduced=False):
    """Losses, gradients and buffers after each of some minibatches."""
    free = [p for p in net.parameters() if p.requires_grad]
    generator, results = torch.Generator().manual_seed(3), []
    with net.reduced_precision(reduced), flat_parameters(free) as flat:
        vector = flat.vector
        step = SysVIGradients(net, weights) if fast else None
        for batch in batches:
            if fast:
                assert has_fast_gradients(net, weights)
                parts = step(batch, generator)
            else:
                vector.grad.zero_()
                parts = net.loss(batch, weights, generator, True)
                parts.total.backward()
            gradients = {k: p.grad.clone() for k, p in net.named_parameters() if p.requires_grad}
            buffers = {k: v.clone() for k, v in net.named_buffers()}
            results.append((torch.stack([p.detach() for p in parts]), gradients, buffers))
            with torch.no_grad():  # so that the next minibatch meets other weights
                vector -= 0.01 * vector.grad
    return results


@pytest.fixture(params=["compiled", "torch"])
def loops(request, monkeypatch):
    """The ways of the CPU and of a GPU, both on the CPU."""
    for module in (mixture, residual, stack):
        monkeypatch.setattr(module, "compiles_loops", lambda tensor: request.param == "compiled")


@pytest.mark.usefixtures("double", "loops")
@pytest.mark.parametrize("cycle", [0.0, 5.0])
@pytest.mark.parametrize(
    ("prior", "options"),
    [
        ("vamp", {}),
        ("vamp", {"encode_covariates": False}),
        ("vamp", {"cycle_covariates": "zero", "n_layers": 1}),
        ("vamp", {"density": "factorized", "n_layers": 3}),
        ("vamp", {"dropout_rate": 0.0}),
        ("vamp", {"out_var_mode": "constant"}),
        ("vamp", {"n_layers_decoder": 3}),
        ("vamp", {"n_labels": 4}),
        ("standard_normal", {"n_labels": 4}),
        ("gmm", {"encode_covariates": False, "n_layers": 3, "n_layers_decoder": 1}),
        ("standard_normal", {}),
    ],
)
def test_losses_gradients_and_statistics_are_those_of_the_reference(prior, options, cycle):
    weights = SysVIWeights(2.0, 0.7, cycle, label=1.5 * ("n_labels" in options))
    # the size of the minibatch changes on the way, as it does between training runs
    batches = [make_batch(), make_batch(), make_batch(7), make_batch(weighted=False)]
    batches.append(make_batch()._replace(label=None))
    expected = run(make_net(prior, **options), weights, batches, fast=False)
    got = run(make_net(prior, **options), weights, batches, fast=True)
    for e, g in zip(expected, got, strict=True):
        torch.testing.assert_close(g[0], e[0], rtol=1e-10, atol=1e-10)
        for part in (1, 2):
            assert g[part].keys() == e[part].keys()
            for name, value in e[part].items():
                torch.testing.assert_close(
                    g[part][name], value, rtol=1e-8, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
                )


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("n", [B, 7])
def test_weights_of_the_minibatch_before_need_not_be_taken_over_again(reduced, n):
    """Bitwise the same, also where the minibatch has another size."""
    results = []
    for same in (False, True):
        net = make_net("vamp").float()
        with net.reduced_precision(reduced), flat_parameters(list(net.parameters())) as flat:
            step = SysVIGradients(net, SysVIWeights())
            step(make_batch(dtype=torch.float32), torch.Generator().manual_seed(1))
            losses = step(make_batch(n, torch.float32), torch.Generator().manual_seed(2), same)
            results.append((torch.stack(losses), flat.vector.grad.clone()))
    for taken_over, known in zip(*results, strict=True):
        assert torch.equal(taken_over, known)


def test_clamped_log_variances_have_no_gradient(double):
    def net():
        made = make_net()
        with torch.no_grad():
            made.encoder.log_var.bias[0] = 40.0
            made.encoder.log_var.bias[1] = -40.0
            made.decoder.log_var[:3] = 16.0
        return made

    expected = run(net(), SysVIWeights(), [make_batch()], fast=False)[0][1]
    got = run(net(), SysVIWeights(), [make_batch()], fast=True)[0][1]
    assert not got["decoder.log_var"][:3].any()
    assert got["decoder.log_var"][3:].all()
    for name, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(got[name], value, rtol=1e-6, atol=1e-9 * max(scale, 1.0))


@pytest.mark.usefixtures("loops")
def test_bfloat16_is_as_near_to_float32_as_the_reference_in_bfloat16():
    # 77 genes are filled up to a number that products like
    shape = {"n_genes": 77, "n_hidden": 64}

    def result(fast, reduced):
        net, batch = make_net(dtype=torch.float32, **shape), make_batch(64, torch.float32, 77)
        return run(net, SysVIWeights(), [batch], fast, reduced)[0]

    exact, reference, got = result(False, False), result(False, True), result(True, True)
    torch.testing.assert_close(got[0], reference[0], rtol=0.005, atol=0.005)
    for name, value in exact[1].items():
        if name.endswith(("layers.0.bias", "layers.1.bias", "mean.bias")):
            continue  # next to nothing but rounding errors, since BatchNorm takes away the mean
        assert got[1][name].shape == value.shape
        error, allowed = (float((r[1][name] - value).norm()) for r in (got, reference))
        assert error < 2 * allowed + 1e-3 * float(value.norm()), name
        assert error < 0.15 * float(value.norm()), name


def test_what_it_does_not_know_is_left_to_the_reference():
    net = make_net()
    assert has_fast_gradients(net, SysVIWeights())
    assert not has_fast_gradients(net, SysVIWeights(adversary=1.0))
    assert not has_fast_gradients(make_net(out_var_mode="sample_feature"), SysVIWeights())
    net.decoder.hidden.layers[0].weight.requires_grad_(False)
    assert not has_fast_gradients(net, SysVIWeights())
    other = type("Other", (SysVINet,), {})(net.sizes, torch.Generator().manual_seed(0))
    assert not has_fast_gradients(other, SysVIWeights())
