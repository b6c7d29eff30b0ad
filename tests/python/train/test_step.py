"""Steps along gradients that were taken together, against the same by hand in float64."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scsystems.data.resident import CellArrays, ResidentCells
from scsystems.data.source import epoch_schedule
from scsystems.train.adam import FlatAdam
from scsystems.train.flat import flat_parameters
from scsystems.train.parallel.forked import can_fork
from scsystems.train.step import Steps, together

TARGET = torch.tensor([1.0, -2.0, 0.5]).double()


class Loss(NamedTuple):
    total: Tensor
    half: Tensor


def squares(net):
    """Least squares with its gradient by hand; the other loss tells the epoch, too."""

    def gradients(batch, epoch, generator, same_weights):
        x = batch.x.double()
        error = x @ net.weight.detach() - x @ TARGET
        net.weight.grad.copy_(2 * (x * error[:, None]).mean(0))
        return Loss(error.square().mean(), error.square().mean() / 2 + epoch)

    return gradients


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3).double())


@pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
@pytest.mark.parametrize("clip", [None, 1.0])
def test_steps_together(clip):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    cells = ResidentCells(CellArrays(x, np.zeros(40, np.int64)), torch.device("cpu"))
    net = Net()
    # 5 minibatches for 2 processes: one is alone at the end
    with flat_parameters(list(net.parameters()), 2) as flat:
        adam = FlatAdam(flat.vector, 0.05, 1e-8, 0.0, False)
        generator = torch.Generator().manual_seed(1)
        steps = Steps(squares(net), flat, cells, 8, adam, generator, clip)
        with together(steps, net):
            seen = [steps.train_epoch(epoch) for epoch in range(2)]
        assert steps.workers is None

    weight = nn.Parameter(torch.zeros(3).double())
    expected = torch.optim.Adam([weight], lr=0.05, eps=1e-8)
    generator = torch.Generator().manual_seed(1)
    for epoch, losses in enumerate(seen):
        total = []
        for group in epoch_schedule(40, 8, generator, "cpu").split(2):
            torch.randint(2**62, (len(group) - 1, 1), generator=generator)
            parts = [torch.from_numpy(x[indices]).double() for indices in group]
            errors = [part @ (weight.detach() - TARGET) for part in parts]
            total += [float(error.square().mean()) for error in errors]
            for part, error in zip(parts, errors, strict=True):
                weight.grad = 2 * (part * error[:, None]).mean(0)
                if clip is not None:
                    nn.utils.clip_grad_norm_(weight, clip)
                expected.step()
        np.testing.assert_allclose(losses["train_loss"], np.mean(total), rtol=1e-12)
        np.testing.assert_allclose(losses["half_train"], np.mean(total) / 2 + epoch, rtol=1e-12)
    np.testing.assert_allclose(net.weight.detach(), weight.detach(), rtol=1e-9)
