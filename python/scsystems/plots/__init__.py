"""Figures: axes go in and come out, so that they can be arranged and changed freely."""

from .batch_strength import batch_strength
from .fold_changes import fold_change_scatter
from .jaccard import jaccard_by_type
from .prior import prior_components
from .prototypes import prototype_curves
from .relevant_genes import relevant_genes
from .tradeoff import metric_strips, tradeoff
from .training import training_curves
from .type_heatmaps import label_transfer_heatmap, similarity_heatmap
from .umap import umap_coordinates, umap_panels

__all__ = [
    "batch_strength",
    "fold_change_scatter",
    "jaccard_by_type",
    "label_transfer_heatmap",
    "metric_strips",
    "prior_components",
    "prototype_curves",
    "relevant_genes",
    "similarity_heatmap",
    "tradeoff",
    "training_curves",
    "umap_coordinates",
    "umap_panels",
]
