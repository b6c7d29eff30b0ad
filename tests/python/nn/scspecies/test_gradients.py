"""Training on sparse counts against the eager loss and automatic differentiation, in float64."""

import pytest
import torch

from scsystems.data.counts import ResidentCounts
from scsystems.nn.scspecies import count_head
from scsystems.nn.scspecies.alignment import (
    AlignedNet,
    AlignmentOptions,
    AlignmentWeights,
    Candidates,
    ContextCells,
)
from scsystems.nn.scspecies.gradients import FastForward, fast_gradients, has_fast_forward
from scsystems.nn.scspecies.net import ScviNet, ScviSizes, scvi_loss
from scsystems.nn.scspecies.reduced import reduced_precision
from scsystems.train.flat import flat_parameters

N, N_CONTEXT, G, L, F = 11, 9, 13, 3, 8
CPU = torch.device("cpu")


def make_net(dtype=torch.float64, **options):
    sizes = ScviSizes(
        **{
            "n_genes": G,
            "n_homologous": 5,
            "n_batches": 3,
            "homologous_fraction": 0.4,
            "n_latent": L,
            "n_features": F,
            "n_hidden": 6,
            **options,
        }
    )
    net = ScviNet(sizes, torch.Generator().manual_seed(0), torch.tensor([[3.0, 0.5]] * 3))
    with torch.no_grad():
        if net.sizes.dispersion != "cell":
            net.decoder.log_theta.normal_(generator=torch.Generator().manual_seed(1))
        net.library_prior += torch.arange(3.0)[:, None]
    return net.to(dtype)


def make_cells(dtype=torch.float64, n=N, n_genes=G):
    """Counts with many zeros and a cell without any, and batch codes."""
    g = torch.Generator().manual_seed(2)
    x = torch.poisson(torch.rand(n, n_genes, generator=g) * 6, generator=g).to(dtype)
    x *= torch.rand(n, n_genes, generator=g) > 0.6
    x[3] = 0
    return x, torch.arange(n) % 3


def make_aligned(net, mode, search_every=5):
    g = torch.Generator().manual_seed(4)
    cells = ContextCells(
        torch.randn(N_CONTEXT, F, generator=g),
        torch.randn(N_CONTEXT, L, generator=g),
        torch.rand(N_CONTEXT, L, generator=g),
        torch.arange(N_CONTEXT) % 2,
    )
    index = torch.stack([torch.randperm(N_CONTEXT, generator=g)[:4] for _ in range(N)])
    aligned = AlignedNet(
        net, cells, Candidates(index, torch.arange(N) < 9), AlignmentOptions(mode, search_every)
    )
    aligned.latent.normal_(generator=g)
    return aligned


def run(module, net, parts_of, batches, fast):
    """Losses and gradients after each of some minibatches, the weights changing between them."""
    x, batch = make_cells(next(net.parameters()).dtype, n_genes=net.sizes.n_genes)
    cells = ResidentCounts(x.numpy(), batch.numpy(), x.dtype)
    free = [p for p in module.parameters() if p.requires_grad]
    generator, results = torch.Generator().manual_seed(3), []
    with flat_parameters(free) as flat:
        vector = flat.vector
        vector.grad.fill_(7.0)  # what is left of the step before must not count
        if fast:
            assert has_fast_forward(net, CPU)
            forward = FastForward(net)

            def loss(minibatch, epoch, generator):
                dense = x[minibatch.index]
                parts = forward(minibatch.counts, minibatch.batch, generator, parts_of.inner)
                return parts_of(parts, dense, minibatch.batch, minibatch.index, generator)

            step = fast_gradients(module, forward, loss)
        for index in batches:
            if fast:
                losses = step(cells.gather(index), 0, generator, False)
            else:
                vector.grad.zero_()
                parts = net(x[index], batch[index], generator, True, parts_of.inner)
                losses = parts_of(parts, x[index], batch[index], index, generator)
                losses.total.backward()
            gradients = {k: p.grad.clone() for k, p in net.named_parameters() if p.requires_grad}
            results.append((torch.stack([p.detach() for p in losses]), gradients))
            with torch.no_grad():
                vector -= 0.01 * vector.grad
    return results


class Pretraining:
    inner = True

    def __call__(self, parts, x, batch, index, generator):
        return scvi_loss(*parts[2:], 0.3)


class Alignment:
    inner = False

    def __init__(self, aligned):
        self.aligned = aligned

    def __call__(self, parts, x, batch, index, generator):
        weights = AlignmentWeights(0.3, 2.0, 1.5)
        return self.aligned.loss_of(parts, x, batch, index, weights, generator)


# the size of the minibatch changes on the way, as it does between training runs
BATCHES = (torch.arange(8), torch.tensor([7, 3, 1, 10, 9]), torch.arange(3, 11))


def assert_equal(expected, got, **tolerance):
    for (losses, gradients), (fast_losses, fast_gradients_) in zip(expected, got, strict=True):
        torch.testing.assert_close(fast_losses, losses, **tolerance)
        assert gradients.keys() == fast_gradients_.keys()
        for name, value in gradients.items():
            torch.testing.assert_close(
                fast_gradients_[name], value, **tolerance, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dispersion": "dataset"},
        {"library": "encoder"},
        {"n_homologous": G, "homologous_fraction": 1.0},
        {"encoder_input": "counts", "dropout_rate": 0.0},
    ],
)
def test_pretraining_is_that_of_the_reference(double, options, rows, monkeypatch):
    monkeypatch.setattr(count_head, "CACHED", rows * G)
    results = []
    for fast in (False, True):
        net = make_net(**options)
        results.append(run(net, net, Pretraining(), BATCHES, fast))
    assert_equal(*results, rtol=1e-9, atol=1e-10)


def test_logits_far_from_zero(double):
    results = []
    for fast in (False, True):
        net = make_net()
        with torch.no_grad():
            net.decoder.rho.bias[:5] += 900.0
            net.decoder.rho.bias[5:] -= 800.0
        results.append(run(net, net, Pretraining(), BATCHES, fast))
    assert_equal(*results, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("search_every", [5, 0])
@pytest.mark.parametrize("mode", ["intermediate", "latent"])
def test_alignment_is_that_of_the_reference(double, mode, search_every):
    results = []
    for fast in (False, True):
        net = make_net()
        if mode == "intermediate":
            net.inner.requires_grad_(False)
        aligned = make_aligned(net, mode, search_every)
        results.append(run(aligned, net, Alignment(aligned), BATCHES, fast))
    assert_equal(*results, rtol=1e-9, atol=1e-10)


def test_single_precision_is_that_of_the_reference():
    results = []
    for fast in (False, True):
        net = make_net(torch.float32)
        results.append(run(net, net, Pretraining(), BATCHES, fast))
    assert_equal(*results, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_as_near_to_float32_as_the_reference_in_bfloat16():
    # 77 genes are filled up to a number that products like
    def result(fast, reduced):
        net = make_net(torch.float32, n_genes=77, n_homologous=30, n_features=64, n_hidden=32)
        with reduced_precision(net, reduced):
            return run(net, net, Pretraining(), BATCHES[:1], fast)[0]

    exact, reference, got = result(False, False), result(False, True), result(True, True)
    torch.testing.assert_close(got[0], exact[0], rtol=0.005, atol=0.005)
    for name, value in exact[1].items():
        error, allowed = (float((r[1][name] - value).norm()) for r in (got, reference))
        assert error < 2 * allowed + 1e-3 * float(value.norm()), name


def test_what_it_does_not_know_is_left_to_the_reference():
    assert has_fast_forward(make_net(), CPU)
    assert not has_fast_forward(make_net(), torch.device("cuda"))
    assert not has_fast_forward(make_net(likelihood="zinb"), CPU)
    assert not has_fast_forward(make_net(dispersion="cell"), CPU)
    frozen = make_net()
    frozen.decoder.rho.bias.requires_grad_(False)
    assert not has_fast_forward(frozen, CPU)
    other = type("Other", (ScviNet,), {})
    net = other(make_net().sizes, torch.Generator().manual_seed(0), torch.zeros(3, 2))
    assert not has_fast_forward(net, CPU)
