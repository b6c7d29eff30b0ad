"""What was kept and lost on the way from a table of orthologs to genes that all species share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .kinds import WORDS


@dataclass(frozen=True)
class Groups:
    """What was made of the pairs as groups of orthologs, in groups."""

    n_one_to_one: int
    n_several: int
    largest: int
    n_large: int
    n_low_score: int

    def lines(self) -> list[str]:
        """For the report of the table."""
        return [
            f"  - {lost} groups {reason}"
            for lost, reason in (
                (self.n_large, f"of more than {self.largest} genes"),
                (self.n_low_score, "of several genes without any well supported pair"),
            )
            if lost
        ] + [f"  = {self.n_one_to_one} one-to-one pairs and {self.n_several} groups of more genes"]


@dataclass(frozen=True)
class Report:
    """What every step kept and lost, in rows of the table or pairs of genes.

    Fields that belong to a step that has not been taken are None or empty.
    """

    layout: str
    n_rows: int
    n_incomplete: int
    n_low_score: int
    n_repeated: int
    n_pairs: int
    n_ambiguous: Mapping[str, int] = field(default_factory=dict)
    n_other_type: int = 0
    n_one_to_one: int | None = None
    n_genes: Mapping[str, int] = field(default_factory=dict)
    n_matched: Mapping[str, int] = field(default_factory=dict)
    n_relaxed: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    n_other_kind: Mapping[str, int] = field(default_factory=dict)
    source: str = ""
    groups: Groups | None = None
    n_in_all: int | None = None

    def __str__(self) -> str:
        lines = [f"orthologs ({self.source or f'{self.layout} layout'}): {self.n_rows} rows"]
        lines += [
            f"  - {lost} {reason}"
            for lost, reason in (
                (self.n_incomplete, "without a gene in every species"),
                (self.n_low_score, "below the smallest score"),
                (self.n_repeated, "repeat another row"),
            )
            if lost
        ]
        lines.append(f"  = {self.n_pairs} pairs")
        if self.n_one_to_one is not None:
            lines += [
                f"  - {lost} whose {species} gene has several partners"
                for species, lost in self.n_ambiguous.items()
                if lost
            ]
            if self.n_other_type:
                lines.append(f"  - {self.n_other_type} that the table calls other than one-to-one")
            lines.append(f"  = {self.n_one_to_one} one-to-one pairs (a pair may be lost twice)")
        if self.groups is not None:
            lines += self.groups.lines()
        for species, n_genes in self.n_genes.items():
            relaxed = self.n_relaxed[species]
            kind = WORDS.get(self.kinds.get(species, ""))
            note = "" if kind is None else f" by their {kind}"
            if other := self.n_other_kind.get(species, 0):
                rest = next(word for word in WORDS.values() if word != kind)
                note += f", some ({other} of the table's) by their {rest}"
            note += f", {relaxed} of them only without case or version" if relaxed else ""
            lines.append(f"  {species}: {self.n_matched[species]} of {n_genes} genes match{note}")
        if self.n_in_all is not None:
            what = "pairs with both genes" if self.groups is None else "groups with a gene of each"
            lines.append(f"  = {self.n_in_all} {what} in the data")
        return "\n".join(lines)
