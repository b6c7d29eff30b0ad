"""The metrics that can be asked for by name, and what they share while they are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from scsystems.data.matrix import plain
from scsystems.data.scale.judge import Groups
from scsystems.data.scale.refuse import check_logs

from .clustering import (
    FIXED_RESOLUTION,
    RESOLUTIONS,
    ari,
    best_nmi_ari,
    jaccard,
    leiden,
    name_clusters,
    nmi,
)
from .connectivity import graph_connectivity
from .kbet import kbet
from .label_free import SMALLEST_SAMPLE, cluster_preservation, clusters_before, matched_profiles
from .label_transfer import label_transfer
from .lisi import clisi, ilisi
from .moran import MoranReference, moran_preservation, moran_reference
from .neighbors import Neighbors, nearest_neighbors
from .pcr import pcr_comparison
from .pcs import principal_components
from .score import Score
from .silhouette import asw_batch, asw_label, asw_signed, isolated_labels, silhouettes


@dataclass(frozen=True)
class Data:
    """What is known of the cells besides their embeddings; parts are computed when needed."""

    systems: np.ndarray
    labels: np.ndarray | None
    samples: np.ndarray
    matrix: object
    matrix_name: str
    cells: np.ndarray
    groups: list[Groups]
    unintegrated: np.ndarray | None = None
    k: int = 25
    min_cells: int = 20
    moran_min_cells: int = 500
    seed: int = 0

    @cached_property
    def expression(self):
        """Log-normalized expression of the cells, cells x genes."""
        matrix = plain(self.matrix, self.matrix_name)
        matrix = matrix if len(self.cells) == matrix.shape[0] else matrix[self.cells]
        check_logs(matrix, self.matrix_name, self.groups)
        return matrix

    @cached_property
    def before(self) -> np.ndarray:
        """Unintegrated embedding."""
        if self.unintegrated is not None:
            return self.unintegrated
        return principal_components(self.expression, seed=self.seed)

    @cached_property
    def clustered(self) -> np.ndarray:
        """What is clustered apart where there are no labels: samples; systems if those are small."""
        sizes = np.unique(self.samples, return_counts=True)[1]
        return self.samples if (sizes >= SMALLEST_SAMPLE).any() else self.systems

    @cached_property
    def clusters_before(self) -> np.ndarray:
        """Clusters of every sample before integration, where there are no labels."""
        return clusters_before(self.expression, self.clustered, seed=self.seed)

    @cached_property
    def moran(self) -> MoranReference:
        """Variable genes before integration, within cell types or else clusters."""
        return moran_reference(
            self.expression,
            self.clusters_before if self.labels is None else self.labels,
            self.clustered if self.labels is None else self.samples,
            min_cells=self.moran_min_cells,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Embedded:
    """One embedding, and what several metrics share; parts are computed when needed."""

    embedding: np.ndarray
    data: Data

    @cached_property
    def neighbors(self) -> Neighbors:
        """The one neighbor search."""
        return nearest_neighbors(self.embedding)

    @cached_property
    def widths(self) -> np.ndarray:
        """Silhouettes of labels."""
        return silhouettes(self.embedding, self.data.labels)

    @cached_property
    def clusters(self) -> dict[float, np.ndarray]:
        """Leiden clusters at all resolutions."""
        return leiden(self.neighbors, RESOLUTIONS, self.data.seed)

    @cached_property
    def best_clusters(self) -> tuple[float, float, float]:
        """NMI and ARI at the best resolution."""
        return best_nmi_ari(self.clusters, self.data.labels)

    @cached_property
    def named_clusters(self) -> np.ndarray:
        """Clusters at the fixed resolution, named by their most common label."""
        return name_clusters(self.clusters[FIXED_RESOLUTION], self.data.labels)


@dataclass(frozen=True)
class Metric:
    """A metric of :func:`evaluate`.

    Attributes
    ----------
    category
        Mixing of the systems (``"batch"``), preserved ``"biology"``, or label ``"transfer"``.
    compute
        Its score.
    labels
        Whether it needs labels, is a substitute where there are none (``"without"``), or does
        not care (``"any"``).
    higher_is_better
        False for the signed ASW only.
    """

    category: Literal["batch", "biology", "transfer"]
    compute: Callable[[Embedded, Data], float]
    labels: Literal["needed", "without", "any"] = "needed"
    higher_is_better: bool = True


def _label_transfer(e: Embedded, d: Data) -> Score:
    result = label_transfer(e.embedding, d.labels, d.systems, d.k, d.min_cells)
    groups = {
        f"{row.source} -> {row.target}": row.balanced_accuracy
        for row in result.accuracy.itertuples()
    } | {
        f"{row.source} -> {row.target}: {row.label}": row.recall
        for row in result.recall.itertuples()
    }
    micro = float(result.accuracy["accuracy"].mean())
    macro = result.balanced_accuracy
    return Score(macro, micro=micro, macro=macro, groups=groups)


METRICS: dict[str, Metric] = {
    "ilisi": Metric("batch", lambda e, d: ilisi(e.neighbors, d.systems, d.labels), "any"),
    "kbet": Metric("batch", lambda e, d: kbet(e.embedding, d.labels, d.systems)),
    "graph_connectivity": Metric("batch", lambda e, d: graph_connectivity(e.neighbors, d.labels)),
    "pcr": Metric("batch", lambda e, d: pcr_comparison(d.before, e.embedding, d.systems), "any"),
    "asw_batch": Metric("batch", lambda e, d: asw_batch(e.embedding, d.labels, d.systems)),
    "asw_signed": Metric(
        "batch", lambda e, d: asw_signed(e.embedding, d.labels, d.systems), higher_is_better=False
    ),
    "clisi": Metric("biology", lambda e, d: clisi(e.neighbors, d.labels)),
    "asw_label": Metric("biology", lambda e, d: asw_label(e.embedding, d.labels, widths=e.widths)),
    "isolated_labels": Metric(
        "biology",
        lambda e, d: isolated_labels(e.embedding, d.labels, d.systems, widths=e.widths),
    ),
    "nmi": Metric("biology", lambda e, d: e.best_clusters[0]),
    "ari": Metric("biology", lambda e, d: e.best_clusters[1]),
    "nmi_fixed": Metric("biology", lambda e, d: nmi(e.named_clusters, d.labels)),
    "ari_fixed": Metric("biology", lambda e, d: ari(e.named_clusters, d.labels)),
    "jaccard": Metric("biology", lambda e, d: jaccard(e.clusters[FIXED_RESOLUTION], d.labels)),
    "moran": Metric(
        "biology", lambda e, d: moran_preservation(d.moran, d.expression, e.embedding), "any"
    ),
    "label_transfer": Metric("transfer", _label_transfer),
    "cluster_preservation": Metric(
        "biology",
        lambda e, d: cluster_preservation(
            e.clusters[FIXED_RESOLUTION], d.clusters_before, d.clustered
        ),
        "without",
    ),
    "matched_profiles": Metric(
        "biology",
        lambda e, d: matched_profiles(e.embedding, d.expression, d.clusters_before, d.systems, d.k),
        "without",
    ),
}
"""The metrics that :func:`evaluate` knows, by name."""
