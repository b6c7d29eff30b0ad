"""Adam on one vector against torch's, in float64 and float32."""

import pytest
import torch

from scsystems.train.adam import FlatAdam


def pair(dtype, decoupled):
    start = torch.randn(1001, generator=torch.Generator().manual_seed(0)).to(dtype)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    options = {"lr": 3e-3, "eps": 0.01, "weight_decay": 0.1}
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    return FlatAdam(ours, **options, decoupled=decoupled), kind([theirs], **options)


def advance(optimizer, parameter, steps, seed=1):
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        parameter.grad = torch.randn(len(parameter), generator=g).to(parameter.dtype)
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.9  # schedules change it on the way


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_steps_are_those_of_torch(dtype, tolerance, decoupled):
    ours, theirs = pair(dtype, decoupled)
    expected = theirs.param_groups[0]["params"][0]
    advance(ours, ours.vector, 20)
    advance(theirs, expected, 20)
    torch.testing.assert_close(ours.vector, expected, rtol=tolerance, atol=tolerance)


def test_a_saved_state_goes_on():
    whole, _ = pair(torch.float32, False)
    first, _ = pair(torch.float32, False)
    advance(whole, whole.vector, 3)
    advance(first, first.vector, 3)
    second, _ = pair(torch.float32, False)
    with torch.no_grad():
        second.vector.copy_(first.vector)
    second.load_state_dict(first.state_dict())
    advance(whole, whole.vector, 4, seed=2)
    advance(second, second.vector, 4, seed=2)
    assert torch.equal(whole.vector, second.vector)


def test_parts_with_gradients_of_their_own_are_a_step():
    whole, _ = pair(torch.float32, False)
    parts, _ = pair(torch.float32, False)
    halves = [pair(torch.float32, False)[0] for _ in range(2)]
    parts.share(2)
    for half in halves:
        half.vector.data, half.mean, half.square = parts.vector.data, parts.mean, parts.square
        half.journal = parts.journal
    gradients = torch.randn(3, 1001, generator=torch.Generator().manual_seed(1))
    for along in (gradients[:2], gradients[2:]):
        for gradient in along:
            whole.vector.grad = gradient
            whole.step()
        for number, part in enumerate((slice(500), slice(500, None))):
            halves[number].steps(along, number, part)
    assert [half.n_steps for half in halves] == [3, 3]
    assert torch.equal(whole.vector, parts.vector)


def test_a_shared_state_is_the_same():
    own, _ = pair(torch.float32, False)
    shared, _ = pair(torch.float32, False)
    for optimizer in (own, shared):
        advance(optimizer, optimizer.vector, 2)
    shared.share(2)
    for optimizer in (own, shared):
        advance(optimizer, optimizer.vector, 2)
    assert torch.equal(own.vector, shared.vector)
