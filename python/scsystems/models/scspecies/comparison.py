"""What a trained ScSpecies model says of expression: differences across species, relevance, novelty."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from ... import checks
from ...data.levels import texts
from ...data.neighbors import nearest, vote
from ...data.resident import iterate
from ...errors import InputError, NonFiniteError
from ...tools.expression import Decoded, decode, draw_cells, fold_change, within_ellipse
from ...tools.novelty import THRESHOLD, novelty, unexplained
from ...tools.relevance import relevance
from .results import Results

# relevance that may get lost in propagation, as a fraction of what flows
LARGEST_RESIDUAL = 1e-3


class Comparison(Results):
    """Results of :class:`ScSpecies` on genes; a target's name may be left out when there is only one."""

    def differential_expression(
        self,
        target: str | None = None,
        *,
        target_labels: np.ndarray | pd.Series | Literal["transferred"] | None = None,
        cell_types: list[str] | None = None,
        n_samples: int = 1000,
        threshold: float = 1.0,
        ellipse: float = 0.9,
        n_neighbors: int = 25,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Compare the expression of homologous genes between a target and the context, type by type.

        Latent cells are drawn from the posteriors of the target's cells of a type (those outside
        the confidence ellipse of their means left out) and decoded by both species' decoders,
        averaged over the batches in which the type occurs (paper, Comparison of gene profiles).

        Parameters
        ----------
        target
            Name of the target.
        target_labels
            Types of the target's cells: one per cell (a Series is matched by the names
            of the cells), or ``"transferred"``; default its known labels, or else the
            transferred ones.
        cell_types
            Types to compare; default all that occur in both species.
        n_samples
            Latent cells drawn of every type.
        threshold
            Absolute log2 fold change beyond which a gene counts as different.
        ellipse
            Fraction of cells that the confidence ellipse holds.
        n_neighbors
            Context neighbors whose library sizes are averaged for absolute expression.
        seed
            Decides the draw and the permutation; default the model's seed.

        Returns
        -------
        A row per type and gene pair: ``cell_type``, ``target_gene``, ``context_gene``; ``lfc``
        (median log2 fold change target over context of expression relative to all homologous
        genes) and ``probability`` (of ``|LFC| > threshold``); ``lfc_absolute`` and
        ``probability_absolute`` of molecules per cell; ``lfc_null`` and ``probability_null`` of
        the target's gene against a random other gene of the context.
        """
        part, context = self._target(target), self._context
        cells = part.require_cells("for the batches of its cells")
        n_samples = checks.count("n_samples", n_samples)
        threshold = checks.number("threshold", threshold, at_least=0, finite=False)
        ellipse = checks.fraction("ellipse", ellipse, zero=False)
        n_neighbors = checks.count("neighbors", n_neighbors)
        labels = self._target_types(part, target_labels)
        context_labels = context.label_names()
        shared = sorted(set(labels[pd.notna(labels)]) & set(context_labels))
        chosen = shared if cell_types is None else texts("cell_types", cell_types)
        unknown = [t for t in chosen if t not in shared]
        if unknown or not chosen:
            raise InputError(
                f"cell_types: {unknown or 'none'} occur in both species. Expected some of {shared}; types of the "
                f"target are named {sorted(set(labels[pd.notna(labels)]))[:10]}."
            )
        rng = np.random.default_rng(checks.seed(seed, self._settings["seed"]))
        context_genes, target_genes = part.pairs.T
        neighbors = self._neighbors(part, min(n_neighbors, len(context.cell_names)))
        log_library = context.embedded.log_library[neighbors].mean(1)
        context_batch = None if context.cells is None else context.cells.categorical[:, 0]
        tables = []
        for cell_type in chosen:
            at = np.flatnonzero(labels == cell_type)
            e = part.embedded
            at = at[within_ellipse(e.mean[at], ellipse)]
            z, drawn = draw_cells(e.mean[at], e.std[at], n_samples, rng)
            drawn = at[drawn]
            mine = decode(part.net, z, np.unique(cells.categorical[at, 0]), target_genes)
            if context_batch is None:
                batches = np.arange(len(context.species.batches))
            else:
                batches = np.unique(context_batch[context_labels == cell_type])
            theirs = decode(context.net, z, batches, context_genes)
            libraries = e.log_library[drawn], log_library[drawn]
            columns = _compare(
                mine, theirs, libraries, threshold, rng.permutation(len(context_genes))
            )
            genes = {
                "cell_type": cell_type,
                "target_gene": np.asarray(part.species.genes, dtype=object)[target_genes],
                "context_gene": np.asarray(context.species.genes, dtype=object)[context_genes],
            }
            tables.append(pd.DataFrame(genes | columns))
        return pd.concat(tables, ignore_index=True)

    def relevance(
        self,
        species: str | None = None,
        *,
        labels: np.ndarray | pd.Series | Literal["transferred"] | None = None,
        gamma: float = 0.25,
        n_cells: int = 100,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """How much every gene contributes to where the cells of a type lie in the latent space.

        Layer-wise relevance propagation (LRP-gamma) of the latent mean, averaged over latent
        dimensions and cells. Compare ranks, not values, between species: the values depend on
        all genes of a species.

        Parameters
        ----------
        species
            Name of the context or of a target.
        labels
            Types of the cells: one per cell (a Series is matched by the names
            of the cells), or ``"transferred"``; default the known labels, or else the
            transferred ones.
        gamma
            How much positive contributions are favored.
        n_cells
            Cells drawn of every type, at most all of them.
        seed
            Decides the draw; default the model's seed.

        Returns
        -------
        Genes x types.

        Raises
        ------
        MissingExtraError
            If captum is not installed.
        """
        part = self._target(None) if species is None else self._trained(self._part_of(species))
        cells = part.require_cells("for relevance")
        gamma = checks.number("gamma", gamma, at_least=0)
        n_cells = checks.count("n_cells", n_cells)
        types = (
            part.label_names()
            if part is self._context and labels is None
            else self._target_types(part, labels)
        )
        rng = np.random.default_rng(checks.seed(seed, self._settings["seed"]))
        device = next(part.net.parameters()).device
        columns, worst = {}, 0.0
        for name in sorted(set(types[pd.notna(types)])):
            at = np.flatnonzero(types == name)
            at = rng.choice(at, min(n_cells, len(at)), replace=False)
            batch = next(iterate(cells.take(at), device, len(at)))
            found = relevance(part.net, batch.x, batch.categorical[:, 0], gamma)
            worst = max(worst, float(found.residual.abs().max()))
            columns[name] = found.genes.mean(0).cpu().numpy()
        if worst > LARGEST_RESIDUAL:
            raise NonFiniteError(
                f"Relevance was not conserved: {worst:.2g} of what flowed got lost. Expected at most "
                f"{LARGEST_RESIDUAL}. Give a smaller gamma."
            )
        return pd.DataFrame(columns, index=pd.Index(part.species.genes, name="gene"))

    def novelty(
        self, target: str | None = None, *, threshold: float = THRESHOLD, n_neighbors: int = 25
    ) -> pd.DataFrame:
        """Find target cells whose type the context does not have.

        Alignment pulls such cells to context cells of another type. They show when the context's
        decoder is asked to explain them: it expects that other type. Together with the distance
        to the nearest context cells this gives a score; no labels of the target are used.

        Parameters
        ----------
        target
            Name of the target.
        threshold
            Score above which a cell is called novel. Scores are robust standard scores among the
            target's cells, which assumes that most of them are known.
        n_neighbors
            Context cells whose mean latent distance counts.

        Returns
        -------
        Per cell: ``score``, ``novel``, and the two signs: ``unexplained`` (log-likelihood per
        molecule that the target's decoder gives beyond the context's) and ``distance`` (mean
        latent distance to the nearest context cells).
        """
        part, context = self._target(target), self._context
        cells = part.require_cells("to score novelty")
        threshold = checks.number("threshold", threshold, finite=False)
        k = min(checks.count("neighbors", n_neighbors), len(context.cell_names))
        device = next(part.net.parameters()).device
        index, distance = nearest(part.embedded.mean, context.embedded.mean, k, "euclidean", device)
        label, _ = vote(context.label[index], len(context.species.labels))
        counts = cells.x[:, part.pairs[:, 1]]
        signs = {
            "unexplained": unexplained(
                part.net, context.net, part.embedded.mean, counts, part.pairs, label
            ),
            "distance": distance.mean(1),
        }
        score = novelty(**signs)
        return pd.DataFrame(
            {"score": score, "novel": score > threshold, **signs}, index=part.cell_names
        )


def _compare(
    mine: Decoded,
    theirs: Decoded,
    log_library: tuple[np.ndarray, np.ndarray],
    threshold: float,
    order: np.ndarray,
) -> dict[str, np.ndarray]:
    here, there = (np.exp(v)[:, None] for v in log_library)
    results = {
        "": fold_change(mine.relative, theirs.relative, threshold),
        # molecules per cell: the offset stays one in a million of a cell's molecules
        "_absolute": fold_change(
            mine.rho * here, theirs.rho * there, threshold, 1e-6 * float(here.mean())
        ),
        "_null": fold_change(mine.relative, theirs.relative[:, order], threshold),
    }
    return {f"{k}{suffix}": v for suffix, r in results.items() for k, v in r._asdict().items()}
