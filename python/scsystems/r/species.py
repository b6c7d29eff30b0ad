"""Objects of several species, as R has them, put together with the genes that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from scsystems.data.joint import ORTHOLOGS, join_species
from scsystems.r import values
from scsystems.r.envelope import guarded


@guarded
def join(
    data: Mapping[str, Any], system: str, orthologs: Any = None, orthology: str = "one2one"
) -> dict[str, Any]:
    """Put cells of species together, see :func:`scsystems.data.joint.join_species`.

    Parameters
    ----------
    data
        Species to its AnnData.
    system
        Column that is made.
    orthologs
        A path, Python's own table, the columns of a data frame as R sends them, or a mapping of
        species to these; None for the table that comes with the package.
    orthology
        ``"one2one"`` or ``"groups"``.

    Returns
    -------
    ``matrix``, see :func:`scsystems.r.values.matrix_to_parts`; ``cells`` and ``genes``, their names;
    ``members``, the genes' names in every species; ``report``; and ``target_sum`` of logarithms.
    """
    joint = join_species(data, system, orthologs=_table(orthologs), orthology=orthology)
    scale = joint.uns.get("preparation", {}).get("settings", {})
    members = joint.var.set_axis([c.removeprefix("gene_") for c in joint.var.columns], axis=1)
    return {
        "matrix": values.matrix_to_parts(joint.X),
        "cells": [str(name) for name in joint.obs_names],
        "genes": [str(name) for name in joint.var_names],
        "members": values.frame_to_parts(members),
        "report": joint.uns[ORTHOLOGS]["report"],
        "target_sum": scale.get("target_sum"),
    }


def _table(source: Any) -> Any:
    """A table as Python takes it; a frame's columns are dictionaries with a kind."""
    if not isinstance(source, Mapping):
        return source
    if all(isinstance(part, Mapping) and "kind" in part for part in source.values()):
        return pd.DataFrame({name: values.column_from_parts(part) for name, part in source.items()})
    return {name: _table(part) for name, part in source.items()}
