"""Folders of ScSpecies models: what is written, and how it is read back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..._version import __version__
from ...data.species import Species
from ...errors import ModelFileError
from ...files import write_folder
from ...nn.scspecies.net import ScviNet, ScviSizes
from ..base import NAME, load_weights, read_model
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
    "homologous_share",
    "n_latent",
    "n_features",
    "n_hidden",
    "dropout_rate",
    "seed",
)


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
                "history": part.history,
                "stopped": part.stopped,
                "prototypes": None if part.prototypes is None else part.prototypes.to_dict("list"),
            }
        )
    if model._prototypes is not None:
        tensors["prototypes"] = torch.as_tensor(model._prototypes)
    record = {
        "class": type(model).__name__,
        "version": __version__,
        "torch": torch.__version__,
        "arguments": model._settings,
        "parts": records,
    }
    write_folder(dir_path, NAME, tensors, record, overwrite)


def load(cls: type[ScSpecies], dir_path: str | Path) -> ScSpecies:
    """Read what `save` wrote, without the counts."""
    tensors, record = read_model(dir_path, "ScSpecies")
    model = cls.__new__(cls)
    settings = dict(record["arguments"])
    for name in ("kl_weight", "eta"):
        settings[name] = tuple(settings[name])
    model._prepare(settings)
    try:
        parts = [
            _part(number, raw, tensors, dir_path) for number, raw in enumerate(record["parts"])
        ]
    except KeyError as error:
        raise ModelFileError(
            f"{dir_path} lacks the entry {error}. Expected an unchanged folder as save() wrote it."
        ) from error
    model._context = parts[0]
    model._targets = {part.name: part for part in parts[1:]}
    if "prototypes" in tensors:
        model._prototypes = tensors["prototypes"].numpy()
    return model


def _part(
    number: int, raw: dict[str, Any], tensors: dict[str, Tensor], dir_path: str | Path
) -> Part:
    sizes = ScviSizes(**raw["sizes"])
    net = ScviNet(sizes, torch.Generator(), torch.zeros(sizes.n_batches, 2)).eval()
    start = f"{number}.net."
    load_weights(
        net, {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}, dir_path
    )

    def array(name: str) -> np.ndarray | None:
        value = tensors.get(f"{number}.{name}")
        return None if value is None else value.numpy()

    embedded = neighbors = None
    mean = array("embedded.mean")
    if mean is not None:
        features = array("embedded.features")
        if features is None:
            features = np.zeros((len(mean), 0), np.float32)
        embedded = Embedded(features, mean, array("embedded.std"), array("embedded.log_library"))
    if array("neighbors.index") is not None:
        neighbors = Neighborhood(
            *(array(f"neighbors.{k}") for k in ("index", "label", "agreement", "kept"))
        )
    return Part(
        species=Species.from_json(raw["species"]),
        net=net,
        cell_names=pd.Index(raw["cell_names"]),
        label=array("label"),
        pairs=array("pairs"),
        embedded=embedded,
        neighbors=neighbors,
        prototypes=None if raw["prototypes"] is None else pd.DataFrame(raw["prototypes"]),
        history={k: [tuple(p) for p in v] for k, v in raw["history"].items()},
        stopped=raw["stopped"],
    )
