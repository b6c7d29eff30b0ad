"""Is the batch effect between systems substantial? Ask before integrating."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, mannwhitneyu

from scsystems import checks, words
from scsystems.data.by_name import same_cells
from scsystems.data.levels import level_names
from scsystems.data.matrix import expression, layer_names
from scsystems.data.scale.judge import groups_of
from scsystems.data.scale.refuse import check_logs
from scsystems.errors import InputError

from .arrays import check_embedding, check_groups
from .pcs import principal_components
from .silhouette import asw_signed

LEVEL = 0.05
"""False discovery rate of the tests."""
RATIO = 1.5
"""Distances between systems that are this many times those within count as substantial."""
ASW = 0.25
"""Signed ASW over systems that counts as substantial where samples are too few to test.

On the pancreas data it is 0.13 between donors of one species and 0.40 between species."""


@dataclass(frozen=True)
class BatchStrength:
    """Result of :func:`batch_strength`.

    Attributes
    ----------
    verdict
        One sentence with the numbers behind it.
    substantial
        Whether strong integration (such as sysVI's) is called for.
    tests
        A row per cell type: ``label``, ``n_within`` and ``n_between`` (pairs of samples),
        ``median_within``, ``median_between``, ``ratio``, ``u``, ``p_value`` (one-sided
        Mann-Whitney U) and ``p_adjusted`` (Benjamini-Hochberg). Empty without enough samples.
    distances
        A row per cell type and pair of samples: ``label``, ``sample_a``, ``sample_b``,
        ``system_a``, ``system_b``, ``kind`` (``within`` or ``between``), ``distance``.
    asw
        Signed ASW over systems, per cell type; ``label``, ``n_cells``, ``asw``.
    """

    verdict: str
    substantial: bool
    tests: pd.DataFrame
    distances: pd.DataFrame
    asw: pd.DataFrame

    def __str__(self) -> str:
        return self.verdict


def batch_strength(
    adata,
    system_key: str,
    label_key: str,
    sample_key: str,
    *,
    embedding: str | None = None,
    layer: str | None = None,
    min_cells: int = 50,
    min_samples: int = 3,
    max_cells: int | None = 100_000,
    seed: int = 0,
) -> BatchStrength:
    """Compare, per cell type, the distances between samples within and between systems.

    Distances are Euclidean between the mean embeddings of a cell type's cells in every sample
    (the paper's Figure 1c), on unintegrated data.

    The verdict is *substantial* if in at least half of the cell types the distances between
    systems are significantly larger (one-sided Mann-Whitney U, false discovery rate 5%), and
    at the median 1.5 times as large. With too few samples for any test, a mean signed ASW over
    systems above 0.25 decides.

    Parameters
    ----------
    adata
        Cells with log-normalized expression.
    system_key, label_key, sample_key
        Columns of ``obs``. Cells without a label are left out.
    embedding
        Key in ``obsm`` of an unintegrated embedding; default: 15 principal components of
        standardized expression, as in the paper.
    layer
        Layer with the expression, instead of ``X``.
    min_cells
        Smallest group of a cell type and a sample.
    min_samples
        Samples that a cell type needs in each of at least two systems to be tested.
    max_cells
        Cells at most that the ASW is computed on, drawn at random; None takes all.
    seed
        Seed of the principal components and of this draw.

    Raises
    ------
    InputError
        If a key is unknown, there is one system, no cell type is shared by systems, or a
        sample belongs to two systems.
    """
    checks.anndata("adata", adata)
    columns = [
        checks.column(adata, key, term, complete=False)
        for key, term in (
            (label_key, "evaluated labels"),
            (system_key, "prepared system"),
            (sample_key, "strength sample"),
        )
    ]
    known = np.flatnonzero(columns[0].notna().to_numpy())
    labels, systems, samples = (
        level_names(values.iloc[known], words.column(values.name)) for values in columns
    )
    embedding = checks.optional_name("embedding", embedding)
    layer = checks.optional_name("layer", layer)
    min_cells = checks.count("min_cells", min_cells)
    min_samples = checks.count("min_samples", min_samples)
    if max_cells is not None:
        max_cells = checks.count("max_cells", max_cells)
    seed = checks.seed(seed)
    if embedding is not None and embedding not in adata.obsm:
        raise InputError(
            f"{words.word('all embeddings')} has no '{embedding}'; found {list(adata.obsm)}."
        )
    if layer is not None and layer not in adata.layers:
        raise InputError(f"{words.word('layers')} has no '{layer}'; found {layer_names(adata)}.")
    if embedding is None:
        matrix = expression(adata, layer)[known]
        groups = groups_of(adata.obs.iloc[known], [values.name for values in columns[1:]])
        check_logs(matrix, words.expression(layer), groups, adata.obs_names[known])
        space = principal_components(matrix, seed=seed)
    else:
        space = np.asarray(adata.obsm[embedding])[known]

    distances = sample_distances(space, labels, systems, samples, min_cells)
    tests = compare_distances(distances, min_samples)
    cells = np.arange(len(space))
    if max_cells is not None and len(cells) > max_cells:
        cells = np.sort(np.random.default_rng(seed).choice(cells, max_cells, replace=False))
    signed = asw_signed(space[cells], labels[cells], systems[cells])
    sizes = pd.Series(labels).value_counts()
    asw = pd.DataFrame(
        {
            "label": list(signed.groups),
            "n_cells": [int(sizes[name]) for name in signed.groups],
            "asw": list(signed.groups.values()),
        }
    )
    verdict, substantial = _verdict(tests, float(signed), min_cells, min_samples)
    return BatchStrength(verdict, substantial, tests, distances, asw)


@same_cells("embedding", "labels", "systems", "samples")
def sample_distances(embedding, labels, systems, samples, min_cells: int = 50) -> pd.DataFrame:
    """Distances between the samples' mean embeddings, within every cell type.

    Parameters
    ----------
    embedding
        Unintegrated, cells x dimensions.
    labels, systems, samples
        Cell type, system and sample of every cell.
    min_cells
        Smallest group of a cell type and a sample.

    Returns
    -------
    See :attr:`BatchStrength.distances`.
    """
    embedding = check_embedding(embedding)
    labels = check_groups(labels, len(embedding), "labels")
    systems = check_groups(systems, len(embedding), "systems", min_groups=2)
    samples = check_groups(samples, len(embedding), "samples", min_groups=2)
    cells = pd.DataFrame(
        {"label": labels.as_text(), "sample": samples.as_text(), "system": systems.as_text()}
    )
    torn = cells.groupby("sample")["system"].nunique()
    if (torn > 1).any():
        raise InputError(
            f"The samples {list(torn.index[torn > 1])[:5]} have cells of more than one system; "
            "expected every sample to belong to one. Give samples of two systems two names."
        )
    rows = []
    groups = {
        key: embedding[index].mean(axis=0, dtype=np.float64)
        for key, index in cells.groupby(["label", "sample", "system"]).indices.items()
        if len(index) >= min_cells
    }
    for (label, a, system_a), (other, b, system_b) in combinations(groups, 2):
        if label != other:
            continue
        distance = np.linalg.norm(groups[label, a, system_a] - groups[label, b, system_b])
        kind = "within" if system_a == system_b else "between"
        rows.append([label, a, b, system_a, system_b, kind, float(distance)])
    columns = ["label", "sample_a", "sample_b", "system_a", "system_b", "kind", "distance"]
    return pd.DataFrame(rows, columns=columns)


def compare_distances(distances: pd.DataFrame, min_samples: int = 3) -> pd.DataFrame:
    """Test per cell type whether distances are larger between systems than within.

    Parameters
    ----------
    distances
        Result of :func:`sample_distances`.
    min_samples
        Only systems with this many samples of a cell type count, and only cell types with two
        such systems.

    Returns
    -------
    See :attr:`BatchStrength.tests`.
    """
    columns = ["label", "n_within", "n_between", "median_within", "median_between", "ratio"]
    rows = []
    for label, table in distances.groupby("label"):
        ends = pd.concat(
            [
                table[["sample_a", "system_a"]].set_axis(["sample", "system"], axis=1),
                table[["sample_b", "system_b"]].set_axis(["sample", "system"], axis=1),
            ]
        ).drop_duplicates()
        n_samples = ends["system"].value_counts()
        enough = n_samples.index[n_samples >= min_samples]
        used = table[table["system_a"].isin(enough) & table["system_b"].isin(enough)]
        within = used.loc[used["kind"] == "within", "distance"]
        between = used.loc[used["kind"] == "between", "distance"]
        if len(enough) < 2 or within.empty:
            continue
        u, p = mannwhitneyu(between, within, alternative="greater")
        medians = float(within.median()), float(between.median())
        ratio = medians[1] / medians[0] if medians[0] > 0 else np.inf
        rows.append([label, len(within), len(between), *medians, ratio, float(u), float(p)])
    tests = pd.DataFrame(rows, columns=[*columns, "u", "p_value"])
    tests["p_adjusted"] = false_discovery_control(tests["p_value"]) if len(tests) else []
    return tests


def _verdict(tests, asw: float, min_cells: int, min_samples: int) -> tuple[str, bool]:
    if tests.empty:
        substantial = asw > ASW
        return (
            f"{'Substantial' if substantial else 'Not substantial'} by the separation of systems "
            f"within cell types alone (mean signed ASW {asw:.2f}; above {ASW} counts as "
            f"substantial): no cell type has {min_samples} samples of {min_cells} cells in two "
            "systems, so distances between samples cannot be tested."
        ), substantial
    significant = int((tests["p_adjusted"] < LEVEL).sum())
    ratio = float(tests["ratio"].median())
    substantial = significant >= len(tests) / 2 and ratio >= RATIO
    return (
        f"{'Substantial' if substantial else 'Not substantial'}: in {significant} of {len(tests)} "
        "cell types samples lie significantly further apart between systems than within "
        f"(median distance {ratio:.1f} times as large; one-sided Mann-Whitney U, false discovery "
        f"rate {LEVEL:.0%}), and the mean signed ASW over systems is {asw:.2f}."
    ), substantial
