"""How many cells one GPU takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from scsystems.data import room
from scsystems.errors import DeviceMemoryError

from .bench import Bench


def largest(bench: Bench) -> list[dict]:
    """Two million cells on one GPU: do they train, how fast, and how much memory do they take?

    As ``train()`` chooses by itself, sparse, dense, and in blocks from the computer's memory.
    """
    adata = bench.simulated(bench.sizes.largest)
    rows: list[dict] = []
    for storage in ("auto", "sparse", "dense", "blocks"):
        if rows and bench.left() < rows[-1].get("seconds_of_an_epoch", 0):
            rows.append({"storage": storage, "not_run": "no time left"})
            continue
        if bench.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        row: dict = {"cells": adata.n_obs, "storage": storage}
        try:
            with no_room(storage == "blocks" and bench.on_gpu):
                asked = "auto" if storage == "blocks" else storage
                _, row["seconds_of_an_epoch"] = bench.train(
                    adata, 1, batch_size=1024, storage=asked
                )
        except DeviceMemoryError as error:
            row["refused"] = str(error)
        if bench.on_gpu:
            row["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
        rows.append(row)
    return rows


@contextmanager
def no_room(on: bool) -> Iterator[None]:
    """For the time of the block the package finds no room for cells on the GPU."""
    before = room.free_memory
    if on:
        room.free_memory = lambda device: 1
    try:
        yield
    finally:
        room.free_memory = before
