"""What a trained ScSpecies model gives: latent cells, labels, similarity, expression, relevance, novelty."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from ... import checks
from ...data.by_name import per_cell
from ...data.levels import level_names
from ...data.neighbors import nearest
from ...errors import InputError
from ...tools.label_transfer import rank, transfer
from ...tools.similarity import similarity, type_similarity
from ...words import word, written
from ..base import positions
from .assembly import Assembly
from .species import Part


class Results(Assembly):
    """Results of :class:`ScSpecies`; a target's name may be left out when there is only one."""

    def get_latent_representation(
        self,
        species: str | None = None,
        give_mean: bool = True,
        return_dist: bool = False,
        seed: int | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The aligned embedding of a species' cells.

        Parameters
        ----------
        species
            Name of the context or of a target.
        give_mean
            Posterior mean; ``False`` draws one sample per cell.
        return_dist
            Return posterior mean and variance instead.
        seed
            Seed of the samples with ``give_mean=False``; default the model's seed.

        Returns
        -------
        n x L array (float32), or two of them with ``return_dist``.
        """
        part = self._target(None) if species is None else self._trained(self._part_of(species))
        e = part.embedded
        if return_dist:
            return e.mean.copy(), e.std**2
        if give_mean:
            return e.mean.copy()
        rng = np.random.default_rng(checks.seed(seed, self._settings["seed"]))
        return e.mean + e.std * rng.standard_normal(e.mean.shape, dtype=np.float32)

    def preliminary_labels(self, target: str | None = None) -> pd.DataFrame:
        """What the neighbors in the data say, before alignment.

        Returns
        -------
        Per cell: ``label`` (most common among the neighbors), ``agreement`` (its fraction) and
        ``aligned`` (whether the cell was aligned in training).
        """
        part = self._target(target)
        n = part.neighbors
        names = np.asarray(self._context.species.labels, dtype=object)
        columns = {"label": names[n.label], "agreement": n.agreement, "aligned": n.kept}
        return pd.DataFrame(columns, index=part.cell_names)

    def transfer_labels(
        self,
        target: str | None = None,
        labels: str | np.ndarray | pd.Series | None = None,
        n_neighbors: int = 25,
        n_candidates: int = 0,
    ) -> pd.DataFrame:
        """Name a target's cells by their nearest context cells.

        The nearest ``n_neighbors`` context cells in the latent space vote. With ``n_candidates``,
        as many of the nearest are first ranked by how well they explain the cell
        (:meth:`similarity`), and the best ``n_neighbors`` vote: the paper's way, about as good and
        slower.

        Parameters
        ----------
        target
            Name of the target.
        labels
            A column of the context's ``obs`` or one label per context cell (missing ones do not
            vote; a Series is matched by the names of the cells); default the labels the model was made with.
        n_neighbors, n_candidates
            Cells that vote, and cells that are ranked (paper: 250). With ``n_candidates`` not
            above ``n_neighbors`` the nearest cells vote and nothing is ranked.

        Returns
        -------
        Per cell: ``label`` and ``confidence`` (fraction of the votes).
        """
        part = self._target(target)
        n_context = len(self._context.embedded.mean)
        n_neighbors = checks.count("neighbors", n_neighbors)
        n_candidates = checks.count("n_candidates", n_candidates, at_least=0)
        if n_neighbors > n_context:
            raise InputError(
                f"{written('neighbors', n_neighbors)}. Expected 1 to {n_context}, the number of context cells."
            )
        among = self._neighbors(part, max(n_neighbors, min(n_candidates, n_context)))
        if n_candidates > n_neighbors:
            cells = part.require_cells("to rank candidates (n_candidates=0 ranks none)")
            values = similarity(
                part.net, cells, part.embedded.mean, self._context.embedded.mean, among
            )
            among = rank(among, values, n_neighbors)
        table = transfer(among, self._context_column(labels))
        return table.set_index(part.cell_names)

    def similarity(
        self,
        target: str | None = None,
        level: Literal["types", "cells"] = "types",
        *,
        target_labels: np.ndarray | pd.Series | Literal["transferred"] | None = None,
        target_indices: np.ndarray | None = None,
        context_indices: np.ndarray | None = None,
        n_samples: int = 32,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Similarity of a target's cells or types to the context's.

        The log-likelihood of a target cell decoded from its own latent vector, minus that
        decoded from a context cell's, both by the target's decoder. 0 is as good as its own;
        **larger is less similar**.

        Parameters
        ----------
        target
            Name of the target.
        level
            ``"types"``: mode of sampled similarities for every pair of types; ``"cells"``: every
            pair of cells in ``target_indices`` and ``context_indices``.
        target_labels
            Types of the target's cells: one per cell (a Series is matched by the names of the cells),
            or ``"transferred"``; default its known labels, or else the transferred ones.
        target_indices, context_indices
            Positions or masks of the cells to compare, for ``level="cells"``.
        n_samples
            Cells drawn of every type.
        seed
            Decides the draw; default the model's seed.

        Returns
        -------
        Target x context table.
        """
        part, context = self._target(target), self._context
        cells = part.require_cells("for similarities")
        own, there = part.embedded.mean, context.embedded.mean
        if level == "cells":
            if target_indices is None or context_indices is None:
                raise InputError(
                    "level='cells' needs target_indices and context_indices. Give positions of cells."
                )
            at = positions(target_indices, part.cell_names, "target_indices")
            columns = positions(context_indices, context.cell_names, "context_indices")
            among = np.broadcast_to(np.arange(len(columns)), (len(at), len(columns)))
            values = similarity(part.net, cells.take(at), own[at], there[columns], among)
            return pd.DataFrame(
                values, index=part.cell_names[at], columns=context.cell_names[columns]
            )
        if level != "types":
            raise InputError(f"level={level!r} is not known. Expected 'types' or 'cells'.")
        label, names = pd.factorize(self._target_types(part, target_labels), sort=True)
        context_label, context_names = pd.factorize(context.label_names(), sort=True)
        seed = checks.seed(seed, self._settings["seed"])
        n_samples = checks.count("n_samples", n_samples)
        values = type_similarity(part.net, cells, own, label, there, context_label, n_samples, seed)
        return pd.DataFrame(
            values,
            index=pd.Index(names, name=part.name),
            columns=pd.Index(context_names, name=context.name),
        )

    def prototype_record(self, target: str | None = None) -> pd.DataFrame:
        """What every target prototype (median cell of a type) aligned to in the course of training.

        Returns
        -------
        Long table ``epoch``, ``target_type``, ``context_type``, ``difference``: log-likelihood of
        the target prototype decoded from the context prototype minus that from its own latent
        mean; 0 is as good as its own, less is worse.
        """
        part = self._target(target)
        if part.prototypes is None:
            raise InputError(
                f"There is no record of prototypes of {part.name!r}: its training was resumed or cut short."
            )
        return part.prototypes.copy()

    # -- shared by several results -------------------------------------------------------------

    def _neighbors(self, part: Part, k: int) -> np.ndarray:
        """Nearest context cells in the latent space, n x k."""
        device = next(part.net.parameters()).device
        return nearest(part.embedded.mean, self._context.embedded.mean, k, "euclidean", device)[0]

    def _context_column(self, labels) -> np.ndarray:
        context = self._context
        labels = checks.plain(labels)
        if labels is None:
            return context.label_names()
        if isinstance(labels, str):
            if context.obs is None or labels not in context.obs:
                found = (
                    "no obs (the model was loaded without it)"
                    if context.obs is None
                    else list(context.obs.columns)
                )
                raise InputError(
                    f"{written('labels', labels)} is not a column of {word('context data')}. Found: {found}."
                )
            labels = context.obs[labels]
        return _types("labels", labels, context.cell_names)

    def _target_types(self, part: Part, labels) -> np.ndarray:
        """Types of a target's cells: as given, known, or transferred."""
        labels = checks.plain(labels)
        if labels is None and part.label is not None:
            return part.label_names()
        if labels is None or (isinstance(labels, str) and labels == "transferred"):
            return self.transfer_labels(part.name, n_candidates=0)["label"].to_numpy()
        return _types("target labels", labels, part.cell_names)


def _types(term: str, values, cells: pd.Index) -> np.ndarray:
    """Names of the cells' types as they are given, ``None`` where they are missing."""
    return level_names(per_cell(word(term), values, cells), word(term))
