"""The parts a ScSpecies model is made of: one per species, and how they are read from the user's data."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from ... import checks
from ...checks import head, kind
from ...data.fingerprint import fingerprint, row_hashes
from ...data.levels import level_name
from ...data.orthologs import tables as ortholog_tables
from ...data.orthologs.tables import Orthologs
from ...data.resident import CellArrays
from ...data.species import Species, cell_names, check_names
from ...errors import InputError
from ...nn.scspecies.net import ScviNet, ScviSizes
from ...words import word
from ..trainings import Trainings
from .training import Neighborhood, homologous_fraction, library_prior

logger = logging.getLogger(__name__)

FEWEST_SHARED_GENES = 50
FEW_SHARED_GENES = 250

OrthologSource: TypeAlias = Orthologs | str | Path | pd.DataFrame


@dataclass(frozen=True)
class Embedded:
    """Cells in a trained network: features (n x F), mean and std of z (n x L), log library size (n)."""

    features: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    log_library: np.ndarray


@dataclass
class Part:
    """One species: its schema, network, cells and what training left.

    ``pairs`` (H x 2, targets only) holds positions of homologous genes among the context's and
    this species' genes. ``cells`` is ``None`` for a model that was loaded without this
    species' data.
    """

    species: Species
    net: ScviNet
    cell_names: pd.Index
    cells: CellArrays | None = None
    label: np.ndarray | None = None
    obs: pd.DataFrame | None = None
    pairs: np.ndarray | None = None
    embedded: Embedded | None = None
    neighbors: Neighborhood | None = None
    prototypes: pd.DataFrame | None = None
    trainings: Trainings = field(default_factory=Trainings)
    # tells the cells, and all that is learned from them, from others; "" where it is not known
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """The user's name of the species."""
        return self.species.name

    def label_names(self) -> np.ndarray:
        """Labels of the cells."""
        return np.asarray(self.species.labels, dtype=object)[self.label]

    def require_cells(self, purpose: str) -> CellArrays:
        """The cells, or an error that says how to attach them."""
        if self.cells is None:
            raise InputError(
                f"The counts of {self.name!r} are needed {purpose}, but the model was loaded without them. "
                f"Load it with {word('attach').format(self.name)}."
            )
        return self.cells

    def attach(self, adata: AnnData) -> None:
        """Give a loaded model the cells it was trained on."""
        check_names(self.name, adata)
        names = cell_names(self.name, adata)
        if not self.cell_names.equals(names):
            raise InputError(
                f"{self.name}: the cells are not those of the saved model ({adata.n_obs} cells, first "
                f"{head(names, 2)}; the model has {len(self.cell_names)}, first {head(self.cell_names, 2)}). "
                "Expected the same cells in the same order."
            )
        cells, label = self.species.arrays(adata), self.label
        if self.species.label_key is not None:
            label = self.species.label_codes(
                adata, "context labels" if self.pairs is None else "target labels"
            )
        learned = label if self.pairs is None else None
        found = species_fingerprint(self.species, names, cells, learned)
        if self.fingerprint and found != self.fingerprint:
            what = "counts, batches or labels" if self.pairs is None else "counts or batches"
            raise InputError(
                f"{self.name}: the {what} of the cells are not those that the saved model was trained on. Expected "
                "the same data; align other cells by adding them as a further target species."
            )
        self.cells, self.label, self.obs = cells, label, adata.obs


def species_fingerprint(
    species: Species, names: pd.Index, cells: CellArrays, label: np.ndarray | None
) -> str:
    """Tells the cells of a species from others: their names, counts, batches and labels (if trained on)."""
    known = species.to_json()
    if label is None:
        del known["label_key"], known["labels"]
    facts = {
        "species": known,
        "names": list(names),
        "counts": row_hashes(cells.x),
        "batch": cells.categorical,
        "label": [] if label is None else label,
    }
    return fingerprint(facts)


def named_context(context: AnnData | Mapping[str, AnnData]) -> tuple[str, AnnData]:
    """The context's name (``"context"`` unless given) and data."""
    if isinstance(context, Mapping):
        if len(context) != 1:
            raise InputError(
                f"context holds {len(context)} data sets. Expected one: context={{'mouse': adata}}."
            )
        name, adata = next(iter(context.items()))
        return level_name(name), adata
    return "context", context


def named_targets(
    targets: Mapping[str, AnnData] | Iterable[tuple[str, AnnData]], context_name: str
) -> dict[str, AnnData]:
    """Targets by name, names checked to be distinct."""
    if isinstance(targets, AnnData):
        raise InputError(
            "targets is an AnnData. Expected a dictionary of names and data: {'human': adata}."
        )
    found: Any = targets.items() if isinstance(targets, Mapping) else targets
    several = isinstance(found, Iterable) and not isinstance(found, (str, pd.DataFrame))
    items = list(found) if several else None
    if items is None or not all(isinstance(i, (tuple, list)) and len(i) == 2 for i in items):
        raise InputError(
            f"targets is {kind(targets)}. Expected a dictionary of names and data: {{'human': adata}}."
        )
    items = [(level_name(name), adata) for name, adata in items]
    names = [context_name, *(name for name, _ in items)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"Species names occur more than once: {head(twice)}. Expected a different name for each."
        )
    return dict(items)


def key_of(value: Any, name: str, term: str) -> str | None:
    """The key of a column or a layer, which may differ by species."""
    return checks.optional_name(term, per_species(value, name, word(term)))


def per_species(value: Any, name: str, argument: str) -> Any:
    """An argument that is the same for all species, or a dictionary by species."""
    if not isinstance(value, Mapping):
        return value
    value = {level_name(key): own for key, own in value.items()}
    if name not in value:
        raise InputError(
            f"{argument} has no entry for {name!r}; found {sorted(value)}. Expected one for each species."
        )
    return value[name]


def homologues(
    table: OrthologSource,
    context: str,
    context_data: Iterable[str],
    target: str,
    target_data: AnnData,
) -> pd.DataFrame:
    """One-to-one pairs of genes that both data sets have: columns ``context`` and ``target``."""
    if not isinstance(table, Orthologs):
        table = _read(table, {context: context_data, target: target_data.var_names})
    if table.report.n_one_to_one is None:
        table = ortholog_tables.one_to_one(table)
    missing = [name for name in (context, target) if name not in table.species]
    if missing:
        raise InputError(
            f"orthologs pair {table.species}, but the species are called {context!r} (context) and {target!r}. "
            "Call the species as the table does."
        )
    genes = {context: context_data, target: check_names(target, target_data)}
    if len(table.species) > 2:
        names = [context, target]
        pairs = table.pairs[names].drop_duplicates(names)
        table = replace(table, pairs=pairs, species=tuple(names))
    pairs = ortholog_tables.match(table, genes).pairs
    n = len(pairs)
    if n < FEWEST_SHARED_GENES:
        raise InputError(
            f"orthologs: {context} and {target} share {n} one-to-one genes. Expected at least "
            f"{FEWEST_SHARED_GENES}; some hundreds are needed for reliable neighbors. Keep more genes of both "
            f"species ({word('n_top_genes of species')}), or check the table."
        )
    if n < FEW_SHARED_GENES:
        logger.warning(
            "%s and %s share only %d one-to-one genes; below %d neighbors become unreliable. Keep more genes (%s).",
            *(context, target, n, FEW_SHARED_GENES, word("n_top_genes of species")),
        )
    return pd.DataFrame({"context": pairs[context].to_numpy(), "target": pairs[target].to_numpy()})


def _read(table: str | Path | pd.DataFrame, genes: Mapping[str, Iterable[str]]) -> Orthologs:
    context, target = genes
    if (
        isinstance(table, pd.DataFrame)
        and table.shape[1] == 2
        and not {context, target} <= set(table.columns)
    ):
        first, second = table.columns
        known = ortholog_tables.ortholog_layouts.same_species
        if not (known(first, target) or known(second, context)):
            # two columns that name neither species: context first
            return ortholog_tables.read(
                table, (context, target), columns={context: first, target: second}
            )
    return ortholog_tables.read_for(table, genes)


def make_net(
    species: Species,
    cells: CellArrays,
    settings: dict[str, Any],
    generator: torch.Generator,
    inner=None,
) -> ScviNet:
    """A new network for a species."""
    n_genes, n = len(species.genes), species.n_homologous
    if settings["homologous_fraction"] == "genes":
        fraction = n / n_genes
    else:
        fraction = homologous_fraction(cells, n)
    names = (
        "n_latent",
        "n_features",
        "n_hidden",
        "dropout_rate",
        "likelihood",
        "dispersion",
        "library",
        "encoder_input",
    )
    sizes = ScviSizes(
        n_genes=n_genes,
        n_homologous=n,
        n_batches=len(species.batches),
        homologous_fraction=fraction,
        **{name: settings[name] for name in names},
    )
    return ScviNet(sizes, generator, library_prior(cells, len(species.batches)), inner).eval()


def warn_small(part: Part, k: int) -> None:
    """Warn of labels and batches that are smaller than a neighborhood."""
    sizes = {}
    if part.label is not None:
        sizes["label"] = (
            np.bincount(part.label, minlength=len(part.species.labels)),
            part.species.labels,
        )
    sizes["batch"] = (
        np.bincount(part.cells.categorical[:, 0], minlength=len(part.species.batches)),
        part.species.batches,
    )
    for what, (n_cells, names) in sizes.items():
        small = [f"{name} ({n})" for name, n in zip(names, n_cells, strict=True) if n < k]
        if small:
            logger.warning(
                "%s: %d of %d %ss have fewer cells than n_neighbors=%d: %s. Their cells may be matched poorly.",
                *(part.name, len(small), len(names), what, k, head(small)),
            )
