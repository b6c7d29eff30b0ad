"""Example data for R."""

from __future__ import annotations

from typing import Any

import scsystems as scs
from scsystems.r import values
from scsystems.r.envelope import guarded


@guarded
def pancreas(path: str | None = None) -> dict[str, Any]:
    """Counts, genes x cells, and metadata of :func:`scsystems.datasets.pancreas`."""
    return _parts(scs.datasets.pancreas(path))


@guarded
def pancreas_by_species(path: str | None = None) -> dict[str, Any]:
    """The same for each species with its own genes, and ``orthologs`` as columns."""
    species, table = scs.datasets.pancreas_by_species(path)
    parts = {name: _parts(adata) for name, adata in species.items()}
    return {**parts, "orthologs": values.frame_to_parts(table.pairs)}


def _parts(adata: Any) -> dict[str, Any]:
    return {
        "matrix": values.matrix_to_parts(adata.X),
        "obs": values.frame_to_parts(adata.obs.drop(columns="system")),
        "genes": [str(name) for name in adata.var_names],
        "cells": [str(name) for name in adata.obs_names],
    }
