import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("captum", reason="the extra 'relevance' is not installed")

from scsystems.nn.scspecies.net import ScviNet, ScviSizes
from scsystems.tools.relevance import encoder_chain, relevance


@pytest.fixture
def net():
    sizes = ScviSizes(
        n_genes=12,
        n_homologous=6,
        n_batches=2,
        homologous_fraction=0.4,
        n_latent=3,
        n_features=8,
        n_hidden=6,
    )
    net = ScviNet(sizes, torch.Generator().manual_seed(0), torch.zeros(2, 2))
    with torch.no_grad():
        for norm in (net.outer.norm, net.inner.hidden.norm):
            norm.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    return net


@pytest.fixture
def cells():
    x = torch.poisson(torch.full((5, 12), 2.0), generator=torch.Generator().manual_seed(2))
    return x, torch.tensor([0, 1, 0, 1, 1])


def test_the_chain_is_the_encoder(net, cells):
    x, batch = cells
    inputs = torch.cat([x.log1p(), F.one_hot(batch, 2)], 1).double()
    np.testing.assert_allclose(
        encoder_chain(net)(inputs), net.encode(x, batch).mean.detach(), atol=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 0.25])
def test_relevance_matches_the_rule_by_hand(net, cells, gamma):
    """R_i = sum_j a_i w'_ij / sum_k a_k w'_kj R_j with w' = w + gamma max(w, 0), layer by layer."""
    x, batch = cells
    found = relevance(net, x, batch, gamma)
    chain = encoder_chain(net)
    inputs = torch.cat([x.log1p(), F.one_hot(batch, 2)], 1).double().numpy()
    with torch.no_grad():
        h1 = chain[:3](torch.as_tensor(inputs)).numpy()
        h2 = chain[3:6](torch.as_tensor(h1)).numpy()
        mean = chain[6](torch.as_tensor(h2)).numpy()
    expected = np.zeros_like(inputs)
    for dimension in range(3):
        r = np.zeros_like(mean)
        r[:, dimension] = mean[:, dimension]
        for a, layer in ((h2, 6), (h1, 3), (inputs, 0)):
            w = chain[layer].weight.numpy()
            w = w + gamma * np.maximum(w, 0)
            z = a @ w.T
            r = a * ((r / (z + np.where(z < 0, -1e-9, 1e-9))) @ w)
        expected += r / 3
    np.testing.assert_allclose(found.genes, expected[:, :12], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.batch, expected[:, 12:].sum(1), rtol=1e-4, atol=1e-6)


def test_relevance_is_conserved(net, cells):
    x, batch = cells
    found = relevance(net, x, batch)
    total = found.genes.sum(1) + found.batch
    np.testing.assert_allclose(
        total, net.encode(x, batch).mean.mean(1).detach(), rtol=1e-3, atol=1e-5
    )
    assert found.residual.abs().max() < 1e-5


def test_the_network_is_left_as_it_was(net, cells):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    relevance(net, *cells)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())
