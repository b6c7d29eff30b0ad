"""The table of human and mouse orthologs that comes with the package, and when it is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from .layouts import same_species

# pairs of Ensembl; where they are from: human_mouse.md
TABLE = Path(__file__).with_name("human_mouse.tsv.gz")
CHECKSUM = "fc2ce5b015a23eb33b4d9d49e969c320bce479ae8835f5ce3fd5e391aa791350"
SPECIES = ("human", "mouse")
SOURCE = "Ensembl's human and mouse, which come with scsystems"

# systems with more of their names in common than this part of the fewest have the same gene names
SHARED_NAMES = 0.1


def bundled_for(genes: Mapping[str, Iterable[str]]) -> Path | None:
    """The table for species that are recognizably human and mouse, if they need one.

    Parameters
    ----------
    genes
        Species (``human``, ``Homo sapiens``, ``mmusculus``, ``10090``, ...) to its gene names.

    Returns
    -------
    The path of the table; None for other species, and for genes that have the same names already.
    """
    if not is_human_and_mouse(genes) or share_names(genes.values()):
        return None
    return TABLE


def is_human_and_mouse(species: Iterable[str]) -> bool:
    """Whether two names are those of human and mouse, in any order."""
    one, *others = species
    if len(others) != 1:
        return False
    return any(
        same_species(one, a) and same_species(others[0], b) for a, b in (SPECIES, SPECIES[::-1])
    )


def share_names(genes: Iterable[Iterable[str]]) -> bool:
    """Whether systems call their genes alike."""
    names = [pd.Index(n) for n in genes]
    common = names[0]
    for others in names[1:]:
        common = common.intersection(others)
    return len(common) > SHARED_NAMES * min(map(len, names))
