"""Residuals of the reconstruction against their definition, compiled and not."""

import pytest
import torch

from scsystems.nn.kernels import residual


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_squares_and_gradient(monkeypatch, compiles, dtype):
    monkeypatch.setattr(residual, "on_cpu", lambda tensor: compiles)
    n, n_genes, factor = 6, 5, -0.2
    g = torch.Generator().manual_seed(2)
    x = torch.randn(n, n_genes, generator=g).double()
    inverse_std = torch.rand(n_genes, generator=g).double() + 0.5
    mean = torch.randn(n, n_genes + 3, generator=g).to(dtype)  # filled up
    before = mean.clone()
    d_mean = torch.full_like(mean, 7.0)
    squares, total = residual.residual_gradients(x, mean, inverse_std, factor, d_mean)

    scaled = (x - before[:, :n_genes].double()) * inverse_std
    expected = factor * scaled * inverse_std
    torch.testing.assert_close(squares, (scaled**2).sum(0))
    torch.testing.assert_close(total, expected.sum(0))
    torch.testing.assert_close(d_mean[:, :n_genes], expected.to(dtype))
    assert (d_mean[:, n_genes:] == 7).all()
    assert torch.equal(mean, before)
