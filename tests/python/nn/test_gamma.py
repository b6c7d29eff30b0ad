import torch
from scipy import special

from scsystems.nn.gamma import lgamma_digamma


def test_single_precision_matches_scipy():
    z = torch.logspace(0, 9, 2000)
    lgamma, digamma = lgamma_digamma(z)
    exact = z.double().numpy()
    expected = [torch.from_numpy(f(exact)) for f in (special.gammaln, special.psi)]
    torch.testing.assert_close(lgamma.double(), expected[0], rtol=1e-6, atol=3e-6)
    torch.testing.assert_close(digamma.double(), expected[1], rtol=1e-6, atol=1e-6)


def test_double_precision_is_exact():
    z = torch.linspace(0.1, 50, 100, dtype=torch.float64)
    lgamma, digamma = lgamma_digamma(z)
    torch.testing.assert_close(lgamma, torch.from_numpy(special.gammaln(z.numpy())))
    torch.testing.assert_close(digamma, torch.from_numpy(special.psi(z.numpy())))
