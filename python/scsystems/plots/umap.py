"""UMAP panels: embeddings side by side, colored by systems, cell types or expression."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from scsystems import checks
from scsystems.data.levels import level_names
from scsystems.errors import InputError
from scsystems.metrics.arrays import check_embedding
from scsystems.threads import torch_threads_kept
from scsystems.words import column as word_column

from .axes import MISSING, colors, grid_of_axes, group_names, legend_outside


@torch_threads_kept()
def umap_coordinates(
    embedding, *, n_neighbors: int = 15, min_dist: float = 0.5, seed: int = 0
) -> np.ndarray:
    """Two UMAP coordinates of every cell, the same for the same seed.

    Parameters
    ----------
    embedding
        Cells x dimensions.
    n_neighbors, min_dist
        UMAP's settings (scanpy's defaults).
    seed
        Seed of the layout.
    """
    embedding = check_embedding(embedding)
    if len(embedding) < 4:
        raise InputError(f"UMAP needs at least 4 cells; found {len(embedding)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that tensorflow is not installed
        from umap import UMAP
    layout = UMAP(
        n_neighbors=min(n_neighbors, len(embedding) - 1),
        min_dist=min_dist,
        init="pca" if embedding.shape[1] > 1 else "random",
        random_state=seed,
        n_jobs=1,
    )
    return layout.fit_transform(embedding)


def umap_panels(
    adata,
    embeddings: Sequence[str],
    color: Sequence[str],
    *,
    titles: Mapping[str, str] | None = None,
    palettes: Mapping[str, Mapping[str, str] | Sequence[str]] | None = None,
    max_cells: int | None = 20_000,
    point_size: float | None = None,
    seed: int = 0,
    axes=None,
):
    """Draw embeddings before and after integration: a column each, a row per coloring.

    Parameters
    ----------
    adata
        Cells with the embeddings in ``obsm``. Two-dimensional ones are drawn as they are, of
        others the UMAP is computed.
    embeddings
        Keys of ``obsm``.
    color
        Columns of ``obs``: categories get a color each, numbers a scale.
    titles
        Titles of the columns, by key (default: the key).
    palettes
        Colors, by column of ``obs``: colors by name, or in order.
    max_cells
        More cells are thinned out at random.
    point_size
        Area of a point in points squared; default by the number of cells.
    seed
        Seed of UMAP, of thinning out, and of the order of drawing (random, so that no group
        hides another).
    axes
        Axes to draw on, rows x columns.

    Returns
    -------
    Array of axes, rows (colorings) x columns (embeddings).
    """
    checks.anndata("adata", adata)
    embeddings, color = checks.names("embeddings", embeddings), checks.names("color", color)
    for key in embeddings:
        if key not in adata.obsm:
            raise InputError(f"adata.obsm has no '{key}'; found {list(adata.obsm)}.")
    for key in color:
        if key not in adata.obs:
            raise InputError(f"adata.obs has no '{key}'; found {list(adata.obs)}.")
    if not embeddings or not color:
        raise InputError("'embeddings' or 'color' is empty; expected at least one key of each.")
    figsize = (3.2 * len(embeddings) + 1.2, 3.0 * len(color))
    axes = grid_of_axes(axes, len(color), len(embeddings), figsize)

    rng = np.random.default_rng(seed)
    cells = rng.permutation(adata.n_obs)[:max_cells]
    size = point_size or float(np.clip(20_000 / len(cells), 1, 20))
    for j, key in enumerate(embeddings):
        space = check_embedding(np.asarray(adata.obsm[key])[cells], f"adata.obsm[{key!r}]")
        xy = space if space.shape[1] == 2 else umap_coordinates(space, seed=seed)
        for i, column in enumerate(color):
            ax = axes[i, j]
            values = adata.obs[column].iloc[cells]
            palette = (palettes or {}).get(column)
            last = j == len(embeddings) - 1
            if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
                points = ax.scatter(*xy.T, c=values, s=size, linewidths=0, rasterized=True)
                if last:
                    ax.figure.colorbar(points, ax=ax, label=column)
            else:
                of_name = colors(group_names(adata.obs[column]), palette)
                shade = [of_name.get(v, MISSING) for v in level_names(values, word_column(column))]
                ax.scatter(*xy.T, c=shade, s=size, linewidths=0, rasterized=True)
                if last:
                    missing = {"missing": MISSING} if values.isna().any() else {}
                    legend_outside(ax, of_name | missing, column)
            ax.set(xticks=[], yticks=[])
            if i == 0:
                ax.set_title((titles or {}).get(key, key))
    return axes
