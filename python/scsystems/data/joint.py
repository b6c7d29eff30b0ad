"""Cells of several systems, each with its own genes, as one AnnData with the genes that all share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import checks, words
from ..checks import head
from ..errors import InputError
from .checks import check_unique
from .choice import UNLOGGED
from .features import split_systems
from .levels import level_name, writable
from .matrix import expression
from .orthologs.links import Links, Source, link, readable
from .scale.judge import judge
from .scale.kinds import undo_log
from .scale.record import CONSTANT, PREPARATION, Scale, measure
from .scale.refuse import check_logs, describe

logger = logging.getLogger(__name__)

# key of uns with what was paired and lost
ORTHOLOGS = "orthologs"


def join_species(
    data: Mapping[str, AnnData],
    system_key: str = "system",
    *,
    orthologs: Source | Mapping[str, Source] | None = None,
    orthology: str = "one2one",
    names_from: str | None = None,
    layer: str | None = None,
) -> AnnData:
    """Put cells of several species, each with its own genes, into one AnnData with shared genes.

    It is what :func:`prepare` does first; that normalizes and chooses genes, too, and is all that is
    needed before a SysVI model. This is for going on by yourself.

    Parameters
    ----------
    data
        Species to its AnnData: raw counts, or log-normalized values. What each holds is judged.
        Where some hold counts and others log-normalized values, the counts are normalized as those.
    system_key
        Column of ``obs`` that is made, with the species.
    orthologs, orthology, names_from
        As in :func:`prepare`. Of log-normalized values the logarithm is undone before genes of a
        group are summed, and taken again.
    layer
        Layer with the expression; ``X`` by default.

    Returns
    -------
    A new AnnData, cells x genes that every species has, with counts or log-normalized values in
    ``X``; the names of the genes in every species in ``var["gene_<species>"]``, ``;`` between those
    of a group; and in ``uns["orthologs"]`` what was paired and lost.

    Raises
    ------
    InputError
        As :func:`prepare`; values are scaled, or normalized in ways that do not go together.
    """
    system_key = checks.name("prepared system", system_key)
    layer = checks.optional_name("layer", layer)
    if not isinstance(data, Mapping):
        raise InputError(
            f"{words.word('prepared data')} is {checks.kind(data)}. Expected {words.word('species by name')}."
        )
    systems = split_systems(data, system_key, None, layer)
    if names_from is not None and level_name(names_from) not in systems:
        raise InputError(f"names_from={names_from!r} is none of the systems {tuple(systems)}.")
    links = link({name: a.var_names for name, a in systems.items()}, orthologs, orthology)
    pairs = links.in_all
    if pairs.empty:
        examples = "; ".join(f"{n!r} has {head(a.var_names, 3)}" for n, a in systems.items())
        raise InputError(
            f"The systems have no gene in common: {examples}. {words.word('give table')}"
        )
    own = {name: _Own(name, expression(adata, layer)) for name, adata in systems.items()}
    scale = _common_scale(own)
    values = [
        _joined(part, pairs, links, systems[name].var_names, scale) for name, part in own.items()
    ]
    labels = pairs[next(iter(systems)) if names_from is None else level_name(names_from)]
    if links.folds:
        labels = labels.map(readable)
    result = AnnData(
        sparse.vstack(values, format="csr"),
        obs=joint_obs(systems),
        var=pairs.set_axis(pd.Index(labels, name=None), axis=0).add_prefix("gene_"),
    )
    of = np.repeat(list(systems), [adata.n_obs for adata in systems.values()])
    result.obs[system_key] = pd.Categorical(of, categories=list(systems))
    result.uns[ORTHOLOGS] = {"report": links.report, "orthology": orthology}
    if scale is not None and scale.target_sum is not None:
        result.uns[PREPARATION] = {"settings": {"target_sum": scale.target_sum}}
    if links.report:
        logger.info("%s", links.report)
    return result


def joint_obs(systems: Mapping[str, AnnData]) -> pd.DataFrame:
    """Cell data of all systems; the system goes before the names of cells that several have."""
    obs = pd.concat([adata.obs for adata in systems.values()])
    if obs.index.has_duplicates:
        obs.index = [f"{name}_{cell}" for name, a in systems.items() for cell in a.obs_names]
        check_unique(obs.index, "Cell names of a system", words.word("unique cells"))
    for key in obs:  # categories, or kinds of values, that differ by system
        obs[key] = writable(obs[key], words.column(key))
    return obs


def fold(adata: AnnData, name: str, links: Links, layer: str | None) -> AnnData:
    """A system's counts, summed over the genes that are one."""
    matrix = links.fold(name, sparse.csr_matrix(expression(adata, layer)))
    return AnnData(matrix, obs=adata.obs, var=pd.DataFrame(index=links.names_of(name)))


# --- scales -----------------------------------------------------------------------------------


@dataclass
class _Own:
    """A system's expression, and on which scale it is; ``None`` for counts."""

    name: str
    matrix: np.ndarray | sparse.spmatrix
    scale: Scale | None = None

    def __post_init__(self) -> None:
        found = judge(self.matrix)
        counts = found.cells.kind in UNLOGGED and found.cells.base is None
        if (
            found.rows.negative
            or found.rows.not_finite
            or not (counts or found.cells.kind == "logs")
        ):
            check_logs(self.matrix, f"The expression of {self.name!r}")
        self.kind = describe(found.cells)
        if not counts:
            codes = np.zeros(self.matrix.shape[0], np.int64)
            self.scale = measure(self.matrix, found.cells.base, codes, 1, None)


def _common_scale(own: Mapping[str, _Own]) -> Scale | None:
    """The scale that all are brought to: the first's of those that are log-normalized."""
    logs = {name: part.scale for name, part in own.items() if part.scale is not None}
    if not logs:
        return None
    first = next(iter(logs.values()))
    totals = [scale.target_sum for scale in logs.values()]
    found = "; ".join(f"{name!r} {part.kind}" for name, part in own.items())
    same = len({scale.base for scale in logs.values()}) == 1
    if len(logs) < len(own) or not same or _apart(totals):
        if None in totals or any(scale.base is None for scale in logs.values()):
            raise InputError(
                f"The species are on different scales: {found}. How all were normalized cannot be told from the "
                "values. Give raw counts of all, or normalize all alike."
            )
        logger.warning(
            "The species are on different scales: %s. All are brought to %s",
            *(found, Scale("e", first.target_sum)),
        )
    return Scale("e", first.target_sum) if first.base else first


def _apart(totals: list[float | None]) -> bool:
    known = [total for total in totals if total is not None]
    return len(known) > 1 and max(known) > min(known) * (1 + CONSTANT)


def _joined(
    part: _Own, pairs, links: Links, genes: pd.Index, scale: Scale | None
) -> sparse.csr_matrix:
    """A system's values of the shared genes, on the common scale."""
    matrix = sparse.csr_matrix(part.matrix)
    factor, base = _factor(part, matrix, scale), None if part.scale is None else part.scale.base
    is_plain = part.scale is not None and base in ("e", None) and factor is None
    if part.name in links.folds:
        names = links.names_of(part.name)
        if part.scale is not None:
            matrix = _changed(matrix, lambda x: undo_log(x, base))
            is_plain = False
        matrix = links.fold(part.name, matrix)
    else:
        names = genes
        if part.scale is not None and not is_plain:
            matrix = _changed(matrix, lambda x: undo_log(x, base))
    matrix = matrix[:, names.get_indexer(pairs[part.name])]
    if scale is not None and not is_plain:
        if factor is not None:
            matrix = sparse.csr_matrix(sparse.diags(factor) @ matrix)
        matrix = _changed(matrix, np.log1p).astype(np.float32)
    matrix.sort_indices()  # pairs are in another order
    return matrix


def _factor(part: _Own, matrix: sparse.csr_matrix, scale: Scale | None) -> np.ndarray | None:
    """What every cell is multiplied by, if anything."""
    if scale is None:
        return None
    wanted = scale.target_sum
    if wanted is None:
        return None
    if part.scale is None:
        totals = np.asarray(matrix.sum(axis=1), np.float64).ravel()
        return np.divide(wanted, totals, out=np.zeros_like(totals), where=totals > 0)
    if part.scale.target_sum is None or not _apart([part.scale.target_sum, wanted]):
        return None
    return np.full(matrix.shape[0], wanted / part.scale.target_sum)


def _changed(matrix: sparse.csr_matrix, change) -> sparse.csr_matrix:
    return sparse.csr_matrix((change(matrix.data), matrix.indices, matrix.indptr), matrix.shape)
