"""Figures: axes go in and come out, so that they can be arranged and changed freely."""

from .batch_strength import batch_strength
from .jaccard import jaccard_by_type
from .prior import prior_components
from .tradeoff import metric_strips, tradeoff
from .training import training_curves
from .umap import umap_coordinates, umap_panels

__all__ = [
    "batch_strength",
    "jaccard_by_type",
    "metric_strips",
    "prior_components",
    "tradeoff",
    "training_curves",
    "umap_coordinates",
    "umap_panels",
]
