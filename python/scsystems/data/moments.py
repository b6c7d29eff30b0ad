"""Means and variances of genes by sample, added up block by block, and genes ranked by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .features import variability
from .gene_choice import Variable


@dataclass
class Moments:
    """Number of cells, and sums and sums of squares of every gene, of a sample."""

    n: int
    total: np.ndarray
    squares: np.ndarray


def normalized(x: sparse.csr_matrix, target_sum: float) -> sparse.csr_matrix:
    """Log-normalized values as scanpy makes them of all cells at once."""
    import scanpy as sc

    part = AnnData(x)
    sc.pp.normalize_total(part, target_sum=target_sum)
    sc.pp.log1p(part)
    return part.X


def add_cells(found: dict[Any, Moments], logs: sparse.csr_matrix, samples: np.ndarray) -> None:
    """Add cells to the moments of their samples, in double precision."""
    logs = logs.astype(np.float64)
    for sample in pd.unique(samples):
        mine = logs[np.flatnonzero(samples == sample)]
        sums = np.asarray(mine.sum(0)).ravel()
        squares = np.asarray(mine.multiply(mine).sum(0)).ravel()
        so_far = found.setdefault(sample, Moments(0, np.zeros_like(sums), np.zeros_like(sums)))
        so_far.n += mine.shape[0]
        so_far.total += sums
        so_far.squares += squares


def rank_by_moments(
    name: str,
    moments: dict[Any, Moments],
    genes: pd.Index,
    columns: np.ndarray | slice,
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
