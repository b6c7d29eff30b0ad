"""``scsystems sysvi`` on cells that stay on disk: prepared, trained on and written without being held."""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ScsystemsError
from .command import Command, path
from .several import processes_here
from .sysvi_files import check_logged

if TYPE_CHECKING:
    from ..train.parallel.distributed import Group

logger = logging.getLogger(__name__)


def add_memory(command: Command, keeps: bool = True) -> None:
    """Options for files that are larger than memory; ``keeps``: what is prepared may be kept."""
    group = command.add_argument_group("large files")
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--on-disk",
        action="store_true",
        help="leave the cells on disk (default: if they would take more memory than there is)",
    )
    which.add_argument("--in-memory", action="store_true", help="read all cells")
    if not keeps:
        return
    group.add_argument(
        "--store",
        type=path,
        metavar="FILE",
        help="keep what is prepared on disk in this .h5ad, as input of later runs",
    )


def stays_on_disk(options: argparse.Namespace, group: Group | None = None) -> bool:
    """Whether the cells are left on disk, by all processes of the group; tells why."""
    here = _stays_on_disk_here(options)
    return here if group is None else any(group.tell(here))


def _stays_on_disk_here(options: argparse.Namespace) -> bool:
    if options.species:
        if options.on_disk or options.store is not None:
            raise ScsystemsError(
                "--on-disk: species with a file each are put together in memory. Give one file with all cells."
            )
        return False
    if options.in_memory and options.store is not None:
        raise ScsystemsError(
            "--store is for cells on disk, and --in-memory reads them. Leave one out."
        )
    return is_left_on_disk(options.input, options, options.store is not None)


def is_left_on_disk(file: Path, options: argparse.Namespace, forced: bool = False) -> bool:
    """Whether the cells of a file are left on disk, which ``forced`` asks for besides the options; tells why."""
    from ..data.size import available_memory, needed_memory

    is_store = file.suffix.lower() in (".h5ad", ".zarr")
    forced = forced or options.on_disk
    if forced and not is_store:
        raise ScsystemsError(
            f"--on-disk: {file} is no .h5ad or .zarr, which cells can be read from piece by piece."
        )
    if forced and options.raw:
        raise ScsystemsError("--raw needs --in-memory. Name a layer with --layer instead.")
    if forced or options.in_memory or options.raw or not is_store:
        return forced
    key = "X" if options.layer is None else f"layers/{options.layer}"
    needed, there = needed_memory(file, key) * processes_here(), available_memory()
    if needed <= there:
        return False
    logger.info(
        "The cells would take some %.1f GB of memory, and %.1f GB are there: they stay on disk",
        needed / 1e9,
        there / 1e9,
    )
    return True


class CopiedCells:
    """A file of cells, to be written with what was added: the file is copied, its matrices unread."""

    kind = "AnnData"
    default_name = "X_sysvi"

    def __init__(self, source: Path):
        from ..data.opened import open_anndata

        self.source, self.adata = source, open_anndata(source)
        self._added: dict = {}
        self._columns: dict = {}

    def add_column(self, name: str, values) -> None:
        """Add a column to ``obs``; text becomes categories."""
        import pandas as pd

        self._columns[name] = pd.Categorical(values) if values.dtype == object else values

    def add_embedding(self, name: str, values) -> None:
        """Add an embedding to ``obsm``."""
        from ..data.writing import check_name

        check_name(name)
        self._added[name] = values

    def write(self, target: str | Path) -> None:
        """Copy the file and add to the copy."""
        from ..data.stores import add_to_store

        if self.source.is_dir():
            shutil.copytree(self.source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(self.source, target)
        add_to_store(target, self._added, self._columns)


def check_copy(
    source: Path, target: Path, besides: int = 0, otherwise: str = ", or --embedding-only"
) -> int:
    """Refuse a copy of another kind, or one that its disk has no room for; returns the bytes it takes.

    ``besides`` is what else will be written there, ``otherwise`` the way out besides another place.
    """
    if source.suffix.lower() != target.suffix.lower():
        raise ScsystemsError(
            f"{target}: cells that stay on disk are written as a copy of {source}. Expected a name that ends in "
            f"{source.suffix}{otherwise}."
        )
    files = [source] if source.is_file() else [f for f in source.rglob("*") if f.is_file()]
    needed = besides + sum(f.stat().st_size for f in files)
    # the folder may not have been made yet
    there = next(folder for folder in target.absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ScsystemsError(
            f"{target} needs {needed / 2**30:.1f} GiB, but its disk has {free / 2**30:.1f} GiB left. Give another "
            f"place{otherwise}."
        )
    return needed


def _check_genes_are_chosen(options: argparse.Namespace) -> None:
    """Refuse another choice of genes from what has been prepared."""
    asked = {
        "--genes": options.genes is not None,
        "--keep": options.keep is not None,
        "--hvg-merge": options.hvg_merge != "intersection",
    }
    if any(asked.values()):
        given = ", ".join(name for name, is_given in asked.items() if is_given)
        raise ScsystemsError(
            f"{given}: the genes of {options.input} were chosen when it was prepared, and all of them are used. Leave "
            "it out, or give the file with the counts."
        )


@contextmanager
def prepared_on_disk(
    cells: CopiedCells, options: argparse.Namespace, choice: dict, group: Group | None = None
) -> Iterator:
    """Log-normalized expression of the genes to train on, in a file that is kept if asked for.

    ``choice`` are the arguments of `prepare` that say which genes; the first process of the group
    makes the file for all.
    """
    from ..data.choice import UNLOGGED
    from ..data.matrix import readable
    from ..data.opened import open_anndata
    from ..data.preprocess import prepare
    from ..data.scale.judge import judge
    from ..data.scale.record import PREPARATION

    kind = judge(readable(cells.adata, options.layer)[:4096]).cells.kind
    if kind not in UNLOGGED:
        if not (options.all_genes or PREPARATION in cells.adata.uns):
            raise ScsystemsError(
                f"{options.input}: genes of cells on disk are chosen from counts, and this holds other values. Name "
                "the layer with the counts with --layer, use --all-genes, or read all cells with --in-memory."
            )
        check_logged(options)
        if not options.all_genes:
            _check_genes_are_chosen(options)
        yield cells.adata
        return
    if options.all_genes:
        choice = {"features": list(cells.adata.var_names), "min_cells": None}
    store = options.store
    kept = store is not None
    if not kept:
        folder = options.output.absolute().parent
        # several parts of a search may be at it
        part = "" if (of := getattr(options, "part", None)) is None else f".{of[0]}"
        store = folder / f".{options.output.name}{part}.prepared.h5ad"
    is_first = group is None or group.is_first
    make = partial(
        prepare,
        options.input,
        options.system,
        options.covariates[0] if options.covariates else None,
        layer=options.layer,
        fractional=options.fractional,
        out=store,
        overwrite=options.overwrite or not kept,
        **choice,
    )
    try:
        prepared = make() if group is None else group.first_does(make)
        yield open_anndata(store) if prepared is None else prepared
        if kept:
            logger.info("What was prepared is in %s", store)
    finally:
        if is_first and not kept:
            store.unlink(missing_ok=True)
