"""The inside of `ScSpecies`: its parts made, looked up, and trained one by one."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import nn

from ... import checks
from ...data.fingerprint import fingerprint
from ...data.species import Species, cell_names, check_names
from ...data.species_genes import species_genes
from ...errors import InputError, NotTrainedError
from ...nn.scspecies.alignment import AlignmentOptions, ContextCells
from ...nn.scspecies.reduced import reduced_precision
from ...train.loop import FitResult, FitSettings
from ...words import word
from ..base import BaseModel
from ..trainings import Trainings
from . import training as training
from .prototypes import PrototypeRecord, prototypes
from .species import Part, key_of, make_net, per_species, species_fingerprint, warn_small

logger = logging.getLogger(__name__)


class Assembly(BaseModel):
    """State of :class:`ScSpecies`, and the steps that its parts have in common."""

    _context: Part
    _settings: dict[str, Any]

    def _prepare(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.notes = {}
        self._targets: dict[str, Part] = {}
        self._prototypes: np.ndarray | None = None

    def _generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """A generator of the model's seed and of a species' name, so that its order does not matter."""
        salt = sum((i + 1) * ord(letter) for i, letter in enumerate(name))
        return torch.Generator(device).manual_seed(self._settings["seed"] * 1_000_003 + salt)

    def _choose_genes(
        self, name: str, adata: AnnData, n_top_genes, min_cells: int, layer, batch_key
    ) -> AnnData:
        """The cells of a species with the genes to train on; the options may differ by species."""
        check_names(name, adata)
        genes = species_genes(
            name,
            adata,
            per_species(n_top_genes, name, word("n_top_genes")),
            min_cells,
            layer=key_of(layer, name, "layer"),
            batch_key=key_of(batch_key, name, "species batch"),
        )
        return adata if len(genes) == adata.n_vars else adata[:, genes]

    def _part(
        self, species: Species, adata: AnnData, generator: torch.Generator, label_term: str
    ) -> Part:
        cells, names = species.arrays(adata, checked=True), cell_names(species.name, adata)
        net = make_net(species, cells, self._settings, generator)
        label = None if species.label_key is None else species.label_codes(adata, label_term)
        part = Part(species, net, names, cells, label, adata.obs)
        # labels of targets are not trained on
        learned = label if label_term == "context labels" else None
        part.fingerprint = species_fingerprint(species, names, cells, learned)
        return part

    def _add(
        self, name: str, adata: AnnData, pairs: pd.DataFrame, layer, batch_key, label_key
    ) -> None:
        species = Species.from_anndata(
            name, adata, list(pairs["target"]), layer, batch_key, label_key, "target labels"
        )
        part = self._part(species, adata, self._generator(name), "target labels")
        there = pd.Index(self._context.species.genes).get_indexer(pairs["context"])
        part.pairs = np.stack([there, np.arange(len(pairs))], 1)
        warn_small(part, self._settings["n_neighbors"])
        logger.info(
            "%s and %s: %d and %d genes, %d pairs of orthologs among them",
            *(self._context.name, name, len(self._context.species.genes), len(species.genes)),
            len(pairs),
        )
        self._targets[name] = part

    def _networks(self) -> Sequence[nn.Module]:
        return [part.net for part in self._parts()]

    def _trainings(self) -> Sequence[Trainings]:
        return [part.trainings for part in self._parts()]

    def _parts(self) -> list[Part]:
        return [self._context, *self._targets.values()]

    def _part_of(self, name: str) -> Part:
        found = {part.name: part for part in self._parts()}
        name = checks.name("species", name)
        if name not in found:
            raise InputError(
                f"species={name!r} is not part of this model. Expected one of {list(found)}."
            )
        return found[name]

    def _target(self, name: str | None) -> Part:
        """A trained target; with a single one its name may be left out."""
        if name is None and len(self._targets) == 1:
            name = next(iter(self._targets))
        name = checks.optional_name("target", name)
        if name not in self._targets:
            raise InputError(
                f"target={name!r} is not a target of this model. Expected one of {list(self._targets)}."
            )
        return self._trained(self._targets[name])

    def _trained(self, part: Part) -> Part:
        if part.embedded is None:
            raise NotTrainedError(f"{part.name!r} has not been trained. {word('train')}")
        return part

    def _weights(self) -> training.Weights:
        s = self._settings
        return training.Weights(s["kl_weight"], s["eta"], (0.0, s["mixing_weight"]), s["n_warmup"])

    def _fit(
        self, part: Part, device, settings: FitSettings, reduced: bool, callbacks
    ) -> FitResult:
        """Step 1 for the context, steps 2 and 3 for a target."""
        generator = self._generator(part.name, device)
        identity = {
            "species": part.species.name,
            "data": part.fingerprint,
            "settings": str(self._settings),
        }
        is_target = part is not self._context
        if is_target:
            identity["context"] = self._context.fingerprint
            identity["pairs"] = fingerprint({"pairs": part.pairs})
            context = self._trained(self._context)
            part.neighbors = self._find_neighbors(part, device)
            if self._settings["alignment"] == "intermediate":
                part.net.inner = copy.deepcopy(context.net.inner).requires_grad_(False)
        part.net.to(device)
        with reduced_precision(part.net, reduced):
            if not is_target:
                return training.pretrain(
                    part.net,
                    part.cells,
                    device,
                    settings,
                    self._weights(),
                    generator,
                    callbacks,
                    identity,
                    earlier=part.trainings.history,
                )
            record = self._prototype_record(part, device)
            result = training.align(
                part.net,
                part.cells,
                self._context_cells(),
                part.neighbors,
                AlignmentOptions(self._settings["alignment"], self._settings["search_every"]),
                device,
                settings,
                self._weights(),
                generator,
                [*callbacks, record],
                identity,
                earlier=part.trainings.history,
            )
            part.prototypes = record.frame()
            return result

    def _context_cells(self) -> ContextCells:
        e = self._context.embedded
        return ContextCells(
            *(torch.as_tensor(a) for a in (e.features, e.mean, e.std, self._context.label))
        )

    def _context_prototypes(self) -> None:
        """Latent means of the context's median cells, one per label."""
        part = self._context
        _, counts, batch = prototypes(part.cells, part.label, len(part.species.labels))
        where = next(part.net.parameters()).device
        with torch.no_grad():
            z = part.net.encode(
                torch.as_tensor(counts, device=where), torch.as_tensor(batch, device=where)
            ).mean
        self._prototypes = z.cpu().numpy()

    def _prototype_record(self, part: Part, device) -> PrototypeRecord:
        """Follows the target's prototypes: of its own labels if known, else of the preliminary ones."""
        own = part.label is not None
        names = part.species.labels if own else self._context.species.labels
        label = part.label if own else part.neighbors.label
        codes, counts, batch = prototypes(part.cells, label, len(names))
        named = [names[code] for code in codes]
        return PrototypeRecord(
            part.net, counts, batch, self._prototypes, named, self._context.species.labels, device
        )

    def _find_neighbors(self, part: Part, device) -> training.Neighborhood:
        context, settings = self._context, self._settings
        context_genes, target_genes = part.pairs.T
        if context.cells is None:
            logger.info("%s: neighbors are found among decoded context cells", part.name)
            known = training.decoded_counts(
                context.net,
                context.embedded.mean,
                context.embedded.log_library,
                context_genes,
                device,
            )
        else:
            known = context.cells.x[:, context_genes]
        k = settings["n_neighbors"]
        quantile = settings["quantile"]
        if quantile is None:
            quantile = training.default_quantile(len(part.cells))
        n_labels = len(context.species.labels)
        return training.find_neighbors(
            part.cells.x[:, target_genes], known, context.label, n_labels, k, quantile, k, device
        )
