"""The command ``scsystems info``: what a file, a model or this installation holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from .._version import __version__
from .command import path
from .options import add_common


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "info",
        help="what a file or a saved model holds, or what this installation has",
        description="Describe a file of cells or the folder of a saved model. Without either: versions, devices "
        "and optional packages.",
    )
    command.add_argument(
        "path", nargs="?", type=path, help=".h5ad, .zarr, .rds, or the folder of a model"
    )
    add_common(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print what is there."""
    from ..models.sysvi.scvi_import import holds_scvi_model

    if options.path is None:
        _print_installation()
    elif (options.path / "model.json").exists() or holds_scvi_model(options.path):
        _print_model(options.path)
    else:
        _print_cells(options.path)


def _print_cells(path: Path) -> None:
    from ..data.containers import open_cells
    from ..data.matrix import layer_names

    cells = open_cells(path)
    adata = cells.adata
    print(f"{cells.kind}: {adata.n_obs} cells, {adata.n_vars} genes")
    print("cell columns:")
    for name in adata.obs:
        values = adata.obs[name]
        levels = values.astype(str).unique()
        few = ", ".join(map(str, levels[:6])) + (", ..." if len(levels) > 6 else "")
        print(f"  {name}: {values.dtype}, {len(levels)} values ({few})")
    print("layers: " + (", ".join(layer_names(adata)) or "none besides X"))
    if adata.raw is not None:
        print(f".raw: {adata.raw.n_vars} genes")
    print(
        "embeddings: " + (", ".join(f"{k} ({v.shape[1]})" for k, v in adata.obsm.items()) or "none")
    )


def _print_model(path: Path) -> None:
    from ..models.base import load
    from ..models.sysvi.model import SysVI
    from ..models.sysvi.scvi_import import holds_scvi_model

    foreign = holds_scvi_model(path)
    model = SysVI.load(path) if foreign else load(path)
    print(model)
    if foreign:
        print("saved by scvi-tools")


def _print_installation() -> None:
    import platform
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    import torch

    print(f"scsystems {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("Apple GPU (mps)")
    print(f"GPUs: {', '.join(devices) or 'none'}; CPU threads: {torch.get_num_threads()}")
    print("packages:")
    for package in ("anndata", "scanpy", "numpy", "scipy", "pandas", "scikit-learn"):
        print(f"  {package} {version(package)}")
    print("extras:")
    modules = {"metrics": "scib_metrics", "plots": "matplotlib", "relevance": "captum"}
    modules |= {"atlas": "zarr", "r": "rpy2"}
    for extra, module in modules.items():
        found = find_spec(module) is not None
        try:
            note = version(module.replace("_", "-")) if found else ""
        except PackageNotFoundError:
            note = ""
        there = (
            f"{module} {note}".strip() if found else f"missing: pip install 'scsystems[{extra}]'"
        )
        print(f"  {extra}: {there}")
