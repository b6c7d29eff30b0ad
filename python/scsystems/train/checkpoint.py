"""Checkpoints from which training goes on to the identical result."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import torch
from torch import Tensor, nn

from .. import checks
from ..durable.steps import full_path
from ..durable.typed import typed
from ..errors import InputError, ModelFileError, NonFiniteError, WriteError
from ..files import check_folder, misfits, read_folder, write_folder
from ..words import word, written
from .adam import FlatAdam

logger = logging.getLogger(__name__)

NAME = "checkpoint"
KEPT = "Training goes on, and the last checkpoint that could be written stays."


# quantity -> (epoch from 0, value)
History = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Progress:
    """How far training has come, besides weights, optimizer and generator.

    ``stopping`` and ``reducing`` hold the values of a `scsystems.train.schedules.Plateau`.
    """

    fingerprint: str
    epoch: int
    history: History
    learning_rate: float
    stopping: dict[str, Any]
    reducing: dict[str, Any]
    # of trainings before this one
    earlier: History = field(default_factory=dict)


def fingerprint(facts: dict[str, Any]) -> str:
    """A short hash of everything that must be equal for a resumed run to be the same run."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_checkpoints(folder: str | Path) -> None:
    """Refuse a folder that no checkpoint could be written into, before training.

    Raises
    ------
    ModelFileError
        If a user's files are where the checkpoint would be.
    WriteError
        If nothing can be written there.
    """
    check_folder(full_path(folder) / NAME, NAME, overwrite=True)


def resume_choice(value: Any) -> bool | Literal["auto"]:
    """Whether to go on from a checkpoint: yes, no, or ``"auto"``, if there is one."""
    return "auto" if checks.plain(value) == "auto" else checks.flag("resume", value)


def has_checkpoint(folder: str | Path) -> bool:
    """Whether there is something to resume from."""
    return (full_path(folder) / NAME).exists()


def require_folder(folder: str | Path | None, resume: bool | str = True) -> Path:
    """The folder to resume from."""
    if folder is None:
        raise InputError(
            f"{written('resume', resume)} needs checkpoint_dir, the folder that an earlier training wrote to."
        )
    return full_path(folder)


def folders_by_name(
    folder: str | Path | None, names: Sequence[str], resume: bool | Literal["auto"]
) -> dict[str, Path]:
    """A folder for the checkpoints of each of several trainings, looked at before the first.

    Parameters
    ----------
    folder
        The folder they are in; ``None`` for no checkpoints.
    names
        Names of the trainings, whatever a user calls them.
    resume
        Whether one of them at least must have a checkpoint; with ``"auto"`` none has to.

    Raises
    ------
    ModelFileError
        If there is nothing to resume, or a user's files are where a checkpoint would be.
    """
    if folder is None and not resume:
        return {}
    folder = require_folder(folder, resume)
    # a name is not a path; dots alone would be one, too
    found = {
        name: folder / (quote(name, safe=" +,()[]&") if name.strip(".") else f"_{name}")
        for name in names
    }
    if resume is True and not any(map(has_checkpoint, found.values())):
        raise _nothing_to_resume(folder)
    for path in found.values():
        check_checkpoints(path)
    return found


def write_checkpoint(
    folder: str | Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer | FlatAdam,
    generator: torch.Generator,
    progress: Progress,
) -> None:
    """Replace the checkpoint in ``folder`` by the present state.

    A checkpoint that cannot be written is no reason to lose what was learned: there is a warning.
    """
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()})
    tensors["generator"] = generator.get_state()
    try:
        path = full_path(folder) / NAME
        write_folder(path, NAME, tensors, vars(progress), overwrite=True, kept=KEPT)
    except (WriteError, ModelFileError, NonFiniteError) as error:
        logger.warning("No checkpoint after epoch %d: %s", progress.epoch, error)


def read_checkpoint(
    folder: str | Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer | FlatAdam,
    generator: torch.Generator,
    expected_fingerprint: str,
) -> Progress:
    """Put the state of the checkpoint in ``folder`` into the given objects; returns how far it is.

    Raises
    ------
    ModelFileError
        If there is no checkpoint, or it is damaged; the objects are as they were.
    InputError
        If it is that of another training.
    """
    path = full_path(folder) / NAME
    if not path.exists():
        raise _nothing_to_resume(folder)
    tensors, record = read_folder(path, NAME)
    where = f"{path / NAME}.json"
    progress = typed(Progress, record, where)
    if progress.fingerprint != expected_fingerprint:
        raise InputError(
            f"The checkpoint in {folder} was written by a run with other data, model or training arguments, or in "
            f"another number of processes. Expected the same call as before; only {word('max_epochs')} may differ. "
            "Resume with the same arguments, or begin anew in another checkpoint_dir."
        )
    for name in ("stopping", "reducing"):
        _check_plateau(getattr(progress, name), f"{where}.{name}")
    if progress.epoch < 1 or progress.learning_rate < 0:
        raise _wrong(where, "an epoch or a learning rate that training cannot have")
    weights = {k[4:]: v for k, v in tensors.items() if k.startswith("net.")}
    if wrong := misfits(net.state_dict(), weights):
        raise _wrong(path, f"other weights than the model ({'; '.join(wrong[:3])})")
    state = _optimizer_state(optimizer, tensors, progress.learning_rate, path)
    random = tensors.get("generator")
    now = generator.get_state()
    if random is None or (random.dtype, random.shape) != (now.dtype, now.shape):
        raise _wrong(path, "no state of the generator of random numbers")
    try:
        generator.set_state(random.cpu())
    except RuntimeError as error:
        raise _wrong(path, "no state of the generator of random numbers") from error
    net.load_state_dict(weights)
    optimizer.load_state_dict(state)
    return progress


def _optimizer_state(
    optimizer: torch.optim.Optimizer | FlatAdam, tensors: dict[str, Tensor], lr: float, path: Path
) -> dict:
    state = optimizer.state_dict()
    # one vector of all parameters
    vector: Tensor
    if isinstance(optimizer, FlatAdam):
        vector = optimizer.vector
    else:
        (vector,) = optimizer.param_groups[0]["params"]
    n = vector.numel()
    state["state"] = {0: {}}
    for key, value in tensors.items():
        start, _, name = key.rpartition(".")
        if start == "optimizer.0":
            state["state"][0][name] = value
    found = {name: value.numel() for name, value in state["state"][0].items()}
    if found != {"step": 1, "exp_avg": n, "exp_avg_sq": n}:
        raise _wrong(path, f"an optimizer of other sizes ({found or 'none'})")
    if not _can_be_reached(**state["state"][0]):
        raise _wrong(path, "an optimizer in a state that no training leads to")
    for group in state["param_groups"]:
        # on a GPU it stays where a recorded step finds it
        group["lr"] = group["lr"].fill_(lr) if isinstance(group["lr"], Tensor) else lr
    return state


def _can_be_reached(step: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> bool:
    """Whether Adam's means of gradients and of their squares can be those of the same gradients.

    By Cauchy and Schwarz the first is at most sqrt(0.1^2 / (0.001 * (1 - 0.9^2 / 0.999))) = 7.3 roots
    of the second; squares of tiny gradients are zero. Other states would make steps without bounds.
    """
    if (exp_avg_sq < 0).any() or not step >= 1:
        return False
    return bool((exp_avg.abs() <= 8 * exp_avg_sq.sqrt() + 1e-15).all())


def _check_plateau(values: dict[str, Any], where: str) -> None:
    best, waited = values.get("best"), values.get("waited")
    # infinity before there was a value
    is_number = isinstance(best, (int, float)) and type(best) is not bool and not math.isnan(best)
    if set(values) != {"best", "waited"} or not is_number or type(waited) is not int or waited < 0:
        raise _wrong(where, "something else than the best value and the number of checks since")


def _nothing_to_resume(folder: str | Path) -> ModelFileError:
    return ModelFileError(
        f"{written('resume', True)}, but there is no checkpoint in {folder}. Expected the checkpoint_dir of an "
        "earlier training; start without it to begin anew."
    )


def _wrong(where: str | Path, what: str) -> ModelFileError:
    return ModelFileError(
        f"{where} holds {what}: it is damaged, or another version of scsystems wrote it. Copy the whole folder "
        "again, or begin anew without resume."
    )
