import pytest
import torch
import torch.nn.functional as F

from scsystems.nn.sysvi import adversary
from scsystems.nn.sysvi.adversary import SystemClassifier


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def cells():
    """Latent positions, and three systems that a line tells apart."""
    z = torch.randn(60, 3, generator=generator(1))
    return z, (z[:, 0] > -0.5).long() + (z[:, 0] > 0.5)


def test_the_fooling_loss_is_the_cross_entropy_with_the_other_systems(cells):
    z, system = cells
    classifier = SystemClassifier(3, 3, generator())
    p = classifier(z).softmax(1).double()
    others = 1 - F.one_hot(system, 3).double()
    expected = -(p.log() * others / 2).sum(1).mean()
    torch.testing.assert_close(classifier.fooling_loss(z, system).double(), expected)
    torch.testing.assert_close(
        classifier.loss(z, system).double(), -p.log().gather(1, system[:, None]).mean()
    )


def test_learning_is_adam_on_the_cross_entropy(cells):
    z, system = cells
    classifier, peer = (SystemClassifier(3, 3, generator()) for _ in range(2))
    peer.requires_grad_(True)
    optimizer = torch.optim.Adam(
        peer.parameters(), lr=adversary.LEARNING_RATE, betas=adversary.BETAS, eps=adversary.EPS
    )
    losses = []
    for _ in range(3 * adversary.STEPS):
        loss = F.cross_entropy(peer(z), system)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    found = [classifier.learn(z.requires_grad_(), system) for _ in range(3)]
    assert z.grad is None
    torch.testing.assert_close(torch.stack(found), torch.stack(losses[:: adversary.STEPS]))
    for a, b in zip(classifier.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-5)


def test_the_encoder_is_led_away_from_what_the_classifier_knows(cells):
    z, system = cells
    classifier = SystemClassifier(3, 3, generator())
    for _ in range(100):
        classifier.learn(z, system)
    known = classifier.loss(z, system)
    assert known < 0.2
    # learning may also take place where no gradients are wanted, fooling never moves the classifier
    weights = [p.clone() for p in classifier.parameters()]
    z = z.detach().requires_grad_()
    classifier.fooling_loss(z, system).backward()
    assert all(p.grad is None for p in classifier.parameters())
    with torch.no_grad():
        assert classifier.loss(z - 5 * z.grad, system) > known
        classifier.learn(z, system)
    assert not torch.equal(next(classifier.parameters()), weights[0])


def test_a_frozen_classifier_does_not_learn(cells):
    classifier = SystemClassifier(3, 3, generator())
    classifier.frozen = True
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    torch.testing.assert_close(classifier.learn(*cells), classifier.loss(*cells))
    for name, value in classifier.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_the_state_of_learning_is_saved_with_the_weights(cells):
    one, other = SystemClassifier(3, 3, generator()), SystemClassifier(3, 3, generator(5))
    one.learn(*cells)
    other.load_state_dict(one.state_dict())
    one.learn(*cells), other.learn(*cells)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
