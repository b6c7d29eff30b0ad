"""What a ScSpecies model is made of, trained or not: species, genes, labels, settings, losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .assembly import Assembly
from .species import Part


class Facts(Assembly):
    """Facts of :class:`ScSpecies`; what they return are copies."""

    @property
    def history(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Per species: losses per epoch of all trainings, one data frame per quantity, index ``epoch``."""
        return {part.name: part.trainings.frames() for part in self._parts()}

    @property
    def species(self) -> list[str]:
        """Names of the species, the context first."""
        return [part.name for part in self._parts()]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings the model was made with, by argument; defaults are filled in."""
        return dict(self._settings)

    def describe(self, species: str) -> dict[str, Any]:
        """Say what the model knows of one species.

        Parameters
        ----------
        species
            Its name.

        Returns
        -------
        ``cells`` and ``genes``, their names; ``n_homologous``, how many of the genes have an ortholog
        in the other species; ``labels`` and ``batches``, the levels, from the columns ``label_key``
        and ``batch_key``; ``trained``; ``interrupted``, whether its last training was; and
        ``prototypes``, whether its training left a record of them.
        """
        part = self._part_of(species)
        return {
            "cells": list(part.cell_names),
            "genes": list(part.species.genes),
            "n_homologous": int(part.species.n_homologous),
            "label_key": part.species.label_key,
            "batch_key": part.species.batch_key,
            "labels": list(part.species.labels),
            "batches": list(part.species.batches),
            "trained": part.embedded is not None,
            "interrupted": part.trainings.stopped == "interrupted",
            "prototypes": part.prototypes is not None,
        }

    def labels_of(self, species: str) -> np.ndarray | None:
        """Labels the cells of a species came with, one per cell; ``None`` if they have none."""
        part = self._part_of(species)
        return None if part.label is None else part.label_names()

    def orthologs(self) -> pd.DataFrame:
        """Genes that have an ortholog in every species: a column of names per species."""
        context, *targets = self._parts()
        shared = pd.DataFrame({context.name: np.asarray(context.species.genes, dtype=object)})
        for part in targets:
            context_genes, target_genes = part.pairs.T
            pairs = {
                context.name: np.asarray(context.species.genes, dtype=object)[context_genes],
                part.name: np.asarray(part.species.genes, dtype=object)[target_genes],
            }
            shared = shared.merge(pd.DataFrame(pairs), on=context.name)
        return shared

    def __repr__(self) -> str:
        def say(part: Part) -> str:
            state = (
                "not trained"
                if part.trainings.stopped is None
                else f"{len(part.trainings.history['train_loss'])} epochs"
            )
            return f"{part.name} ({len(part.cell_names)} cells, {len(part.species.genes)} genes, {state})"

        targets = ", ".join(say(part) for part in self._targets.values()) or "none"
        mode = self._settings["alignment"]
        return f"ScSpecies: context {say(self._context)}; targets {targets}; alignment {mode}"
