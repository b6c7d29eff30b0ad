"""`prepare` for cells that stay on disk: three passes over them, a block at a time.

The first pass counts in how many cells of a system each gene is found, the second takes the mean
and variance of every gene's log-normalized expression in every sample, and the third writes the
chosen genes. Genes are chosen by scanpy, which needs no more than means and variances for that: it
is given two cells per sample that have them.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from ..checks import head
from ..errors import InputError, StoreError
from ..words import column, word, written
from .checks import check_unique
from .features import label_column, variability
from .gene_choice import Variable, check_choice, choose_rows
from .kept_genes import find_kept, in_all_systems, with_wanted
from .levels import level_name, writable
from .opened import open_anndata
from .orthologs.links import Links, readable
from .preprocess import Preparation, link_systems
from .scale.judge import groups_of
from .scale.record import PREPARATION
from .scale.refuse import check_counts
from .stores import StoreCells, check_output, open_store, writing

logger = logging.getLogger(__name__)

ROWS = 8192


@dataclass
class _System:
    """One system: its gene names, its cells' files, and what the passes have found."""

    name: str
    var_names: pd.Index
    n_cells: int = 0
    n_cells_with: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


class Cells:
    """Cells of several systems in one file, or in a file each, gone through block by block."""

    def __init__(
        self,
        data: str | Path | Mapping[str, str | Path],
        system_key: str,
        batch_key: str | None,
        layer: str | None,
    ):
        if isinstance(data, Mapping):
            self.files = {level_name(name): open_store(path, layer) for name, path in data.items()}
            self.labels = {
                name: np.full(len(cells), name, object) for name, cells in self.files.items()
            }
        else:
            cells = open_store(data, layer)
            labels = label_column(AnnData(obs=cells.obs), system_key, "prepared system")
            self.files, self.labels = {"": cells}, {"": labels.to_numpy(object)}
        names = list(dict.fromkeys(name for part in self.labels.values() for name in part))
        if len(names) < 2:
            raise InputError(f"data has one system ({head(names)}). Expected at least two.")
        self.systems = {}
        for name in names:
            key = name if name in self.files else ""
            genes = self.files[key].var_names
            check_unique(genes, f"Gene names of {name!r}", "Make them unique before writing it.")
            self.systems[name] = _System(name, genes)
        self.links: Links | None = None
        self.samples = {
            key: None
            if batch_key is None
            else label_column(AnnData(obs=cells.obs), batch_key, "sample").to_numpy(object)
            for key, cells in self.files.items()
        }

    def blocks(self) -> Iterator[tuple[str, slice, sparse.csr_matrix]]:
        """File, rows and counts of every block, in order; genes that are one are summed."""
        for key, cells in self.files.items():
            cells.matrix.check_unchanged()
            for rows, x in cells.matrix.blocks(ROWS):
                yield key, rows, x if self.links is None else self.links.fold(key, x)

    def sum_genes(self, links: Links) -> None:
        """From now on sum genes that are one, and count again in how many cells these are."""
        self.links = links
        for name in links.folds:
            system = self.systems[name]
            system.var_names = links.names_of(name)
            system.n_cells_with = np.zeros(len(system.var_names), np.int64)
        for key, _, x in self.blocks():
            self.systems[key].n_cells_with += np.bincount(
                x.indices[x.data > 0], minlength=x.shape[1]
            )

    def obs(self) -> pd.DataFrame:
        """Cell data of all cells, in order."""
        return pd.concat([cells.obs for cells in self.files.values()])


def prepare_store(
    data: str | Path | Mapping[str, str | Path],
    out: str | Path,
    system_key: str,
    batch_key: str | None,
    *,
    orthologs: Any,
    orthology: str,
    names_from: str | None,
    layer: str | None,
    min_cells: int | None,
    target_sum: float | None,
    features: Any,
    n_top_genes: int,
    hvg_merge: str,
    keep: Any,
    flavor: str,
    min_batch_cells: int,
    counts_layer: str,
    fractional: bool,
    overwrite: bool,
) -> AnnData:
    """See :func:`scsystems.pp.prepare`; the result is in the file ``out``, and returned opened."""
    out = check_output(out, overwrite)
    if target_sum is None:
        raise InputError(
            "target_sum=None (the median total) needs all cells in memory. Give a number, such as 1e4."
        )
    if flavor != "cell_ranger" and features is None:
        raise InputError(
            f"flavor={flavor!r} needs all cells in memory. Of cells on disk flavor='cell_ranger' chooses genes."
        )
    check_choice(features, hvg_merge, keep)
    cells = Cells(data, system_key, batch_key, layer)
    systems = cells.systems
    if names_from is not None and level_name(names_from) not in systems:
        raise InputError(f"names_from={names_from!r} is none of the systems {tuple(systems)}.")
    if any(out == file.path.absolute() for file in cells.files.values()):
        raise InputError(f"out: {out} holds the counts that are prepared. Give another name.")
    keys = [key for key in (system_key, batch_key) if key is not None]
    _count(cells, keys, fractional)
    genes = {name: system.var_names for name, system in systems.items()}
    n_genes = {name: len(own) for name, own in genes.items()}
    expressed = _expressed(systems, min_cells)
    n_expressed = {name: len(own) for name, own in expressed.items()}
    links = link_systems(genes, data, orthologs, orthology)
    pairs = links.pairs
    if links.folds:
        cells.sum_genes(links)
        expressed = _expressed(systems, min_cells)
    namer = next(iter(systems)) if names_from is None else level_name(names_from)
    wanted = find_kept(keep, links, genes, namer)
    genes = {name: system.var_names for name, system in systems.items()}
    used = with_wanted(expressed, pairs.loc[wanted.rows], genes)
    shared = in_all_systems(pairs, used)
    if shared.empty:
        raise InputError(
            f"No gene is in more than {written('min_cells', min_cells)} cells of every system. "
            f"{word('fewer cells')}, or {word('pair genes')}."
        )
    usable = {n: pairs.index[pairs[n].isin(used[n])] for n in systems}
    columns = {
        n: s.var_names.get_indexer(pairs.loc[usable[n], n].to_numpy()) for n, s in systems.items()
    }
    found: dict[str, Variable] = {}
    labels = shared[namer]
    if links.folds:
        labels = labels.map(readable)
    if features is None:
        moments = _moments(cells, columns, target_sum)
        for name, of_samples in moments.items():
            often = pairs.loc[usable[name], name].isin(expressed[name]).to_numpy()
            found[name] = _variable(
                *(name, of_samples, usable[name][often], often),
                *(batch_key, n_top_genes, flavor, min_batch_cells),
            )
    among = in_all_systems(pairs, expressed).index
    kept, asked = choose_rows(labels, among, features, found, n_top_genes, hvg_merge, wanted)
    var = pairs.loc[kept].set_axis(pd.Index(labels[kept], name=None), axis=0)
    preparation = Preparation(
        n_cells={n: s.n_cells for n, s in systems.items()},
        n_genes=n_genes,
        n_expressed=n_expressed,
        n_shared=len(shared),
        n_variable={n: len(variable.chosen) for n, variable in found.items()},
        n_selected=len(kept),
        orthologs=links.report,
        kept=asked,
        settings={
            "min_cells": "none" if min_cells is None else min_cells,
            "target_sum": target_sum,
            "n_top_genes": n_top_genes,
            "hvg_merge": hvg_merge,
            "flavor": flavor,
            "min_batch_cells": min_batch_cells,
        },
    )
    obs = cells.obs()
    if isinstance(data, Mapping):
        names = np.repeat(list(systems), [s.n_cells for s in systems.values()])
        if obs.index.has_duplicates:
            obs.index = [f"{name}_{cell}" for name, cell in zip(names, obs.index, strict=True)]
        obs[system_key] = pd.Categorical(names, categories=list(systems))
    check_unique(obs.index, "Cell names", "Make them unique before writing the file.")
    for key in obs:  # categories, or kinds of values, that differ by system
        obs[key] = writable(obs[key], column(key))
    _check_room(out, systems, var)
    place = {n: usable[n].get_indexer(kept) for n in systems}
    with writing(out, ("X", f"layers/{counts_layer}"), len(kept)) as writer:
        for counts, logs in _chosen(cells, columns, place, target_sum):
            writer.append("X", logs)
            writer.append(f"layers/{counts_layer}", counts)
        writer.close(obs, var.add_prefix("gene_"), {PREPARATION: asdict(preparation)})
    logger.info("Prepared\n%s", preparation)
    return open_anndata(out)


# ---- passes ----------------------------------------------------------------------------------


def _expressed(systems: dict[str, _System], min_cells: int | None) -> dict[str, pd.Index]:
    return {
        n: s.var_names if min_cells is None else s.var_names[s.n_cells_with > min_cells]
        for n, s in systems.items()
    }


def _count(cells: Cells, keys: list[str], fractional: bool) -> None:
    """In how many cells of a system each gene is found; refuses what are no counts."""
    judged, largest = set(), dict.fromkeys(cells.files, 0.0)
    for system in cells.systems.values():
        system.n_cells_with = np.zeros(len(system.var_names), np.int64)
    for key, rows, x in cells.blocks():
        largest[key] = max(largest[key], x.data.max(initial=0))
        if key not in judged and not _whole(x.data):
            _check_counts(cells.files[key], keys, fractional)
            judged.add(key)
        for name, at in _by_system(cells, key, rows):
            system, part = cells.systems[name], x[at]
            system.n_cells += part.shape[0]
            system.n_cells_with += np.bincount(part.indices[part.data > 0], minlength=x.shape[1])
    for key, file in cells.files.items():
        if largest[key] <= 1:
            _check_counts(file, keys, fractional)


def _check_counts(file: StoreCells, keys: list[str], fractional: bool) -> None:
    """Go through a file once more to say what it holds, and in which cells."""
    where = f"{file.path}: {file.matrix.key}"
    check_counts(file.matrix, where, groups_of(file.obs, keys), file.obs.index, fractional)


def _whole(values: np.ndarray) -> bool:
    return bool((np.isfinite(values) & (values >= 0) & (values == np.rint(values))).all())


def _by_system(cells: Cells, key: str, rows: slice) -> Iterator[tuple[str, np.ndarray]]:
    """Systems of a block of cells, and which of the cells are theirs."""
    labels = cells.labels[key][rows]
    for name in cells.systems:
        at = np.flatnonzero(labels == name)
        if len(at):
            yield name, at


def _normalized(x: sparse.csr_matrix, target_sum: float) -> sparse.csr_matrix:
    """Log-normalized values as scanpy makes them of all cells at once."""
    import scanpy as sc

    part = AnnData(x)
    sc.pp.normalize_total(part, target_sum=target_sum)
    sc.pp.log1p(part)
    return part.X


@dataclass
class _Moments:
    """Number of cells, and sums and sums of squares of every gene, of a sample."""

    n: int
    total: np.ndarray
    squares: np.ndarray


def _moments(
    cells: Cells, columns: dict[str, np.ndarray], target_sum: float
) -> dict[str, dict[Any, _Moments]]:
    """Of every system the moments of each sample's log-normalized expression."""
    found: dict[str, dict[Any, _Moments]] = {name: {} for name in cells.systems}
    for key, rows, x in cells.blocks():
        samples = cells.samples[key]
        for name, at in _by_system(cells, key, rows):
            part = x[at][:, columns[name]]
            empty = np.flatnonzero(np.diff(part.indptr) == 0)
            if len(empty):
                first = cells.files[key].obs.index[rows.start + at[empty[0]]]
                raise InputError(
                    f"{name!r} has cells without counts in its {part.shape[1]} usable genes (first: {first!r}). "
                    "Drop them before writing the file, for example with sc.pp.filter_cells(adata, min_genes=200)."
                )
            logs = _normalized(part, target_sum).astype(np.float64)
            own = np.zeros(len(at), int) if samples is None else samples[rows][at]
            for sample in pd.unique(own):
                mine = logs[np.flatnonzero(own == sample)]
                sums = np.asarray(mine.sum(0)).ravel()
                squares = np.asarray(mine.multiply(mine).sum(0)).ravel()
                so_far = found[name].setdefault(
                    sample, _Moments(0, np.zeros_like(sums), np.zeros_like(sums))
                )
                so_far.n += mine.shape[0]
                so_far.total += sums
                so_far.squares += squares
    return found


def _variable(
    name: str,
    moments: dict[Any, _Moments],
    genes: pd.Index,
    columns: np.ndarray,
    batch_key: str | None,
    n_top_genes: int,
    flavor: str,
    min_batch_cells: int,
) -> Variable:
    """How scanpy ranks a system's genes, given two cells of each sample's mean and variance."""
    rows, sizes = [], {}
    for sample, m in moments.items():
        mean = m.total[columns] / m.n
        variance = np.maximum(m.squares[columns] / m.n - mean**2, 0) * (m.n / max(m.n - 1, 1))
        half = np.sqrt(variance / 2)
        rows += [mean + half, mean - half]
        sizes[sample] = m.n
    obs = pd.DataFrame(index=[str(i) for i in range(len(rows))])
    if batch_key is not None:
        obs[batch_key] = np.repeat(np.array(list(moments), object), 2)
    part = AnnData(np.stack(rows), obs=obs, var=pd.DataFrame(index=genes))
    return variability(
        part, name, batch_key, n_top_genes, flavor, min_batch_cells, pd.Series(sizes)
    )


def _chosen(
    cells: Cells,
    columns: dict[str, np.ndarray],
    place: dict[str, np.ndarray],
    target_sum: float,
) -> Iterator[tuple[sparse.csr_matrix, sparse.csr_matrix]]:
    """Counts and log-normalized values of the chosen genes, block by block."""
    for key, rows, x in cells.blocks():
        counts, logs, order = [], [], []
        for name, at in _by_system(cells, key, rows):
            part = x[at][:, columns[name]]
            counts.append(part[:, place[name]])
            logs.append(_normalized(part.copy(), target_sum)[:, place[name]])
            order.append(at)
        back = np.argsort(np.concatenate(order))
        for pair in [(sparse.vstack(counts, "csr")[back], sparse.vstack(logs, "csr")[back])]:
            for matrix in pair:
                matrix.sort_indices()
            yield pair


def _check_room(out: Path, systems: dict[str, _System], var: pd.DataFrame) -> None:
    """Refuse a disk that is too small, before it is written to."""
    n = sum(
        int(s.n_cells_with[s.var_names.get_indexer(var[name])].sum()) for name, s in systems.items()
    )
    # values and columns, of counts and of logs
    needed, free = 16 * n, shutil.disk_usage(out.parent).free
    if needed > free:
        raise StoreError(
            f"{out} needs some {needed / 2**30:.1f} GiB, but its disk has {free / 2**30:.1f} GiB left. "
            "Give another place."
        )
