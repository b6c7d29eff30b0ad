"""Checkpoints from which training goes on to the identical result."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, ModelFileError
from ..files import read_folder, write_folder
from .adam import FlatAdam

logger = logging.getLogger(__name__)

NAME = "checkpoint"


def fingerprint(facts: dict[str, Any]) -> str:
    """A short hash of everything that must be equal for a resumed run to be the same run."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_checkpoint(
    folder: str | Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer | FlatAdam,
    generator: torch.Generator,
    record: dict[str, Any],
) -> None:
    """Replace the checkpoint in ``folder`` by the present state."""
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()})
    tensors["generator"] = generator.get_state()
    write_folder(Path(folder) / NAME, NAME, tensors, record, overwrite=True)


def read_checkpoint(
    folder: str | Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer | FlatAdam,
    generator: torch.Generator,
    expected_fingerprint: str,
) -> dict[str, Any]:
    """Put the state of the checkpoint in ``folder`` into the given objects; returns its record."""
    path = Path(folder) / NAME
    if not path.exists():
        raise ModelFileError(
            f"resume=True, but there is no checkpoint in {folder}. Expected the checkpoint_dir of an earlier "
            "train() call; start without resume to begin anew."
        )
    tensors, record = read_folder(path, NAME)
    if record["fingerprint"] != expected_fingerprint:
        raise InputError(
            f"The checkpoint in {folder} was written by a run with other data, model or training arguments. "
            "Expected the same call as before; only max_epochs may differ. Resume with the same arguments, or "
            "begin anew in another checkpoint_dir."
        )
    net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    optimizer.load_state_dict(_optimizer_state(optimizer, tensors, record["learning_rate"]))
    generator.set_state(tensors["generator"].to(torch.uint8).cpu())
    return record


def _optimizer_state(
    optimizer: torch.optim.Optimizer | FlatAdam, tensors: dict[str, Tensor], lr: float
) -> dict:
    state = optimizer.state_dict()
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimizer":
            index, name = rest.split(".")
            state["state"].setdefault(int(index), {})[name] = value
    for group in state["param_groups"]:
        # on a GPU it stays where a recorded step finds it
        group["lr"] = group["lr"].fill_(lr) if isinstance(group["lr"], Tensor) else lr
    return state
