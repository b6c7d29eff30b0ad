import pytest
import torch
from torch import nn

from scsystems.train.flat import ALIGNMENT, flat_parameters


def test_parameters_are_views_within_and_their_own_afterwards():
    net = nn.Linear(3, 5)
    weight = net.weight.detach().clone()
    with flat_parameters(list(net.parameters())) as flat:
        vector = flat.vector
        assert len(vector) % ALIGNMENT == 0
        torch.testing.assert_close(net.weight.detach(), weight)
        net(torch.ones(2, 3)).sum().backward()
        torch.testing.assert_close(net.weight.grad, torch.full((5, 3), 2.0))
        assert float(vector.grad.sum()) == 15 * 2.0 + 5 * 2.0
        with torch.no_grad():
            vector.zero_()
        assert not net.weight.any()
    assert net.weight.grad is None
    assert net.weight.untyped_storage().nbytes() == 15 * 4
    assert not net.weight.any()


def test_one_step_on_the_vector_is_one_step_on_each():
    def step(flat):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
        parameters = list(net.parameters())
        if not flat:
            optimizer = torch.optim.Adam(parameters, lr=0.1, weight_decay=0.01)
            net(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
            return parameters
        with flat_parameters(parameters) as flat:
            vector = flat.vector
            optimizer = torch.optim.Adam([vector], lr=0.1, weight_decay=0.01)
            net(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
        return parameters

    for a, b in zip(step(True), step(False), strict=True):
        torch.testing.assert_close(a, b)


def test_parameters_are_given_back_when_the_block_fails():
    net = nn.Linear(2, 2)
    with pytest.raises(KeyError), flat_parameters(list(net.parameters())):
        raise KeyError
    assert net.weight.grad is None
    assert net.weight.untyped_storage().nbytes() == 16


def test_several_gradients_of_one_vector():
    net = nn.Linear(3, 5)
    with flat_parameters(list(net.parameters()), 2) as flat:
        for row in (0, 1):
            flat.write_gradients_to(row)
            net.weight.grad.fill_(row + 1.0)
        assert flat.gradients.shape == (2, len(flat.vector))
        assert flat.gradients.sum(1).tolist() == [15, 30]
        assert torch.equal(flat.vector.grad, flat.gradients[1])
    assert net.weight.untyped_storage().nbytes() == 15 * 4


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_parts_are_the_whole(n):
    with flat_parameters([nn.Parameter(torch.zeros(100)), nn.Parameter(torch.zeros(3))], n) as flat:
        parts = [range(len(flat.vector))[flat.part(row)] for row in range(n)]
        assert [i for part in parts for i in part] == list(range(len(flat.vector)))
        assert all(part.start % ALIGNMENT == 0 for part in parts)


def test_numbers_beside_the_gradient_are_sent_with_it():
    net = nn.Linear(3, 5)
    with flat_parameters(list(net.parameters()), n_beside=4) as flat:
        n = len(flat.vector)
        net(torch.ones(2, 3)).sum().backward()
        flat.beside.copy_(torch.arange(4.0))
        assert flat.sent.tolist() == [*flat.vector.grad.tolist(), 0, 1, 2, 3]
        assert n % ALIGNMENT == 0
        flat.sent.mul_(0.5)
        assert float(net.weight.grad[0, 0]) == 1.0
