"""The command ``scsystems demo``: simulated cells, integrated, with a picture and a report."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import ScsystemsError
from .command import path, whole
from .options import add_common, add_overwrite
from .progress import training_progress

logger = logging.getLogger(__name__)

FILES = ("cells.h5ad", "report.html", "umap.png")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "demo",
        help="integrate simulated cells: does this installation work, and what comes out?",
        description="Simulate cells of two species, integrate them by sysVI, and write the cells with their embedding "
        "(cells.h5ad), a picture (umap.png) and a report (report.html) into a folder. Takes a minute or two; the "
        "picture needs the extra plots, the measures in the report the extra metrics.",
    )
    command.add_argument(
        "folder",
        nargs="?",
        type=path,
        default=Path("scsystems_demo"),
        help="where to (default: scsystems_demo)",
    )
    command.add_argument(
        "--cells", type=whole(200), default=1000, metavar="N", help="cells (default: 1000)"
    )
    command.add_argument(
        "--epochs", type=whole(1), default=100, metavar="N", help="passes over them (default: 100)"
    )
    add_overwrite(command)
    add_common(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Simulate, train, and write."""
    from .. import datasets
    from ..data.preprocess import prepare
    from ..durable.replace import replace_file
    from ..models.sysvi.model import SysVI
    from ..reports.integration import report

    folder = options.folder
    there = [name for name in FILES if (folder / name).exists()]
    if there and not options.overwrite:
        raise ScsystemsError(
            f"{folder} holds {', '.join(there)} already. Name another folder, or --overwrite to replace them."
        )
    folder.mkdir(parents=True, exist_ok=True)
    cells = datasets.simulated(n_cells=options.cells, n_genes=1000, system_effect=0.4)
    logger.info("Simulated %d cells of two species", cells.n_obs)
    adata = prepare(cells, "system", "donor", min_cells=5)
    SysVI.setup_anndata(adata, batch_key="system", categorical_covariate_keys=["donor"])
    model = SysVI(adata)
    model.train(max_epochs=options.epochs, **training_progress(options.quiet))
    adata.obsm["X_sysvi"] = model.get_latent_representation()
    replace_file(folder / "cells.h5ad", adata.write_h5ad)
    try:
        _draw(adata, folder / "umap.png")
    except ImportError as error:
        logger.warning("There is no picture: %s", error)
    report(model, folder / "report.html", label_key="cell_type")
    if model.interrupted:
        raise KeyboardInterrupt
    print(f"Done. Look at {folder / 'report.html'}")


def _draw(adata, place: Path) -> None:
    from .. import metrics, plots
    from ..durable.replace import replace_file
    from ..plots.axes import pyplot

    pyplot().switch_backend("agg")
    adata.obsm["before"] = metrics.principal_components(adata.X)
    titles = {"before": "before", "X_sysvi": "after"}
    axes = plots.umap_panels(adata, list(titles), ["system", "cell_type"], titles=titles)
    figure = axes[0, 0].figure
    replace_file(place, lambda path: figure.savefig(path, dpi=120))
    pyplot().close(figure)
