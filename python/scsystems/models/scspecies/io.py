"""Folders of ScSpecies models: what is written, and how it is read back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...data.species import Species
from ...durable.steps import full_path
from ...durable.typed import arguments, typed
from ...errors import InputError, ModelFileError
from ...nn.scspecies.net import ScviNet, ScviSizes
from ...train.checkpoint import History
from ..base import NAME, check_weights, load_weights, read_model, save_model, shapes_only
from ..trainings import Stopped, Trainings
from .arrays import Arrays
from .settings import choose
from .species import Embedded, Part
from .training import Neighborhood

if TYPE_CHECKING:
    from .model import ScSpecies

# arguments of the constructor that are the model's settings
SETTINGS = (
    "alignment",
    "search_every",
    "n_neighbors",
    "quantile",
    "kl_weight",
    "eta",
    "mixing_weight",
    "n_warmup",
    "likelihood",
    "dispersion",
    "library",
    "encoder_input",
    "homologous_fraction",
    "n_latent",
    "n_features",
    "n_hidden",
    "dropout_rate",
    "seed",
)


@dataclass(frozen=True)
class SavedPrototypes:
    """`Part.prototypes` by columns."""

    epoch: list[int]
    target_type: list[str]
    context_type: list[str]
    difference: list[float]


@dataclass(frozen=True)
class SavedPart:
    """What ``model.json`` says of a species."""

    species: Species
    sizes: ScviSizes
    cell_names: list[str]
    history: History
    stopped: Stopped | None
    prototypes: SavedPrototypes | None
    data_fingerprint: str = ""


@dataclass(frozen=True)
class Saved:
    """What ``model.json`` says of a model besides its class and the versions that wrote it."""

    arguments: dict[str, Any]
    parts: list[SavedPart]
    notes: dict[str, Any] = field(default_factory=dict)


def save(model: ScSpecies, dir_path: str | Path, overwrite: bool) -> None:
    """Write all parts: tensors as ``<number>.<group>.<name>``, the rest as JSON."""
    tensors: dict[str, Tensor] = {}
    records = []
    for number, part in enumerate(model._parts()):
        tensors |= {f"{number}.net.{k}": v for k, v in part.net.state_dict().items()}
        arrays = {"pairs": part.pairs, "label": part.label}
        for group, value in (("embedded", part.embedded), ("neighbors", part.neighbors)):
            if value is not None:
                arrays |= {f"{group}.{k}": v for k, v in vars(value).items()}
        if number:
            # only the context's features are aligned to
            arrays.pop("embedded.features", None)
        tensors |= {f"{number}.{k}": torch.as_tensor(v) for k, v in arrays.items() if v is not None}
        records.append(
            {
                "species": part.species.to_json(),
                "sizes": asdict(part.net.sizes),
                "cell_names": list(part.cell_names),
                "history": part.trainings.history,
                "stopped": part.trainings.stopped,
                "data_fingerprint": part.fingerprint,
                "prototypes": None if part.prototypes is None else part.prototypes.to_dict("list"),
            }
        )
    if model._prototypes is not None:
        tensors["prototypes"] = torch.as_tensor(model._prototypes)
    facts = {"arguments": model._settings, "parts": records, "notes": model.notes}
    save_model(model, dir_path, tensors, facts, overwrite)


def load(cls: type[ScSpecies], dir_path: str | Path) -> ScSpecies:
    """Read what `save` wrote, without the counts."""
    dir_path = full_path(dir_path)
    tensors, record = read_model(dir_path, "ScSpecies")
    where = f"{dir_path / NAME}.json"
    saved = typed(Saved, record, where)
    if not saved.parts:
        raise ModelFileError(f"{where} tells of no species. Expected the context at least.")
    model = cls.__new__(cls)
    model._prepare(_settings(cls, saved.arguments, where))
    model.notes = saved.notes
    context = saved.parts[0]
    parts = [
        _part(number, part, context, tensors, dir_path) for number, part in enumerate(saved.parts)
    ]
    model._context = parts[0]
    model._targets = {part.name: part for part in parts[1:]}
    if len({part.name for part in parts}) < len(parts):
        raise ModelFileError(f"{where} names a species twice. Expected every species once.")
    if "prototypes" in tensors:
        of_context = Arrays({"0.prototypes": tensors["prototypes"]}, "0.", dir_path)
        model._prototypes = of_context.numbers("prototypes", None, context.sizes.n_latent)
        if len(model._prototypes) > len(context.species.labels):
            raise of_context.wrong("prototypes", f"at most {len(context.species.labels)} rows")
    return model


def _settings(cls: type[ScSpecies], given: dict[str, Any], where: str) -> dict[str, Any]:
    """The constructor's settings, as it would have them."""
    found = arguments(cls.__init__, given, f"{where}.arguments")
    if set(found) != set(SETTINGS):
        odd = sorted(set(found) ^ set(SETTINGS))
        raise ModelFileError(
            f"{where}.arguments lacks {odd[0]!r}, or has it though it is no setting. Expected {', '.join(SETTINGS)}."
        )
    try:
        return choose("default", found)
    except InputError as error:
        raise ModelFileError(
            f"{where} has arguments that no model is made of: {error}. Expected an unchanged folder as it "
            "was saved."
        ) from error


def _part(
    number: int,
    saved: SavedPart,
    context: SavedPart,
    tensors: dict[str, Tensor],
    dir_path: Path,
) -> Part:
    sizes, n_cells = saved.sizes, len(saved.cell_names)
    where = f"{dir_path / NAME}.json.parts[{number}]"
    _check_part(saved, where)
    net_start = f"{number}.net."
    weights = {k[len(net_start) :]: v for k, v in tensors.items() if k.startswith(net_start)}
    arrays = Arrays(tensors, f"{number}.", dir_path)

    def net() -> ScviNet:
        return ScviNet(sizes, torch.Generator(), torch.zeros(sizes.n_batches, 2))

    # the sizes are not believed before the weights have been seen to be of them
    with shapes_only(dir_path):
        check_weights(net(), weights, dir_path)
    made = net().eval()
    load_weights(made, weights, dir_path)
    embedded = neighbors = pairs = label = None
    if "embedded.mean" in arrays:
        if number:
            features = np.zeros((n_cells, 0), np.float32)
        else:
            features = arrays.numbers("embedded.features", n_cells, sizes.n_features)
        embedded = Embedded(
            features,
            arrays.numbers("embedded.mean", n_cells, sizes.n_latent),
            arrays.numbers("embedded.std", n_cells, sizes.n_latent),
            arrays.numbers("embedded.log_library", n_cells),
        )
    n_context, n_labels = len(context.cell_names), len(context.species.labels)
    if "neighbors.index" in arrays:
        neighbors = Neighborhood(
            arrays.codes("neighbors.index", n_context, n_cells, None),
            arrays.codes("neighbors.label", n_labels, n_cells),
            arrays.numbers("neighbors.agreement", n_cells),
            arrays.flags("neighbors.kept", n_cells),
        )
    if "label" in arrays or not number:
        label = arrays.codes("label", len(saved.species.labels), n_cells)
    if number:
        pairs = arrays.codes("pairs", max(context.sizes.n_genes, sizes.n_genes), None, 2)
        if (pairs >= (context.sizes.n_genes, sizes.n_genes)).any():
            raise arrays.wrong("pairs", "positions of genes")
    return Part(
        species=saved.species,
        net=made,
        cell_names=pd.Index(saved.cell_names),
        label=label,
        pairs=pairs,
        embedded=embedded,
        neighbors=neighbors,
        prototypes=None if saved.prototypes is None else pd.DataFrame(vars(saved.prototypes)),
        trainings=Trainings(saved.history, saved.stopped),
        fingerprint=saved.data_fingerprint,
    )


def _check_part(saved: SavedPart, where: str) -> None:
    """Refuse a description of a species that contradicts itself."""
    species, sizes = saved.species, saved.sizes
    counts = (sizes.n_genes, sizes.n_batches, sizes.n_latent, sizes.n_features, sizes.n_hidden)
    all_homologous = sizes.n_homologous == sizes.n_genes
    lengths = (
        set() if saved.prototypes is None else {len(v) for v in vars(saved.prototypes).values()}
    )
    wrong = {
        "sizes.n_genes is not the number of genes": sizes.n_genes != len(species.genes),
        "sizes.n_batches is not the number of batches": sizes.n_batches != len(species.batches),
        "sizes.n_homologous is not that of the species": not (
            sizes.n_homologous == species.n_homologous and 0 < sizes.n_homologous <= sizes.n_genes
        ),
        "a size is below 1": any(count < 1 for count in counts),
        "sizes.homologous_fraction is no fraction": not 0 < sizes.homologous_fraction <= 1
        or (sizes.homologous_fraction == 1 and not all_homologous),
        "sizes.dropout_rate is no fraction": not 0 <= sizes.dropout_rate < 1,
        "a gene or a level has a name twice": any(
            len(set(names)) != len(names)
            for names in (species.genes, species.batches, species.labels)
        ),
        "prototypes has columns of different lengths": len(lengths) > 1,
        "it is trained, but has no history": saved.stopped is not None
        and not saved.history.get("train_loss"),
    }
    for what, is_so in wrong.items():
        if is_so:
            raise ModelFileError(
                f"{where} contradicts itself: {what}. Expected an unchanged folder as it was saved."
            )
