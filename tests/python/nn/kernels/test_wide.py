import pytest
import torch

from scsystems.nn.kernels.wide import WideLinear
from scsystems.nn.layers import wide_linear
from scsystems.train.flat import flat_parameters


def layer(n_in, n_out):
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.utils.skip_init(torch.nn.Linear, n_in, n_out)
    for p in linear.parameters():
        torch.nn.init.normal_(p, generator=generator)
    x = torch.randn(6, n_in, generator=generator, requires_grad=True)
    return linear, x, torch.randn(6, n_out, generator=generator)


@pytest.mark.parametrize(("n_in", "n_out", "genes"), [(37, 8, 1), (8, 37, 0), (64, 8, 1)])
@pytest.mark.parametrize("flat", [False, True])
def test_values_and_gradients_are_those_of_the_plain_layer(n_in, n_out, genes, flat):
    """Also where gradients are there already: they are written over, not added to."""
    linear, x, g = layer(n_in, n_out)
    parameters = list(linear.parameters())
    expected = wide_linear(x, *parameters, False)
    wanted = torch.autograd.grad(expected, [x, *parameters], g)
    with flat_parameters(parameters if flat else []) as flattened:
        vector = flattened.vector
        wide = WideLinear(*parameters, genes)
        for _ in range(2):
            vector.grad.zero_()
            x.grad = None
            if not flat:
                linear.zero_grad()
            y = wide(x)
            y.backward(g)
        found = [x.grad, *(p.grad.clone() for p in parameters)]
    torch.testing.assert_close(y, expected, rtol=0.02, atol=0.1)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.1)


def test_new_weights_are_taken_over():
    linear, x, _ = layer(8, 37)
    wide = WideLinear(linear.weight, linear.bias, 0)
    before = wide(x)
    with torch.no_grad():
        linear.weight.mul_(2)
    torch.testing.assert_close(wide(x) - linear.bias, 2 * (before - linear.bias))
