import numpy as np
import pytest
import torch
from scipy import stats

from scsystems.errors import InputError
from scsystems.nn.scspecies.net import ScviNet, ScviSizes
from scsystems.tools.expression import decode, draw_cells, fold_change, within_ellipse


def make_net(**options):
    sizes = ScviSizes(
        n_genes=12, n_homologous=6, n_batches=3, homologous_fraction=0.4, n_latent=2, n_features=8,
        n_hidden=6, **options,
    )  # fmt: skip
    return ScviNet(sizes, torch.Generator().manual_seed(0), torch.zeros(3, 2))


def test_the_ellipse_holds_its_share_of_normal_cells():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3)) + 5
    assert within_ellipse(mean, 0.9).mean() == pytest.approx(0.9, abs=0.02)
    # by the closed form
    covariance = np.cov(mean.T)
    centered = mean - mean.mean(0)
    distance = (centered @ np.linalg.inv(covariance) * centered).sum(1)
    np.testing.assert_array_equal(within_ellipse(mean, 0.5), distance <= stats.chi2.ppf(0.5, 3))


def test_few_cells_have_no_ellipse_and_are_kept():
    assert within_ellipse(np.random.default_rng(0).normal(size=(4, 3))).all()


def test_draws_are_normal_around_their_cell():
    mean, std = np.array([[0.0, 10.0], [100.0, -5.0]]), np.array([[1.0, 2.0], [3.0, 0.5]])
    z, cell = draw_cells(mean, std, 20_000, np.random.default_rng(0))
    noise = (z - mean[cell]) / std[cell]
    assert stats.kstest(noise.ravel(), "norm").statistic < 0.01
    assert np.bincount(cell).min() > 9000


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_decoding_matches_a_plain_loop(likelihood):
    net = make_net(likelihood=likelihood)
    z, genes = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32), np.array([4, 1, 2])
    found = decode(net, z, np.array([0, 2]), genes)
    expected = []
    with torch.no_grad():
        for code in (0, 2):
            expression = net.decoder(torch.as_tensor(z), torch.full((4,), code))
            rho = expression.log_rho.exp().double().numpy()[:, genes]
            seen = 1.0
            if likelihood == "zinb":
                seen = 1 - torch.sigmoid(expression.zero_logits).double().numpy()[:, genes]
            expected.append((rho / rho.sum(1, keepdims=True) * seen, rho * seen))
    np.testing.assert_allclose(found.relative, np.mean([e[0] for e in expected], 0), rtol=1e-4)
    np.testing.assert_allclose(found.rho, np.mean([e[1] for e in expected], 0), rtol=1e-4)


def test_fold_changes_in_closed_form():
    context = np.full((5, 3), 0.1)
    target = context * np.array([1.0, 4.0, 0.25])
    target[:2, 0] *= 8
    found = fold_change(target, context, threshold=1.0, offset=0.0)
    np.testing.assert_allclose(found.lfc, [0, 2, -2])
    np.testing.assert_allclose(found.probability, [0.4, 1, 1])
    tiny = fold_change(np.full((2, 1), 1e-12), np.full((2, 1), 1e-9))
    assert abs(tiny.lfc[0]) < 0.01
    with pytest.raises(InputError, match="same samples"):
        fold_change(target, context[:2])
