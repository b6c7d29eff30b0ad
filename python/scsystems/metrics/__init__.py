"""Measure integration: mixing of systems, preservation of biology, label transfer.

Every metric is a pure function on arrays; :func:`evaluate` computes them for the embeddings
of an AnnData object.
"""

from .batch_strength import BatchStrength, batch_strength, compare_distances, sample_distances
from .clustering import ari, best_nmi_ari, jaccard, leiden, name_clusters, nmi
from .connectivity import graph_connectivity
from .evaluate import evaluate, integrated_scores, summarize
from .kbet import kbet
from .label_free import cluster_preservation, clusters_before, matched_profiles
from .label_transfer import LabelTransfer, label_transfer
from .lisi import clisi, condition_ilisi, ilisi, lisi
from .moran import MoranReference, moran_preservation, moran_reference, morans_i
from .neighbors import Neighbors, nearest_neighbors
from .pcr import explained_variance, pcr_comparison
from .pcs import principal_components
from .prior import component_shares, prior_component
from .registry import METRICS
from .score import Score
from .silhouette import asw_batch, asw_label, asw_signed, isolated_labels, silhouettes

__all__ = [
    "METRICS",
    "BatchStrength",
    "LabelTransfer",
    "MoranReference",
    "Neighbors",
    "Score",
    "ari",
    "asw_batch",
    "asw_label",
    "asw_signed",
    "batch_strength",
    "best_nmi_ari",
    "clisi",
    "cluster_preservation",
    "clusters_before",
    "compare_distances",
    "component_shares",
    "condition_ilisi",
    "evaluate",
    "explained_variance",
    "graph_connectivity",
    "ilisi",
    "integrated_scores",
    "isolated_labels",
    "jaccard",
    "kbet",
    "label_transfer",
    "leiden",
    "lisi",
    "matched_profiles",
    "moran_preservation",
    "moran_reference",
    "morans_i",
    "name_clusters",
    "nearest_neighbors",
    "nmi",
    "pcr_comparison",
    "principal_components",
    "prior_component",
    "sample_distances",
    "silhouettes",
    "summarize",
]
