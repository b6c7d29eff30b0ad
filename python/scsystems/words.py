"""The user's own words: one message, said in the terms of Python, R or the command line.

Code below the doors raises errors in terms of what is wrong ("the column that names the
system"); how the user wrote that depends on the door the call came through. The R bridge and
the command line say which door it is with `spoken_by`; everything else is Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Door = Literal["python", "r", "cli"]

_door: ContextVar[Door] = ContextVar("door", default="python")

# what is meant -> how it is written in each door
TERMS: dict[str, dict[Door, str]] = {
    # arguments of SysVI.setup_anndata
    "system": {"python": "batch_key", "r": "system", "cli": "--system"},
    "covariates": {
        "python": "categorical_covariate_keys",
        "r": "covariates",
        "cli": "--covariates",
    },
    "continuous": {
        "python": "continuous_covariate_keys",
        "r": "continuous_covariates",
        "cli": "--continuous",
    },
    # the same things in scsystems.pp.prepare and select_features
    "prepared system": {"python": "system_key", "r": "system", "cli": "--system"},
    "sample": {"python": "batch_key", "r": "covariates", "cli": "--covariates"},
    # of ScSpecies
    "species batch": {"python": "batch_key", "r": "batch", "cli": "--batch"},
    "labels": {"python": "labels", "r": "labels", "cli": "--labels"},
    "layer": {"python": "layer", "r": "assay", "cli": "--layer"},
    # ways out
    "normalize": {
        "python": "scanpy.pp.normalize_total(adata) and scanpy.pp.log1p(adata)",
        "r": "NormalizeData() (Seurat) or scuttle::logNormCounts() (SingleCellExperiment)",
        "cli": "scanpy.pp.normalize_total and scanpy.pp.log1p before writing the file",
    },
    "log": {
        "python": "scanpy.pp.log1p(adata)",
        "r": "NormalizeData() (Seurat) or scuttle::logNormCounts() (SingleCellExperiment)",
        "cli": "scanpy.pp.log1p before writing the file",
    },
}


@contextmanager
def spoken_by(door: Door) -> Iterator[None]:
    """For the time of the block, messages use the terms of a door."""
    token = _door.set(door)
    try:
        yield
    finally:
        _door.reset(token)


def word(term: str) -> str:
    """What the user calls a term of `TERMS`."""
    return TERMS[term][_door.get()]


def column(key: str) -> str:
    """A column of cell data."""
    return f"adata.obs[{key!r}]" if _door.get() == "python" else f"column {key!r}"


def expression(layer: str | None = None) -> str:
    """The matrix of expression."""
    if _door.get() == "r":
        return "The expression"
    if layer is None:
        return "adata.X" if _door.get() == "python" else "X"
    return f"adata.layers[{layer!r}]" if _door.get() == "python" else f"layer {layer!r}"
