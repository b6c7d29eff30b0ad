from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scsystems.data.resident import CellArrays, ResidentCells
from scsystems.errors import InputError, ModelFileError, NonFiniteError
from scsystems.train.loop import FitSettings, fit
from scsystems.train.schedules import EarlyStopping, ReduceLearningRate

CPU = torch.device("cpu")


class Loss(NamedTuple):
    total: Tensor
    elbo: Tensor


class Regression(nn.Module):
    """Least squares with noise from the generator, so that resuming has randomness to get right."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def loss(self, batch, epoch, generator, train):
        noise = 0.1 * torch.randn(len(batch.x), generator=generator) if train else 0.0
        error = (
            (batch.x @ self.weight - batch.x @ torch.tensor([1.0, -2.0, 0.5]) + noise)
            .square()
            .mean()
        )
        return Loss(error, error * 2)


def cells(n=64):
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return ResidentCells(CellArrays(x, np.zeros(n, np.int64)), CPU)


def settings(**options):
    return FitSettings(
        **{"max_epochs": 6, "batch_size": 16, "lr": 0.05, "eps": 1e-8, "verbose": False} | options
    )


def run(net=None, validation=None, callbacks=(), **options):
    net = net or Regression()
    generator = torch.Generator().manual_seed(0)
    result = fit(
        net, net.loss, cells(), settings(**options), generator, validation, callbacks, {"data": 1}
    )
    return net, result


def test_it_learns_and_keeps_the_history():
    net, result = run(max_epochs=200, validation=cells(20))
    np.testing.assert_allclose(net.weight.detach(), [1, -2, 0.5], atol=0.05)
    assert set(result.history) == {"train_loss", "elbo_train", "validation_loss", "elbo_validation"}
    assert [e for e, _ in result.history["train_loss"]] == list(range(200))
    values = [v for _, v in result.history["train_loss"]]
    assert values[-1] < 0.1 * values[0]
    np.testing.assert_allclose(
        np.array(result.history["elbo_train"])[:, 1], 2 * np.array(values), rtol=1e-5
    )
    assert (result.stopped, result.n_epochs, net.training) == ("max_epochs", 200, False)


def test_fused_adam_equals_the_formula():
    """One step by hand in float64: Adam with L2 weight decay."""
    net, _ = run(max_epochs=1, batch_size=64, lr=0.1, eps=0.01, weight_decay=0.5)
    x = cells()._dense.double()
    order = torch.randperm(64, generator=(g := torch.Generator().manual_seed(0)))
    noise = 0.1 * torch.randn(64, generator=g).double()
    residual = -x[order] @ torch.tensor([1.0, -2.0, 0.5]).double() + noise
    grad = 2 * (x[order] * residual[:, None]).mean(0)
    expected = -0.1 * grad / (grad.abs() + 0.01)
    np.testing.assert_allclose(net.weight.detach(), expected, rtol=1e-4)


@pytest.mark.parametrize("validation", [None, cells(20)])
def test_resuming_gives_the_identical_result(tmp_path, validation):
    options = {
        "validation": validation,
        "reduce_lr": ReduceLearningRate("train_loss", 0.5, 2, 0.1),
        "early_stopping": EarlyStopping("train_loss", patience=9),
    }
    whole, whole_result = run(max_epochs=12, **options)
    run(max_epochs=7, checkpoint_dir=tmp_path, checkpoint_every=7, **options)
    resumed, result = run(
        max_epochs=12, checkpoint_dir=tmp_path, checkpoint_every=50, resume=True, **options
    )
    assert torch.equal(whole.weight, resumed.weight)
    assert result.history == whole_result.history


def test_resuming_another_run_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="no checkpoint in"):
        run(checkpoint_dir=tmp_path, resume=True)
    with pytest.raises(InputError, match="resume=True needs checkpoint_dir"):
        run(resume=True)
    run(checkpoint_dir=tmp_path)
    with pytest.raises(InputError, match="other data, model or training arguments"):
        run(checkpoint_dir=tmp_path, resume=True, lr=0.01, max_epochs=9)


def test_resume_auto_begins_where_there_is_nothing(tmp_path):
    whole, _ = run(max_epochs=6)
    options = {"checkpoint_dir": tmp_path / "new", "resume": "auto"}
    run(max_epochs=4, **options)
    resumed, result = run(**options)
    assert torch.equal(whole.weight, resumed.weight)
    assert result.n_epochs == 6
    with pytest.raises(InputError, match="other data, model or training arguments"):
        run(lr=0.01, **options)
    with pytest.raises(InputError, match="resume='auto' needs checkpoint_dir"):
        run(resume="auto")
    with pytest.raises(InputError, match="resume='perhaps'"):
        run(resume="perhaps")


def test_early_stopping():
    _, result = run(max_epochs=500, early_stopping=EarlyStopping("elbo_train", 1e-3, 5))
    assert result.stopped == "early_stopping"
    assert 5 < result.n_epochs < 500
    with pytest.raises(InputError, match=r"early_stopping_monitor='accuracy'.*elbo_train"):
        run(early_stopping=EarlyStopping("accuracy"))


def test_early_stopping_waits_for_the_next_validation():
    _, result = run(
        max_epochs=9,
        validation=cells(10),
        check_val_every_n_epoch=4,
        early_stopping=EarlyStopping(patience=1),
    )
    assert [e for e, _ in result.history["elbo_validation"]] == [3, 7]
    assert result.n_epochs == 9


def test_interrupt_keeps_what_was_learned():
    def interrupt(epoch, max_epochs, losses):
        if epoch == 3:
            raise KeyboardInterrupt

    net, result = run(callbacks=[interrupt])
    assert (result.stopped, result.n_epochs) == ("interrupted", 3)
    three, _ = run(max_epochs=3)
    assert torch.equal(net.weight, three.weight)


def test_callbacks_see_every_epoch_and_can_stop():
    seen = []

    def stop_at_four(epoch, max_epochs, losses):
        seen.append((epoch, max_epochs, sorted(losses)))
        return epoch < 4

    _, result = run(callbacks=[stop_at_four])
    assert seen == [(e, 6, ["elbo_train", "train_loss"]) for e in (1, 2, 3, 4)]
    assert result.stopped == "callback"


def test_non_finite_loss_says_where():
    class Exploding(Regression):
        def loss(self, batch, epoch, generator, train):
            good = super().loss(batch, epoch, generator, train)
            return Loss(good.total, good.elbo * (float("nan") if epoch == 2 else 1))

    with pytest.raises(NonFiniteError, match=r"epoch 3 \(part: elbo_train\).*learning rate"):
        run(Exploding())


def test_weights_that_the_last_step_ruins_are_no_result():
    class Root(Regression):
        """At zero a root is finite, and its slope is not."""

        def loss(self, batch, epoch, generator, train):
            total = self.weight.sum().sqrt()
            return Loss(total, total)

    with pytest.raises(NonFiniteError, match=r"weights became NaN .* epoch 1\..*lr is 0.05"):
        run(Root(), max_epochs=1, batch_size=64)


def test_gradient_clipping_limits_the_step():
    net, _ = run(max_epochs=1, batch_size=64, gradient_clip_val=1e-9, eps=1.0, weight_decay=0.0)
    assert float(net.weight.detach().abs().max()) < 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"max_epochs": 2.5}, "max_epochs=2.5"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"lr": -1}, "lr=-1"),
        ({"optimizer": "SGD"}, "optimizer='SGD'"),
        ({"check_val_every_n_epoch": 0}, "check_val_every_n_epoch=0"),
        ({"n_threads": 0}, "n_threads=0"),
        ({"n_threads": "all"}, "n_threads='all'"),
        ({"n_threads": float("inf")}, "n_threads=inf"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(InputError, match=message):
        settings(**options)


@pytest.mark.parametrize(
    ("small", "asked", "expected"), [(2**20, None, 1), (0, None, 2), (2**20, 3, 3), (0, 1.0, 1)]
)
def test_small_minibatches_train_on_one_thread_unless_asked(monkeypatch, small, asked, expected):
    monkeypatch.setattr("scsystems.train.loop.SMALL_MINIBATCH", small)
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        count = [lambda *_: seen.append(torch.get_num_threads())]
        run(callbacks=count, max_epochs=2, n_threads=asked)
        assert seen == [expected] * 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
