"""Compiled loops of a hidden layer against automatic differentiation, in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scsystems.nn.kernels.norm import norm_backward, norm_forward

N, H, D = 9, 5, 4


@pytest.mark.parametrize("train", [True, False])
def test_values_gradients_and_statistics(train):
    g = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    product, injected, weight, bias = (
        t.requires_grad_() for t in (draw(N, H), draw(D, H), draw(H), draw(H))
    )
    design = (torch.rand(N, D, generator=g) < 0.5).double() * draw(N, D)
    keep = (torch.rand(N, H, generator=g) < 0.7).to(torch.uint8)
    running = [draw(H), draw(H).exp()]
    got_running = [t.clone() for t in running]
    out = F.batch_norm(product + design @ injected, *running, weight, bias, train, 0.1, 1e-3)
    out = out.relu() * keep
    d_out = draw(N, H)
    expected = torch.autograd.grad((out * d_out).sum(), [product, injected, weight, bias])

    arrays = [t.detach().numpy() for t in (product, design, injected, keep, weight, bias)]
    statistics = np.empty((2, H))
    pre, got, d_product = (np.empty((N, H)) for _ in range(3))
    norm_forward(
        *arrays, *(t.numpy() for t in got_running), 0.1, 1e-3, train, *statistics, pre, got
    )
    np.testing.assert_allclose(got, out.detach(), rtol=1e-12, atol=1e-12)
    for a, b in zip(got_running, running, strict=True):
        torch.testing.assert_close(a, b)

    gradients = np.ones((D, H)), np.ones(H), np.ones(H)
    norm_backward(
        d_out.numpy(), got, pre, arrays[1], arrays[4], train, *statistics, *gradients, d_product
    )
    np.testing.assert_allclose(d_product, expected[0], rtol=1e-10, atol=1e-12)
    for a, b in zip(gradients, expected[1:], strict=True):
        np.testing.assert_allclose(a - 1, b, rtol=1e-10, atol=1e-12)  # they are added to
