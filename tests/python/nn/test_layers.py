import numpy as np
import pytest
import torch

from scsystems.nn.layers import (
    CovariateEncoder,
    Covariates,
    CovariateSizes,
    HiddenLayer,
    covariate_term,
    keep_bytes,
    keep_scale,
    relu_dropout,
    wide_linear,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("embedding_dim", [None, 4])
@pytest.mark.parametrize("n_continuous", [0, 2])
def test_covariate_term_equals_the_one_hot_product(embedding_dim, n_continuous):
    sizes = CovariateSizes(3, (4, 2), n_continuous, embedding_dim)
    encoder = CovariateEncoder(sizes, generator())
    rng = np.random.default_rng(0)
    system = rng.integers(0, 3, 9)
    categorical = np.stack([rng.integers(0, 4, 9), rng.integers(0, 2, 9)], 1)
    continuous = rng.normal(size=(9, n_continuous)).astype(np.float32)
    weight = torch.randn(sizes.n_total, 5, generator=generator())

    covariates = encoder(
        torch.tensor(system),
        torch.tensor(categorical),
        torch.tensor(continuous) if n_continuous else None,
    )
    blocks = [np.eye(3)[system]]
    if embedding_dim:
        vectors = [np.asarray(t.detach())[categorical[:, i]] for i, t in enumerate(encoder.tables)]
        blocks += [continuous, *vectors]
    else:
        blocks += [np.eye(4)[categorical[:, 0]], np.eye(2)[categorical[:, 1]], continuous]
    design = np.concatenate(blocks, 1)
    expected = design @ weight.double().numpy()
    np.testing.assert_allclose(
        covariate_term(weight, sizes.n_levels, covariates).detach(), expected, atol=1e-5
    )
    np.testing.assert_allclose(encoder.design(covariates).detach(), design, atol=1e-6)
    from_design = covariate_term(
        weight, sizes.n_levels, Covariates(design=encoder.design(covariates))
    )
    np.testing.assert_allclose(from_design.detach(), expected, atol=1e-5)


def test_system_only_zeroes_all_other_covariates():
    sizes = CovariateSizes(2, (3,), 1)
    encoder = CovariateEncoder(sizes, generator())
    design = encoder.design(encoder.system_only(torch.tensor([0, 1])))
    np.testing.assert_array_equal(design, [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])


def test_dropout_keeps_the_expectation_and_the_rate():
    out = relu_dropout(torch.ones(400, 501), 0.1, generator())
    dropped = round(0.1 * 256) / 256
    assert float((out == 0).float().mean()) == pytest.approx(dropped, abs=0.003)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.004)
    np.testing.assert_allclose(np.unique(out), [0, 1 / (1 - dropped)], rtol=1e-6)


def test_dropout_masks_are_independent_and_follow_the_generator():
    g = generator(3)

    def draw(generator):
        return keep_bytes(torch.Size((64, 256)), 0.5, generator, torch.device("cpu"))

    first, second = draw(g), draw(g)
    assert 0.45 < float((first == second).float().mean()) < 0.55
    # neighboring entries are cut from one random number and must not agree more than chance
    assert 0.45 < float((first[:, :-1] == first[:, 1:]).float().mean()) < 0.55
    assert torch.equal(first, draw(generator(3)))


def test_relu_dropout_has_the_gradient_of_its_plain_form():
    x = torch.randn(20, 30, generator=generator(1), requires_grad=True)
    weight = torch.randn(20, 30, generator=generator(2))
    keep, scale = keep_bytes(x.shape, 0.3, generator(4), x.device), keep_scale(0.3)
    (relu_dropout(x, 0.3, generator(4)) * weight).sum().backward()
    got, x.grad = x.grad, None
    (torch.relu(x) * keep * scale * weight).sum().backward()
    torch.testing.assert_close(got, x.grad)
    torch.testing.assert_close(relu_dropout(x, 0.0, None), torch.relu(x))


def test_reduced_products_stay_within_bfloat16_of_the_exact_ones():
    x, weight, bias = (
        torch.randn(*s, generator=generator(5)) for s in ((32, 700), (64, 700), (64,))
    )
    results = []
    for reduced in (False, True):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        out = wide_linear(*leaves, reduced)
        out.square().sum().backward()
        results.append([out.detach(), *(t.grad for t in leaves)])
    for exact, low in zip(*results, strict=True):
        assert low.dtype == torch.float32
        error = (exact - low).norm() / exact.norm()
        assert 0 < float(error) < 0.01


@pytest.mark.parametrize("n_samples", [3, 80])
def test_few_and_many_levels_take_different_ways_to_the_same_term(n_samples):
    sizes = CovariateSizes(2, (n_samples,), 1)
    encoder = CovariateEncoder(sizes, generator())
    system, sample = torch.tensor([0, 1, 1]), torch.tensor([[0], [2], [n_samples - 1]])
    covariates = encoder(system, sample, torch.ones(3, 1))
    assert (covariates.design is None) == (n_samples == 80)
    weight = torch.randn(sizes.n_total, 4, generator=generator())
    expected = weight[system] + weight[2 + sample[:, 0]] + weight[-1]
    torch.testing.assert_close(covariate_term(weight, sizes.n_levels, covariates), expected)


def test_hidden_layer_starts_as_one_linear_layer_over_everything():
    sizes = CovariateSizes(2, (3,), 1)
    layer = HiddenLayer(10, 2000, sizes, 0.0, "linear", generator())
    bound = 1 / np.sqrt(10 + sizes.n_total)
    for weight in (layer.weight, layer.covariate_weight, layer.bias):
        assert float(weight.detach().abs().max()) <= bound
        assert float(weight.detach().std()) == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert (
        float(
            HiddenLayer(10, 5, sizes, 0.0, "zero", generator())
            .covariate_weight.detach()
            .abs()
            .max()
        )
        == 0
    )


def test_folding_batchnorm_into_the_product_changes_nothing():
    sizes = CovariateSizes(2, (3,), 1)
    layer = HiddenLayer(10, 6, sizes, 0.1, "linear", generator())
    covariates = CovariateEncoder(sizes, generator())(
        torch.tensor([0, 1, 1]), torch.tensor([[0], [2], [1]]), torch.ones(3, 1)
    )
    with torch.no_grad():
        layer.norm.running_mean.uniform_(generator=generator(1))
        layer.norm.running_var.uniform_(0.5, 2, generator=generator(2))
        layer.norm.weight.uniform_(generator=generator(3))
        layer.norm.bias.uniform_(generator=generator(4))
    x = torch.randn(3, 10, generator=generator(5))
    expected = layer(x, covariates, train=False)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, covariates, train=False), expected.detach())
