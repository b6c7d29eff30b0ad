import numpy as np
import pytest
import torch

from scsystems.nn import likelihoods
from scsystems.nn.likelihoods import negative_binomial
from scsystems.nn.scspecies import softmax_counts
from scsystems.nn.scspecies.softmax_counts import softmax_negative_binomial


def counts(n=5, g=7):
    """Counts with many zeros, logits, log dispersions of genes, and of cells, in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(torch.rand(n, g, generator=generator) * 6, generator=generator).double()
    x *= torch.rand(n, g, generator=generator) > 0.4
    return x, *(
        torch.randn(shape, generator=generator).double() for shape in ((n, g), (g,), (n, g))
    )


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("dispersion", ["dataset", "batch", "cell"])
@pytest.mark.parametrize("sizes", [(7,), (3, 4)])
def test_softmax_and_likelihood_in_one(slow, dispersion, sizes, monkeypatch):
    """Value and gradients of the formula by autograd, in double precision."""
    monkeypatch.setattr(likelihoods, "on_cpu", lambda tensor: slow)
    monkeypatch.setattr(softmax_counts, "CACHED", 14)
    x, logits, log_theta, per_cell = counts()
    batch = torch.tensor([2, 0, 0, 1, 2])
    rows = {"dataset": log_theta, "batch": per_cell[:3], "cell": per_cell}[dispersion].clone()
    library = torch.linspace(1, 3, 5).double()
    groups = ((7, 1.0),) if len(sizes) == 1 else ((3, 0.3), (4, 0.7))
    inputs = [t.clone().requires_grad_() for t in (logits, library, rows)]

    def formula(logits, library, rows):
        parts = zip(groups, logits.split(sizes, 1), strict=True)
        log_rho = torch.cat([a.log_softmax(1) + np.log(share) for (_, share), a in parts], 1)
        theta = rows[batch] if dispersion == "batch" else rows
        value = torch.distributions.NegativeBinomial(
            theta.exp(), logits=log_rho + library[:, None] - theta
        )
        return value.log_prob(x).sum(1)

    def fused(logits, library, rows):
        of = batch if dispersion == "batch" else None
        return softmax_negative_binomial(x, logits, library, rows, of, groups)

    torch.testing.assert_close(fused(*inputs), formula(*inputs))
    weight = torch.arange(1.0, 6).double()
    grads = [torch.autograd.grad((f(*inputs) * weight).sum(), inputs) for f in (fused, formula)]
    torch.testing.assert_close(*grads)


def test_a_fraction_that_underflows_keeps_value_and_gradient():
    x = torch.tensor([[3.0, 1.0, 0.0]])
    logits = torch.tensor([[0.0, -120.0, -130.0]], requires_grad=True)
    library, theta = torch.tensor([2.0]), torch.zeros(3)
    value = softmax_negative_binomial(x, logits, library, theta, None, ((3, 1.0),))
    expected = negative_binomial(x, logits.log_softmax(1) + 2, theta)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), logits)[0])
