"""Which gene of the data a name in a table of orthologs means."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

from .layouts import MISSING, MISSING_OR_GENE

# names match without regard to case where fewer than this fraction of them would match with it
MATCHES_BUT_FOR_CASE = 0.1


def translate(wanted: pd.Index, have: pd.Index, listed: pd.Index) -> dict[str, str]:
    """Map the table's names to the data's: exact first, then by a relaxed key, if unique.

    Parameters
    ----------
    wanted
        Names that have a pair.
    have
        Names in the data.
    listed
        All names that the table knows; those of the data that are among them mean these.
    """
    exact = wanted.intersection(have)
    same = dict(zip(exact, exact, strict=True))
    rest, free = wanted.difference(exact), have.difference(listed)

    def relaxed(key: Callable[[str], str]) -> dict[str, str]:
        theirs, ours = _unique_by(key, listed, rest), _unique_by(key, have, free)
        return same | {theirs[k]: ours[k] for k in theirs.keys() & ours.keys()}

    found, without_case = relaxed(unversioned), relaxed(lambda name: unversioned(name).lower())
    # names of one case altogether, such as upper case in mice
    as_a_whole = len(found) < MATCHES_BUT_FOR_CASE * len(without_case)
    return without_case if as_a_whole else found


def _unique_by(key: Callable[[str], str], among: pd.Index, names: pd.Index) -> dict[str, str]:
    """The names by key, without those that share their key with another one ``among`` all."""
    keys = pd.Index([key(name) for name in among])
    shared = set(keys[keys.duplicated()])
    return {k: name for name in names if (k := key(name)) not in shared}


def unversioned(name: str) -> str:
    """A name without the version of an Ensembl identifier, all punctuation as dashes."""
    name = re.sub(r"^(ENS[A-Z]*G\d{6,})\.\d+$", r"\1", name)
    return re.sub(r"[._:]", "-", name)


def is_missing(names: pd.Series) -> pd.Series:
    """Which names of a table mean that there is none."""
    word = names.isin({MISSING_OR_GENE})
    # a gene of a one-to-one pair is named once, a missing one again and again
    return names.isin(MISSING) | (word & (word.sum() > 1))
