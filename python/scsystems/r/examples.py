"""Example data for R."""

from __future__ import annotations

from typing import Any

import scsystems as scs
from scsystems.r import values
from scsystems.r.envelope import guarded


@guarded
def pancreas(path: str | None = None) -> dict[str, Any]:
    """Counts, genes x cells, and metadata of :func:`scsystems.datasets.pancreas`."""
    adata = scs.datasets.pancreas(path)
    return {
        "matrix": values.matrix_to_parts(adata.X),
        "obs": values.frame_to_parts(adata.obs.drop(columns="system")),
        "genes": [str(name) for name in adata.var_names],
        "cells": [str(name) for name in adata.obs_names],
    }
