import torch

from scsystems.nn.adversary import SystemClassifier


def test_gradient_descends_for_the_classifier_and_ascends_for_the_encoder():
    classifier = SystemClassifier(3, 2, torch.Generator().manual_seed(0))
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    system = (z[:, 0] > 0).long().detach()
    loss = classifier.loss(z, system).mean()
    loss.backward()
    plain = torch.nn.functional.cross_entropy(classifier(z.detach()), system)
    torch.testing.assert_close(loss, plain)
    with torch.no_grad():
        moved_z = z - 0.5 * z.grad
        assert torch.nn.functional.cross_entropy(classifier(moved_z), system) > plain
        for p in classifier.parameters():
            p -= 0.5 * p.grad
        assert torch.nn.functional.cross_entropy(classifier(z), system) < plain
