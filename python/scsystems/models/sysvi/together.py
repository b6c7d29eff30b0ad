"""Cells of SysVI where several processes train one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InputError
from ...train.parallel.distributed import process_group


def check_systems(systems: Sequence[str], code: np.ndarray) -> None:
    """In a process group, refuse cells that are not there in every process.

    Parameters
    ----------
    systems
        Names of the systems.
    code
        Of the cells to train on, the number of their system.

    Raises
    ------
    InputError
        In all processes, if one of them has no cells of a system that another one has, or if a system has fewer cells
        than there are processes.
    """
    if (group := process_group()) is None:
        return
    counts = np.bincount(code, minlength=len(systems)).tolist()
    everyone = group.tell(dict(zip(systems, counts, strict=True)))
    names = list(dict.fromkeys(name for there in everyone for name in there))
    for number, there in enumerate(everyone):
        if missing := [name for name in names if not there.get(name)]:
            raise InputError(
                f"Process {number} of the group has no cells of {', '.join(map(repr, missing))} to train on. Expected "
                "all cells in every process, which takes minibatches of its own from them: give the same file to all."
            )
    few = {name: n for name, n in everyone[0].items() if n < group.n}
    if few:
        name, n = next(iter(few.items()))
        raise InputError(
            f"{name!r} has {n} cells to train on, so that some of the {group.n} processes would be without. Expected "
            "at least one for each process. Start fewer."
        )
