import numpy as np
import pytest
import torch

from scsystems.nn.sysvi.classifier import LabelClassifier
from scsystems.nn.sysvi.label_gradients import label_gradients

B, L, K = 11, 3, 4


@pytest.fixture
def cells():
    """A classifier that is unsure, positions, and labels of which some are missing and one is never there."""
    g = torch.Generator().manual_seed(0)
    classifier = LabelClassifier(L, K).double()
    with torch.no_grad():
        classifier.weight.normal_(generator=g)
        classifier.bias.normal_(generator=g)
    classifier.balance.copy_(torch.tensor([0.5, 2.0, 1.0, 0.0]))
    z = torch.randn(B, L, generator=g, dtype=torch.float64)
    return classifier, z, torch.tensor([0, 1, 2, -1, 1, 0, -1, 2, 2, -1, 1])


def test_the_loss_is_the_weighted_cross_entropy_of_the_labeled_over_all_cells(cells):
    classifier, z, label = cells
    weight, bias = classifier.weight.detach().numpy(), classifier.bias.detach().numpy()
    total = 0.0
    for position, k in zip(z.numpy(), label.tolist(), strict=True):
        if k >= 0:
            logits = weight @ position + bias
            total -= float(classifier.balance[k]) * (logits[k] - np.log(np.exp(logits).sum()))
    np.testing.assert_allclose(classifier.loss(z, label).item(), total / B)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_the_closed_form_is_the_automatic_gradient(cells, scale):
    classifier, z, label = cells
    z.requires_grad_()
    loss = classifier.loss(z, label)
    expected = torch.autograd.grad(scale * loss, [z, classifier.weight, classifier.bias])
    got = label_gradients(classifier, z.detach(), label, scale)
    torch.testing.assert_close(got.loss, loss.detach(), rtol=1e-12, atol=1e-12)
    for g, e in zip(got[1:], expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-12, atol=1e-12)


def test_without_any_label_there_is_neither_loss_nor_gradient(cells):
    classifier, z, label = cells
    none = torch.full_like(label, -1)
    assert classifier.loss(z, none).item() == 0
    assert not any(part.any() for part in label_gradients(classifier, z, none, 1.0))


def test_the_temperature_flattens_probabilities(cells):
    classifier, z, _ = cells
    logits = classifier(z).detach()
    classifier.temperature.fill_(2.0)
    expected = (logits / 2).exp() / (logits / 2).exp().sum(1, keepdim=True)
    torch.testing.assert_close(classifier.probabilities(z).detach(), expected)


def test_it_starts_where_all_labels_are_alike():
    classifier = LabelClassifier(L, K)
    z = torch.randn(B, L, generator=torch.Generator().manual_seed(1))
    assert torch.equal(classifier.probabilities(z).detach(), torch.full((B, K), 1 / K))


def test_a_label_without_cells_is_no_neighbor():
    classifier = LabelClassifier(2, 3)
    classifier.centers.copy_(torch.tensor([[0.0, 0.0], [torch.inf, torch.inf], [4.0, 0.0]]))
    classifier.precision.copy_(torch.tensor([[4.0, 1.0], [1.0, 1.0]]))
    z = torch.tensor([[1.0, 0.0], [3.5, 0.0], [0.0, -2.0]])
    torch.testing.assert_close(classifier.distance(z), torch.tensor([2.0, 1.0, 2.0]))
