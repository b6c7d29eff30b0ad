"""What the components of the prior stand for: cell types or systems?"""

from __future__ import annotations

import numpy as np

from scsystems.data.by_name import same_cells
from scsystems.metrics.prior import component_shares

from .axes import grid_of_axes


@same_cells("components", "labels", "systems")
def prior_components(components, labels, systems, *, cmap: str = "viridis", axes=None):
    """Draw the fraction of every cell type's and system's cells in every prior component.

    Components that gather cell types from all systems are what the paper explains the
    VampPrior's mixing by; components that gather systems keep them apart.

    Parameters
    ----------
    components
        Prior component of every cell, see :func:`scsystems.metrics.prior_component`.
    labels, systems
        Cell type and system of every cell.
    cmap
        Color map.
    axes
        Two axes to draw on.

    Returns
    -------
    Array of two axes: cell types, systems.
    """
    components = np.asarray(components)
    tables = [component_shares(components, groups) for groups in (labels, systems)]
    n = tables[0].shape[1]
    height = 1.2 + 0.26 * len(tables[0])
    axes = grid_of_axes(axes, 1, 2, (3.0 + 0.5 * n, height)).ravel()
    for ax, table, title in zip(axes, tables, ("cell types", "systems"), strict=True):
        image = ax.imshow(table, aspect="auto", vmin=0, vmax=1, cmap=cmap)
        ax.set_yticks(range(len(table)), table.index)
        ax.set_xticks(range(n), range(1, n + 1))
        ax.set(xlabel="prior component", title=title)
    axes[1].figure.colorbar(image, ax=axes[1], label="fraction of the group's cells")
    return axes
