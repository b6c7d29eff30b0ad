import numpy as np
import pytest
import torch

from scsystems.nn.scspecies.alignment import (
    AlignedNet,
    AlignmentOptions,
    AlignmentWeights,
    Candidates,
    ContextCells,
    LabelIndex,
    candidate_log_prob,
    mean_distance,
)
from scsystems.nn.scspecies.net import ScviNet, ScviSizes

N_CONTEXT, N_TARGET, K = 20, 12, 4


def make(seed=0, **options):
    sizes = ScviSizes(
        n_genes=10, n_homologous=4, n_batches=2, homologous_fraction=0.5, n_latent=3, n_features=8,
        n_hidden=6, **options,
    )  # fmt: skip
    network = ScviNet(sizes, torch.Generator().manual_seed(seed), torch.tensor([[3.0, 0.5]] * 2))
    generator = torch.Generator().manual_seed(seed + 1)
    # dispersions of their own, so that mixing up batches shows
    if options.get("dispersion") != "cell":
        with torch.no_grad():
            network.decoder.log_theta.normal_(generator=generator)
    x = torch.poisson(torch.rand(N_TARGET, 10, generator=generator) * 4, generator=generator)
    return network, x, torch.arange(N_TARGET) % 2, generator


def context(generator):
    return ContextCells(
        torch.randn(N_CONTEXT, 8, generator=generator),
        torch.randn(N_CONTEXT, 3, generator=generator),
        torch.full((N_CONTEXT, 3), 1e-6),
        torch.arange(N_CONTEXT) % 2,
    )


def candidates(generator):
    return Candidates(
        torch.stack([torch.randperm(N_CONTEXT, generator=generator)[:K] for _ in range(N_TARGET)]),
        torch.arange(N_TARGET) < 9,
    )


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
@pytest.mark.parametrize("dispersion", ["dataset", "batch", "cell"])
def test_candidate_search_matches_a_plain_loop(likelihood, dispersion):
    network, x, batch, generator = make(likelihood=likelihood, dispersion=dispersion)
    cells, among = context(generator), candidates(generator).index
    log_library = network.log_library(x, batch)
    value = candidate_log_prob(network, x, log_library, batch, cells.mean, among)
    for j in range(N_TARGET):
        for i in range(K):
            one = slice(j, j + 1)
            expression = network.decoder(cells.mean[among[j, i]][None], batch[one])
            expected = network.log_prob(x[one], log_library[one], expression).item()
            assert value[j, i].item() == pytest.approx(expected, rel=1e-4)


def test_the_best_candidate_is_chosen():
    network, x, batch, generator = make()
    cells, found = context(generator), candidates(generator)
    aligned = AlignedNet(network, cells, found, AlignmentOptions())
    index = torch.arange(N_TARGET)
    aligned.search(x, batch, index, generator)
    value = candidate_log_prob(
        network, x, network.log_library(x, batch), batch, cells.mean, found.index
    )
    expected = found.index.gather(1, value.argmax(1, keepdim=True))[:, 0]
    assert torch.equal(aligned.chosen, expected)


@pytest.mark.parametrize("search", [5, 0])
@pytest.mark.parametrize("mode", ["intermediate", "latent"])
def test_alignment_loss_in_closed_form(mode, search):
    network, x, batch, generator = make(dropout_rate=0.0)
    cells, found = context(generator), candidates(generator)
    aligned = AlignedNet(network, cells, found, AlignmentOptions(mode, search))
    index = torch.arange(N_TARGET)
    aligned.search(x, batch, index, generator)
    if mode == "latent":
        # no noise in the target's latent sample either
        with torch.no_grad():
            network.inner.log_std.weight.zero_()
            network.inner.log_std.bias.fill_(-9.9)
    loss = aligned.loss(x, batch, index, AlignmentWeights(0.5, 3.0, 0.0), generator, True)
    posterior = network.encode(x, batch)
    there = cells.features if mode == "intermediate" else cells.mean
    here = posterior.features if mode == "intermediate" else posterior.mean
    distance = (here - there[aligned.chosen]).square().sum(1)
    expected = (distance * found.kept).sum() / N_TARGET
    assert loss.alignment_loss.item() == pytest.approx(expected.item(), rel=1e-2)
    total = loss.reconstruction_loss + 0.5 * loss.kl_local + 3.0 * loss.alignment_loss
    assert loss.total.item() == pytest.approx(total.item(), rel=1e-5)


def test_cells_that_are_not_kept_feel_no_alignment():
    network, x, batch, generator = make()
    found = candidates(generator)._replace(kept=torch.zeros(N_TARGET, dtype=torch.bool))
    aligned = AlignedNet(network, context(generator), found, AlignmentOptions())
    loss = aligned.loss(
        x, batch, torch.arange(N_TARGET), AlignmentWeights(1.0, 25.0, 0.0), generator, True
    )
    assert loss.alignment_loss.item() == 0
    assert loss.mixing_loss.item() == 0


def test_a_frozen_inner_encoder_gets_no_gradient():
    network, x, batch, generator = make()
    network.inner.requires_grad_(False)
    aligned = AlignedNet(network, context(generator), candidates(generator), AlignmentOptions())
    loss = aligned.loss(x, batch, torch.arange(N_TARGET), AlignmentWeights(), generator, True)
    loss.total.backward()
    assert all(p.grad is None for p in network.inner.parameters())
    assert network.outer.weight.grad.abs().sum() > 0


def test_mixing_is_the_energy_distance():
    """With enough samples the loss approaches 2 E|t - c| - 2 E|t - t'|, computed over all pairs."""
    network, x, batch, generator = make(dropout_rate=0.0)
    cells = context(generator)
    found = candidates(generator)._replace(kept=torch.ones(N_TARGET, dtype=torch.bool))
    aligned = AlignedNet(network, cells, found, AlignmentOptions(n_mixing_samples=20_000))
    aligned.latent.normal_(generator=generator)
    latent = aligned.latent.clone()
    label = cells.label[found.index[:, 0]]
    with torch.no_grad():
        network.inner.log_std.weight.zero_()
        network.inner.log_std.bias.fill_(-9.9)
    loss = aligned.loss(
        x, batch, torch.arange(N_TARGET), AlignmentWeights(1.0, 0.0, 1.0), generator, True
    )
    z = network.encode(x, batch).mean
    expected = []
    for j in range(N_TARGET):
        there = cells.mean[cells.label == label[j]]
        here = latent[label == label[j]]
        expected.append(
            2 * (torch.cdist(z[j : j + 1], there).mean() - torch.cdist(z[j : j + 1], here).mean())
        )
    assert loss.mixing_loss.item() == pytest.approx(
        torch.stack(expected).mean().item(), rel=0.02, abs=0.01
    )


def test_draws_by_label_stay_within_the_label():
    label = torch.tensor([2, 0, 2, 1, 0, 2])
    index = LabelIndex(label, 3, torch.tensor([True, True, True, True, False, True]))
    rows = index.draw(torch.tensor([0, 1, 2]), 200, torch.Generator().manual_seed(0))
    assert [set(row.tolist()) for row in rows] == [{1}, {3}, {0, 2, 5}]


def test_searches_are_made_every_few_epochs():
    at = [epoch for epoch in range(16) if AlignmentOptions(search_every=5).searches_at(epoch)]
    assert at == [5, 10, 15]
    assert not any(AlignmentOptions(search_every=0).searches_at(epoch) for epoch in range(5))


def test_types_follow_the_best_candidates():
    network, x, batch, generator = make()
    cells, found = context(generator), candidates(generator)
    aligned = AlignedNet(network, cells, found, AlignmentOptions())
    assert torch.equal(aligned.target_label, cells.label[found.index[:, 0]])
    aligned.search(x, batch, torch.arange(N_TARGET), generator)
    aligned.relabel()
    assert torch.equal(aligned.target_label, cells.label[aligned.chosen])
    drawn = aligned.target_by_label.draw(torch.tensor([0, 1]), 50, generator)
    assert (aligned.target_label[drawn] == torch.tensor([[0], [1]])).all()
    assert found.kept[drawn].all()


def test_search_result_does_not_depend_on_chunks():
    network, x, batch, generator = make()
    cells, found = context(generator), candidates(generator)
    whole = candidate_log_prob(
        network, x, network.log_library(x, batch), batch, cells.mean, found.index
    )
    parts = [
        candidate_log_prob(
            network, x[i], network.log_library(x[i], batch[i]), batch[i], cells.mean, found.index[i]
        )
        for i in (slice(0, 5), slice(5, 12))
    ]
    np.testing.assert_allclose(whole, torch.cat(parts), rtol=1e-5)


def test_mean_distance_and_its_gradient():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    points = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    points[1, 2] = z[1].detach()  # the distance is zero there, and its gradient stays finite
    expected = torch.cdist(z.detach()[:, None], points).mean(2)[:, 0]
    torch.testing.assert_close(mean_distance(z, points), expected, rtol=1e-4, atol=1e-4)
    assert torch.autograd.gradcheck(lambda z: mean_distance(z, points), (z,))
