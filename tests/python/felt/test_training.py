"""Every setting of the training loop is felt inside it.

That a model's settings reach the loop is seen in test_sysvi.py and test_scspecies.py.
"""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from felt import Recorder, Trial, arguments_of, check
from torch import Tensor, nn

from scsystems.data.resident import CellArrays, ResidentCells
from scsystems.train import loop
from scsystems.train import run as epochs
from scsystems.train.loop import FitSettings, fit
from scsystems.train.schedules import EarlyStopping, ReduceLearningRate

FUNCTIONS = {"fit": fit, "FitSettings": FitSettings}
SETTINGS = {"max_epochs": 3, "batch_size": 16, "lr": 0.05, "verbose": False}


class Loss(NamedTuple):
    total: Tensor
    elbo: Tensor


class Net(nn.Module):
    """Least squares with noise."""

    def __init__(self, start):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), start))

    def squares(self, batch, epoch, generator, train):
        noise = 0.1 * torch.randn(len(batch.x), generator=generator)
        error = (batch.x @ self.weight - batch.x.sum(1) + noise).square().mean()
        return Loss(error, 2 * error)

    def distances(self, batch, epoch, generator, train):
        error = (batch.x @ self.weight - batch.x.sum(1)).abs().mean()
        return Loss(error, 2 * error)

    def ones(self, batch, epoch, generator, same_weights):
        """No loss's gradient, so that it is seen which was followed."""
        self.weight.grad.copy_(torch.ones(3))
        return Loss(self.weight.detach().sum(), batch.x.sum())


def cells(n=40, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return ResidentCells(CellArrays(x, np.zeros(n, np.int64)), torch.device("cpu"))


def train(net, loss, generator, settings, gradients, callbacks, **more):
    """What a training leaves, and what it showed, wrote and used on the way."""
    net, told = Net(net), []
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        recorder.watch(epochs, "write_checkpoint", lambda folder, *args: (str(folder), args[-1]))
        recorder.watch(
            loop,
            "tqdm",
            lambda **bar: (bar["disable"], bar["desc"]),
            lambda bar: bar | {"disable": True},
        )
        # as if the device were one that can record steps
        patch.setattr(loop, "can_record", lambda device: True)
        patch.setattr(loop, "RecordedStep", lambda step, generator: told.append("recorded") or step)
        result = fit(
            net,
            getattr(net, loss),
            settings=FitSettings(**SETTINGS | settings),
            generator=torch.Generator().manual_seed(generator),
            callbacks=[lambda *losses: told.append(losses), *callbacks],
            gradients=None if gradients is None else getattr(net, gradients),
            **more,
        )
    return net, result, told, recorder.found


def with_settings(**settings):
    return train(
        0.5, "squares", 0, settings, None, (), train_cells=cells(), validation_cells=cells(8)
    )


def trials(folder) -> dict[str, Trial]:
    watched = "train_loss"
    kept = {"checkpoint_dir": folder / "kept"}
    in_two = {"fixed": True, "gradients": "ones", "settings": {"n_threads": 2}}
    return {
        "fit": Trial({
            "net": (0.5, 1.0), "loss": ("squares", "distances"),
            "train_cells": (cells(), cells(seed=1)), "settings": ({}, {"max_epochs": 4}),
            "generator": (0, 1), "validation_cells": (None, cells(8)),
            "callbacks": ((), (lambda *_: False,)),
            "identity": (None, {"data": 2}, {"settings": {"checkpoint_dir": folder / "of_fit"}}),
            "gradients": (None, "ones"), "fixed": (False, True),
            "closed_form": (False, True, in_two), "earlier": (None, {watched: [(0, 1.0)]}),
        }, train),
        "FitSettings": Trial({
            "max_epochs": (3, 4), "batch_size": (16, 10),
            "optimizer": ("Adam", "AdamW", {"weight_decay": 0.5}), "lr": (0.05, 0.01),
            "eps": (0.01, 0.5), "weight_decay": (1e-6, 0.5), "gradient_clip_val": (None, 1e-3),
            "check_val_every_n_epoch": (1, 2),
            "early_stopping": (None, EarlyStopping(watched, min_delta=100.0, patience=1)),
            "reduce_lr": (None, ReduceLearningRate(watched, patience=0, threshold=100.0)),
            "n_threads": (None, 2), "checkpoint_dir": (None, folder / "new"),
            "checkpoint_every": (10, 1, {"checkpoint_dir": folder / "every"}),
            "resume": (False, True, kept), "verbose": (False, True),
            "description": ("Training", "Other"),
        }, with_settings),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return trials(tmp_path_factory.mktemp("felt")), {}


@pytest.mark.parametrize(("name", "argument"), arguments_of(FUNCTIONS))
def test_argument_is_felt(tried, name, argument):
    table, seen = tried
    check(FUNCTIONS[name], table[name], argument, seen)


# ---- plateaus, by epochs counted by hand ---------------------------------------------------------

VALUES = (5.0, 4.0, 3.5, 3.25, *[3.125] * 6)


def scripted(net, **settings):
    """A training whose loss is given for every epoch, ``elbo`` being its negative."""

    def loss(batch, epoch, generator, train):
        value = VALUES[epoch] + 0.0 * net.weight.sum()
        return Loss(value, -value)

    generator = torch.Generator().manual_seed(0)
    given = FitSettings(**SETTINGS | {"max_epochs": len(VALUES)} | settings)
    return fit(net, loss, cells(), given, generator)


@pytest.mark.parametrize(
    ("rule", "epochs"),
    [
        ({}, 7),
        ({"monitor": "elbo_train"}, 3),
        ({"min_delta": 0.9}, 4),
        ({"patience": 3}, 8),
        ({"warmup_epochs": 5}, 8),
        ({"mode": "max"}, 3),
    ],
    ids=str,
)
def test_training_stops_when_the_rule_says(rule, epochs):
    stopping = EarlyStopping(**{"monitor": "train_loss", "patience": 2} | rule)
    result = scripted(Net(0.5), early_stopping=stopping)
    assert (result.n_epochs, result.stopped) == (epochs, "early_stopping")


@pytest.mark.parametrize(
    ("rule", "rates"),
    [
        ({}, [1.0] * 6 + [0.5] * 2 + [0.25] * 2),
        (
            {"monitor": "elbo_train"},
            [1.0] * 2 + [0.5] * 2 + [0.25] * 2 + [0.125] * 2 + [0.0625] * 2,
        ),
        ({"factor": 0.1}, [1.0] * 6 + [0.1] * 2 + [0.01] * 2),
        ({"patience": 2}, [1.0] * 7 + [0.5] * 3),
        ({"threshold": 0.9}, [1.0] * 3 + [0.5] * 2 + [0.25] * 2 + [0.125] * 2 + [0.0625]),
        ({"minimum": 0.4}, [1.0] * 6 + [0.5] * 2 + [0.4] * 2),
    ],
    ids=str,
)
def test_the_learning_rate_falls_when_the_rule_says(rule, rates, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        epochs, "write_checkpoint", lambda *args: seen.append(args[-1].learning_rate)
    )
    reducing = ReduceLearningRate(
        **{"monitor": "train_loss", "factor": 0.5, "patience": 1, "minimum": 0.0} | rule
    )
    scripted(Net(0.5), lr=1.0, reduce_lr=reducing, checkpoint_dir=tmp_path, checkpoint_every=1)
    assert seen == pytest.approx(rates)


def test_every_part_of_a_rule_is_tried():
    """Each has a row of its own above."""
    for test, rule in (
        (test_training_stops_when_the_rule_says, EarlyStopping),
        (test_the_learning_rate_falls_when_the_rule_says, ReduceLearningRate),
    ):
        (mark,) = [m for m in test.pytestmark if m.name == "parametrize"]
        tried = {name for given, _ in mark.args[1] for name in given}
        assert tried == set(rule.__dataclass_fields__)
