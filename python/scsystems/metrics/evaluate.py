"""Compute the metrics for the embeddings of an AnnData object, as one tidy table."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scsystems import checks, words
from scsystems.data.matrix import layer_names
from scsystems.data.scale.judge import groups_of
from scsystems.errors import InputError
from scsystems.threads import torch_threads_kept

from .arrays import check_embedding, check_groups
from .registry import METRICS, Data, Embedded
from .score import Score

logger = logging.getLogger(__name__)

MIXING = ("kbet", "graph_connectivity", "pcr", "asw_batch")
BIOLOGY = ("asw_label", "isolated_labels", "ari", "nmi")
COLUMNS = ["embedding", "metric", "category", "level", "group", "value"]


def evaluate(
    adata,
    embeddings: Sequence[str],
    system_key: str,
    label_key: str | None = None,
    batch_key: str | None = None,
    metrics: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    unintegrated: str | None = None,
    k: int = 25,
    min_cells: int = 20,
    moran_min_cells: int = 500,
    max_cells: int | None = 100_000,
    seed: int = 0,
    verbose: bool = True,
) -> pd.DataFrame:
    """Compute integration metrics for embeddings, every one both pooled and per cell type.

    Memory is bound by 90 neighbors per cell and one block of distances; 100,000 cells take
    minutes per embedding on two cores.

    Parameters
    ----------
    adata
        Cells with their embeddings in ``obsm`` (and ``X`` or ``layer`` log-normalized, for the
        metrics ``pcr`` and ``moran``).
    embeddings
        Keys of ``obsm``.
    system_key
        Column of ``obs`` with the systems whose mixing is measured.
    label_key
        Column with cell types; cells without one are left out. Without it, only what needs
        none is computed: ``ilisi``, ``pcr``, and for biology ``cluster_preservation``,
        ``matched_profiles`` and ``moran`` within clusters that every sample forms before
        integration.
    batch_key
        Column with samples, within which Moran's I and clusters before integration are
        computed (default: the systems).
    metrics
        Names out of ``scsystems.metrics.METRICS``; default: all that the data allow, a
        message (logging) naming those left out and why.
    layer
        Layer with log-normalized expression, instead of ``X``.
    unintegrated
        Key in ``obsm`` of the embedding before integration, for ``pcr``; default: 15 principal
        components of standardized expression.
    k, min_cells
        Neighbors and smallest label of the label transfer.
    moran_min_cells
        Smallest group of a sample and a cell type for Moran's I.
    max_cells
        Larger data are cut to that many cells at random, as in the paper; None keeps all.
    seed
        Seed of the choice of cells, of clustering and of principal components.
    verbose
        Whether to show a progress bar.

    Returns
    -------
    A row per embedding, metric, level and group: ``embedding``, ``metric``, ``category``
    (``batch``, ``biology``, ``transfer``), ``level``, ``group``, ``value``. Level ``"overall"``
    is the value that the literature reports, ``"micro"`` the average over cells, ``"macro"``
    that over cell types, ``"group"`` a single cell type (``group``; for label transfer the
    direction, or the direction and the cell type).

    Raises
    ------
    InputError
        If a key or metric is unknown, there are fewer than two systems or labels, too few
        cells, or a metric that was asked for by name cannot be computed.
    NonFiniteError
        If an embedding has NaN or infinite values.
    """
    checks.anndata("adata", adata)
    names = check_metrics(metrics, label_key)
    data = collect(
        adata,
        system_key,
        label_key,
        batch_key,
        layer=layer,
        unintegrated=unintegrated,
        k=k,
        min_cells=min_cells,
        moran_min_cells=moran_min_cells,
        max_cells=max_cells,
        seed=seed,
    )
    embeddings = checks.names("embeddings", embeddings)
    if not embeddings:
        raise InputError(
            f"'{words.word('embeddings')}' is empty; expected keys of {words.word('all embeddings')}."
        )
    spaces = {key: _space(adata, key) for key in embeddings}
    rows: list[list[Any]] = []
    left_out: dict[str, Any] = {}
    with tqdm(total=len(spaces) * len(names), disable=not verbose, desc="metrics") as progress:

        def report(key: str, name: str) -> None:
            progress.set_postfix_str(f"{key}: {name}")
            progress.update()

        for key, space in spaces.items():
            strict = metrics is not None
            rows += evaluate_one(key, space, data, names, left_out, strict, report)
    for name, reason in left_out.items():
        logger.warning("Metric '%s' was left out: %s", name, reason)
    return pd.DataFrame(rows, columns=COLUMNS)


@torch_threads_kept()
def evaluate_one(
    key: str,
    embedding: np.ndarray,
    data: Data,
    names: Sequence[str],
    left_out: dict[str, str],
    strict: bool,
    report: Callable[[str, str], None] = lambda key, name: None,
) -> list[list]:
    """Compute metrics of one embedding; :func:`evaluate` and tuning share this.

    Parameters
    ----------
    key
        Name of the embedding.
    embedding
        All cells (of which ``data.cells`` are used) x dimensions.
    data
        Result of :func:`collect`.
    names
        Metrics.
    left_out
        Metrics that cannot be computed and why; filled unless ``strict``.
    strict
        Raise instead.
    report
        Called after every metric.

    Returns
    -------
    Rows of the table.
    """
    embedded = Embedded(embedding[data.cells], data)
    rows = []
    for name in names:
        start = time.perf_counter()
        if name not in left_out:
            try:
                rows += _rows(key, name, METRICS[name].compute(embedded, data))
            except InputError as error:
                if strict:
                    raise
                left_out[name] = str(error)
        logger.debug("%s of %s: %.1f s", name, key, time.perf_counter() - start)
        report(key, name)
    return rows


def summarize(table: pd.DataFrame, level: str = "overall") -> pd.DataFrame:
    """Turn the table of :func:`evaluate` into embeddings x metrics, best read by people.

    Parameters
    ----------
    table
        Result of :func:`evaluate`.
    level
        ``"overall"``, ``"micro"`` or ``"macro"``.
    """
    missing = set(COLUMNS) - set(table.columns)
    if missing:
        raise InputError(
            f"'table' lacks the columns {sorted(missing)}; expected a result of evaluate()."
        )
    chosen = table[table["level"] == level]
    if chosen.empty:
        raise InputError(
            f"'table' has no rows of level '{level}'; found {sorted(set(table['level']))}."
        )
    wide = chosen.pivot_table(index="embedding", columns="metric", values="value", sort=False)
    return wide.rename_axis(columns=None)


def integrated_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Sum up embeddings as the scSpecies paper does: ``0.4 * mixing + 0.6 * biology``.

    Mixing is the mean of kBET, graph connectivity, PCR and batch ASW; biology that of label
    ASW, isolated labels, ARI and NMI (Leiden at the best resolution). Nothing is scaled, so
    that values can be compared between calls.

    Parameters
    ----------
    table
        Result of :func:`evaluate` with these eight metrics.

    Returns
    -------
    A row per embedding: ``mixing``, ``biology``, ``integrated``; best first.
    """
    wide = summarize(table)
    absent = [name for name in (*MIXING, *BIOLOGY) if name not in wide]
    if absent:
        raise InputError(f"'table' lacks the metrics {absent}; compute them with evaluate().")
    scores = pd.DataFrame(
        {"mixing": wide[list(MIXING)].mean(axis=1), "biology": wide[list(BIOLOGY)].mean(axis=1)}
    )
    scores["integrated"] = 0.4 * scores["mixing"] + 0.6 * scores["biology"]
    return scores.sort_values("integrated", ascending=False, kind="stable")


def check_metrics(metrics: Sequence[str] | None, label_key: str | None) -> list[str]:
    """Names of the metrics to compute; all that suit the data if ``metrics`` is None."""
    if metrics is None:
        other = "needed" if label_key is None else "without"
        return [name for name, metric in METRICS.items() if metric.labels != other]
    names = checks.names("metrics", metrics)
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise InputError(f"Unknown 'metrics': {unknown}; expected some of {list(METRICS)}.")
    unlabeled = [name for name in names if METRICS[name].labels == "needed" and label_key is None]
    if unlabeled:
        raise InputError(
            f"The metrics {unlabeled} need cell types: give '{words.word('evaluated labels')}'."
        )
    return names


def collect(
    adata,
    system_key: str,
    label_key: str | None,
    batch_key: str | None,
    *,
    layer: str | None = None,
    unintegrated: str | None = None,
    max_cells: int | None = 100_000,
    seed: int = 0,
    k: int = 25,
    min_cells: int = 20,
    moran_min_cells: int = 500,
) -> Data:
    """Check and gather what metrics need besides embeddings; see :func:`evaluate`."""
    checks.anndata("adata", adata)
    systems = checks.column(adata, system_key, "prepared system", complete=False)
    labels = samples = None
    if label_key is not None:
        labels = checks.column(adata, label_key, "evaluated labels", complete=False)
    if batch_key is not None:
        samples = checks.column(adata, batch_key, "evaluated sample", complete=False)
    layer = checks.optional_name("layer", layer)
    unintegrated = checks.optional_name("unintegrated", unintegrated)
    if max_cells is not None:
        max_cells = checks.count("max_cells", max_cells)
    if layer is not None and layer not in adata.layers:
        raise InputError(f"{words.word('layers')} has no '{layer}'; found {layer_names(adata)}.")
    n = adata.n_obs
    cells = np.arange(n)
    if labels is not None:
        known = labels.notna().to_numpy()
        if not known.all():
            logger.info("%d cells without '%s' are left out.", n - known.sum(), label_key)
        cells = cells[known]
    if max_cells is not None and len(cells) > max_cells:
        logger.info("Evaluating %d of %d cells, drawn at random.", max_cells, len(cells))
        cells = np.sort(
            np.random.default_rng(checks.seed(seed)).choice(cells, max_cells, replace=False)
        )
    if len(cells) < 10:
        raise InputError(f"There are {len(cells)} cells to evaluate; expected at least 10.")

    def text(values: pd.Series, minimum: int) -> np.ndarray:
        where = words.column(values.name)
        return check_groups(values.iloc[cells], len(cells), where, min_groups=minimum).as_text()

    return Data(
        systems=text(systems, 2),
        labels=None if labels is None else text(labels, 2),
        samples=text(systems if samples is None else samples, 1),
        matrix=adata.X if layer is None else adata.layers[layer],
        matrix_name=words.expression(layer),
        cells=cells,
        groups=groups_of(
            adata.obs.iloc[cells], [systems.name, systems.name if samples is None else samples.name]
        ),
        unintegrated=None if unintegrated is None else _space(adata, unintegrated)[cells],
        k=checks.count("voting neighbors", k),
        min_cells=checks.count("smallest label", min_cells, at_least=0),
        moran_min_cells=checks.count("smallest moran group", moran_min_cells),
        seed=checks.seed(seed),
    )


def _space(adata, key: str) -> np.ndarray:
    if key not in adata.obsm:
        raise InputError(
            f"{words.word('all embeddings')} has no '{key}'; found {list(adata.obsm)}."
        )
    return check_embedding(np.asarray(adata.obsm[key]), words.embedding(key))


def _rows(embedding: str, metric: str, score: float) -> list[list]:
    category = METRICS[metric].category
    rows = [[embedding, metric, category, "overall", "", float(score)]]
    if isinstance(score, Score):
        for level in ("micro", "macro"):
            value = getattr(score, level)
            if not np.isnan(value):
                rows.append([embedding, metric, category, level, "", value])
        rows += [
            [embedding, metric, category, "group", group, value]
            for group, value in score.groups.items()
        ]
    return rows
