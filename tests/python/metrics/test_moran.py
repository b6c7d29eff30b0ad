import numpy as np
import pytest
from scipy import sparse

from scsystems.errors import InputError
from scsystems.metrics import moran_preservation, moran_reference, morans_i, nearest_neighbors


@pytest.fixture(scope="module")
def gradient():
    """Two types in two samples; 15 genes follow a gradient within each type, 45 are noise."""
    rng = np.random.default_rng(0)
    n = 480
    place = rng.uniform(-1, 1, n)
    labels, samples = np.repeat(["x", "y"], n // 2), np.tile(["s1", "s2"], n // 2)
    slopes = np.concatenate([rng.uniform(1.5, 3, 15), np.zeros(45)])
    expression = np.exp(np.outer(place, slopes) * 0.5 + rng.normal(0, 0.5, (n, 60)))
    expression[rng.random((n, 60)) < 0.2] = 0
    return sparse.csr_matrix(np.log1p(expression).astype(np.float32)), labels, samples, place


@pytest.mark.calls_scanpy
def test_equals_scanpy_and_the_formula(cells):
    import scanpy as sc

    weights = nearest_neighbors(cells.embedding, 15).connectivities
    values = np.random.default_rng(0).gamma(1, 1, (360, 300)).astype(np.float32)
    ours = morans_i(weights, sparse.csr_matrix(values))
    np.testing.assert_allclose(ours, sc.metrics.morans_i(weights, values.T), atol=1e-5)
    z = values[:, 7] - values[:, 7].mean(dtype=float)
    dense = weights.toarray()
    assert ours[7] == pytest.approx(360 / dense.sum() * (z @ dense @ z) / (z @ z), rel=1e-4)


def test_constant_gene_is_nan(cells):
    weights = nearest_neighbors(cells.embedding, 15).connectivities
    assert np.isnan(morans_i(weights, np.ones((360, 1)))).all()


def test_reference_finds_the_gradient_genes(gradient):
    expression, labels, samples, _ = gradient
    reference = moran_reference(expression, labels, samples, min_cells=100)
    assert len(reference.groups) == 4
    for group in reference.groups:
        strongest = group.genes[np.argsort(-group.before)][:12]
        assert (strongest < 15).all()
        assert len(group.genes) >= 12
        assert (group.before > reference.cutoff).all()


def test_preserved_by_the_gradient_lost_in_noise(gradient):
    expression, labels, samples, place = gradient
    reference = moran_reference(expression, labels, samples, min_cells=100, cutoff=0.2)
    noise = np.random.default_rng(1).normal(size=(480, 2))
    kept = moran_preservation(reference, expression, np.column_stack([place, noise * 0.01]))
    lost = moran_preservation(reference, expression, noise)
    assert kept > 0.9
    assert lost < kept - 0.1
    assert set(kept.groups) == {"x", "y"}


def test_score_is_the_papers_ratio(gradient):
    expression, labels, samples, place = gradient
    reference = moran_reference(expression, labels, samples, min_cells=100, cutoff=0.2)
    score = moran_preservation(reference, expression, place[:, None])
    by_label = {"x": [], "y": []}
    for group in reference.groups:
        weights = nearest_neighbors(place[group.cells][:, None], 15).connectivities
        after = morans_i(weights, expression[group.cells][:, group.genes])
        ratio = ((after + 1) / 2) / ((group.before + 1) / 2)
        by_label[group.label].append(ratio.mean())
    assert score == pytest.approx(np.mean([np.mean(r) for r in by_label.values()]))


def test_cutoff_bounds_the_number_of_genes():
    rng = np.random.default_rng(0)
    n, loadings = 300, rng.normal(0, 1, (4, 400))
    expression = np.log1p(np.exp(rng.normal(size=(n, 4)) @ loadings + rng.normal(0, 0.3, (n, 400))))
    one = np.zeros(n)
    reference = moran_reference(expression, one, one, min_cells=100)
    assert len(reference.groups[0].genes) == 150


def test_groups_too_small(gradient):
    expression, labels, samples, _ = gradient
    with pytest.raises(InputError, match=r"500 cells in one sample \(the largest group has 120\)"):
        moran_reference(expression, labels, samples)
    with pytest.raises(InputError, match="above the cutoff"):
        moran_reference(expression, labels, samples, min_cells=100, cutoff=2.0)
    reference = moran_reference(expression, labels, samples, min_cells=100)
    with pytest.raises(InputError, match="same cells"):
        moran_preservation(reference, expression, np.zeros((3, 2)))
