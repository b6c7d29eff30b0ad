import sys

import numpy as np
import pytest
import torch
from scipy import sparse

from scsystems.nn.scspecies.net import ScviNet, ScviSizes
from scsystems.tools.novelty import novelty, standard_scores, unexplained


def make_net(seed):
    sizes = ScviSizes(
        n_genes=9,
        n_homologous=5,
        n_batches=2,
        homologous_fraction=0.5,
        n_latent=2,
        n_features=8,
        n_hidden=6,
    )
    return ScviNet(sizes, torch.Generator().manual_seed(seed), torch.zeros(2, 2))


def log_relative(net, z, genes):
    """Log of the mean over batches of the fractions among ``genes``."""
    with torch.no_grad():
        rho = [
            net.decoder(torch.as_tensor(z), torch.full((len(z),), b)).log_rho.exp()[:, genes]
            for b in (0, 1)
        ]
    relative = [(r / r.sum(1, keepdim=True)).double().numpy() for r in rho]
    return np.log(np.mean(relative, 0))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_unexplained_matches_its_definition(make, monkeypatch):
    monkeypatch.setattr(sys.modules["scsystems.tools.novelty"], "CHUNK", 7)
    target, context = make_net(0), make_net(1)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 2)).astype(np.float32)
    counts = rng.poisson(3, (30, 4)).astype(np.float32)
    pairs = np.array([[4, 0], [2, 1], [0, 3], [1, 2]])
    label = np.repeat(["a", "b", "c"], [14, 14, 2])
    mine, theirs = log_relative(target, z, pairs[:, 1]), log_relative(context, z, pairs[:, 0])
    # c has too few cells to have a say
    shift = np.median([(mine - theirs)[label == name].mean(0) for name in "ab"], 0)
    theirs = theirs + shift
    theirs -= np.log(np.exp(theirs).sum(1, keepdims=True))
    expected = (counts * (mine - theirs)).sum(1) / counts.sum(1)
    found = unexplained(target, context, z, make(counts), pairs, label)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_differs_in_every_type_is_no_novelty():
    target = make_net(0)
    context = make_net(0)
    with torch.no_grad():
        context.decoder.rho.bias += torch.randn(9, generator=torch.Generator().manual_seed(3))
    z = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    pairs = np.stack([np.arange(5)] * 2, 1)
    found = unexplained(target, context, z, np.ones((20, 5)), pairs, np.repeat([0, 1], 10))
    np.testing.assert_allclose(found, 0, atol=1e-3)


def test_standard_scores_are_hardly_moved_by_new_cells():
    rng = np.random.default_rng(0)
    usual = rng.normal(5, 2, 4000)
    scores = standard_scores(np.concatenate([usual, np.full(200, 1000.0)]))
    assert np.median(scores[:4000]) == pytest.approx(0, abs=0.1)
    assert scores[:4000].std() == pytest.approx(1, abs=0.1)
    assert (scores[4000:] == 10).all()
    assert np.isfinite(standard_scores(np.ones(5))).all()


def test_both_signs_raise_the_score():
    signs = np.arange(10.0), np.ones(10)
    assert (np.diff(novelty(*signs)) >= 0).all()
    assert (np.diff(novelty(*signs[::-1])) >= 0).all()
