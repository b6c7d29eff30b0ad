"""``plan_kwargs`` and the other arguments of ``train()``, translated for the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ... import checks
from ...errors import InputError, warn
from ...nn.sysvi.net import SysVIWeights
from ...train.schedules import EarlyStopping, ReduceLearningRate
from ...words import argument, door, word

_WARMUP = ("n_epochs_kl_warmup", "n_steps_kl_warmup", "min_kl_weight")
_OPTIMIZER = ("optimizer", "lr", "eps", "weight_decay")
_LOSS = {
    "reconstruction_weight": "reconstruction",
    "kl_weight": "kl",
    "max_kl_weight": "kl",
    "z_distance_cycle_weight": "cycle",
    "adversary_weight": "adversary",
    "label_weight": "label",
}
_NUMBERS = ("lr", "eps", "weight_decay", *_LOSS)
_REDUCE = {
    "lr_scheduler_metric": "monitor",
    "lr_factor": "factor",
    "lr_patience": "patience",
    "lr_threshold": "threshold",
    "lr_min": "minimum",
}
KNOWN_PLAN_KWARGS = (*_OPTIMIZER, *_LOSS, "reduce_lr_on_plateau", *_REDUCE, *_WARMUP)


@dataclass(frozen=True)
class Plan:
    """What ``plan_kwargs`` says: weights of the loss, optimizer options, learning-rate reduction."""

    weights: SysVIWeights
    optimizer: dict[str, Any]
    reduce_lr: ReduceLearningRate | None


def read_plan(plan_kwargs: dict[str, Any] | None, defaults: dict[str, float]) -> Plan:
    """Check ``plan_kwargs`` and sort its entries; a missing one has its default, if it is in ``defaults``."""
    given = dict(plan_kwargs or {})
    unknown = sorted(set(given) - set(KNOWN_PLAN_KWARGS))
    if unknown:
        raise InputError(
            f"{word('plan_kwargs')} has unknown entries: {unknown}. Expected some of {sorted(KNOWN_PLAN_KWARGS)}."
        )
    if any(given.pop(name, 0) for name in _WARMUP):
        warn(
            "The use of KL weight warmup is not recommended in SysVI. It hurts integration with the cycle loss; "
            "n_epochs_kl_warmup, n_steps_kl_warmup and min_kl_weight are reset to 0."
        )
    if "kl_weight" in given and "max_kl_weight" in given:
        raise InputError(
            f"{word('plan_kwargs')} has both kl_weight and max_kl_weight, which mean the same. Give one."
        )
    for name in _NUMBERS:
        if name in given:
            given[name] = checks.number(_entry(name), given[name], at_least=0)
    weights = {field: given[name] for name, field in _LOSS.items() if name in given}
    reduce_lr = None
    if checks.flag("reduce_lr_on_plateau", given.get("reduce_lr_on_plateau", False)):
        reduce_lr = ReduceLearningRate(**{f: given[n] for n, f in _REDUCE.items() if n in given})
    elif named := sorted(set(given) & set(_REDUCE)):
        raise InputError(
            f"{word('plan_kwargs')} has {named} without reduce_lr_on_plateau, so they would do nothing."
        )
    usual = {field: defaults[name] for name, field in _LOSS.items() if name in defaults}
    everything = defaults | given
    optimizer = {k: everything[k] for k in _OPTIMIZER if k in everything}
    return Plan(SysVIWeights(**usual | weights), optimizer, reduce_lr)


def _entry(name: str) -> str:
    """How an entry is called: in Python with its place, elsewhere it has a name of its own."""
    return f"plan_kwargs: {name}" if door() == "python" else argument(name)


def read_early_stopping(
    early_stopping: bool,
    monitor: str,
    min_delta: float,
    patience: int,
    warmup_epochs: int,
    mode: Literal["min", "max"],
) -> EarlyStopping | None:
    """The early-stopping rule, if asked for."""
    if not checks.flag("early_stopping", early_stopping):
        return None
    return EarlyStopping(monitor, min_delta, patience, warmup_epochs, mode)
