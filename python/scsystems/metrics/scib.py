"""The one door to scib-metrics, which is an optional dependency (extra ``metrics``)."""

from __future__ import annotations

import logging
import warnings
from types import ModuleType

from scsystems.errors import require_extra

from .neighbors import Neighbors


def scib() -> ModuleType:
    """Import scib-metrics, without its (and jax's) warnings at import and its log lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = require_extra("scib_metrics", "metrics")
    # it logs every label that it skips at level INFO on a handler of its own
    logging.getLogger("scib_metrics").setLevel(logging.WARNING)
    return module


def scib_neighbors(neighbors: Neighbors, k: int):
    """The first ``k`` neighbors as scib-metrics' type."""
    near = neighbors.first(k)
    module = scib()
    return module.nearest_neighbors.NeighborsResults(indices=near.indices, distances=near.distances)
