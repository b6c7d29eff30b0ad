"""KL to a mixture against automatic differentiation of its definition, in float64."""

import pytest
import torch

from scsystems.nn.sysvi import mixture_gradients as mixture

B, K, L = 7, 4, 3


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("far", [0.0, 60.0])
def test_value_and_gradients(monkeypatch, compiles, far):
    monkeypatch.setattr(mixture, "on_cpu", lambda tensor: compiles)
    g = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    # densities of cells far from every component underflow
    z, mean, m = draw(B, L) + far, draw(B, L), draw(K, L)
    log_var, component_log_var = 0.3 * draw(B, L), 0.3 * draw(K, L)
    logits = draw(K)
    given = [t.requires_grad_() for t in (z, mean, log_var, m, component_log_var, logits)]
    log_w = torch.log_softmax(logits, 0)
    q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    parts = torch.distributions.Normal(m, (0.5 * component_log_var).exp())
    log_p = torch.logsumexp(log_w + parts.log_prob(z[:, None]).sum(-1), 1)
    kl = (q.log_prob(z).sum(1) - log_p).mean()
    scale = 0.7
    expected = torch.autograd.grad(scale * kl, given)

    with torch.no_grad():
        got = mixture.mixture_gradients(z, mean, log_var, m, component_log_var, log_w, scale / B)
    torch.testing.assert_close(got.kl, kl.detach())
    for a, b in zip(got[1:6], expected[:5], strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(scale * log_w.detach().exp() - got.mass, expected[5])
