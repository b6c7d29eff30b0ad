"""Read models that scvi-tools' SysVI saved, without scvi-tools and without executing their pickle.

scvi-tools writes one file, ``model.pt``, which holds weights, gene names and a registry of the
data, as a pickle. Only tensors and plain numpy arrays are rebuilt from it, see
:mod:`scsystems.models.sysvi.torch_file`; every other object in the pickle (training history as data
frames, for example) becomes an inert placeholder.
"""

from __future__ import annotations

from pathlib import Path
from reprlib import Repr
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.levels import level_name
from ...data.schema import Schema, Setup
from ...durable.steps import full_path
from ...errors import ModelFileError, NotSupportedError
from ...files import not_finite
from .arguments import check_arguments
from .torch_file import UnreadableError, read_torch_file

FILE = "model.pt"
ARITHMETIC = "scvi-tools"

# of what a file holds, however nested
_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxother = 2, 200


def holds_scvi_model(dir_path: str | Path, prefix: str = "") -> bool:
    """Whether a folder is one that scvi-tools saved a model in."""
    return (Path(dir_path) / f"{prefix}{FILE}").is_file()


def read_scvi_file(path: str | Path) -> dict[str, Any]:
    """The content of scvi-tools' ``model.pt``: ``model_state_dict``, ``var_names``, ``attr_dict``.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not of this kind.
    """
    path = full_path(path)
    if not path.is_file():
        raise ModelFileError(f"{path} does not exist. Expected the model.pt that scvi-tools saved.")
    try:
        content = read_torch_file(path)
    except UnreadableError as error:
        raise ModelFileError(
            f"{path} could not be read as a model of scvi-tools ({error}). Expected an undamaged model.pt of "
            "scvi-tools 1.2 or newer."
        ) from error
    wanted = {"model_state_dict", "var_names", "attr_dict"}
    if not isinstance(content, dict) or not wanted <= set(content):
        raise ModelFileError(
            f"{path} is not a model that scvi-tools saved. Expected the entries {sorted(wanted)}."
        )
    return content


def convert(content: dict[str, Any]) -> tuple[Schema, dict[str, Any], dict[str, Tensor], dict]:
    """Schema, constructor arguments, weights and facts of a SysVI model read by `read_scvi_file`."""
    try:
        facts = content["attr_dict"]
        # beside the weights there is a store of pyro's
        state = {k: v for k, v in content["model_state_dict"].items() if isinstance(v, Tensor)}
        registry = facts.get("registry_", {})
        name = _text(registry.get("model_name"))
        if name != "SysVI":
            raise ModelFileError(
                f"The file holds a model of class {name!r} of scvi-tools. Expected a SysVI model."
            )
        schema = _schema(registry, content["var_names"])
        arguments = _arguments(state, _options(facts))
        check_arguments(arguments)
        weights = _weights(state, schema, arguments)
        about = {
            "trained": facts.get("is_trained_") is True,
            "n_cells": int(_fields(registry, "X").get("n_obs", 0)),
            "scvi_version": _text(registry.get("scvi_version")),
        }
    except (ModelFileError, NotSupportedError):
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"The file does not have the layout of scvi-tools' SysVI ({_SHORT.repr(error)}). Expected a model of "
            "scvi-tools 1.2 to 1.5."
        ) from error
    bad = not_finite(weights)
    if bad:
        raise ModelFileError(
            f"The file holds NaN or infinity in {', '.join(bad[:3])}. Expected finite weights."
        )
    return schema, arguments, weights, about


def _text(value: Any) -> str | None:
    """Text, or what was a number there, by the name that it has as a level."""
    if value is None or type(value) in (str, int, float, bool):
        return None if value is None else level_name(value)
    raise TypeError("an object where there should be text")


def _texts(values: Any) -> tuple[str, ...]:
    """Names or levels, in a list or an array."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    if not isinstance(values, (list, tuple)) or any(value is None for value in values):
        raise TypeError("an object where there should be names")
    return tuple(text for value in values if (text := _text(value)) is not None)


def _fields(registry: dict, key: str) -> dict[str, Any]:
    return registry.get("field_registries", {}).get(key, {}).get("state_registry", {}) or {}


def _schema(registry: dict, var_names) -> Schema:
    setup = registry["setup_args"]
    system = _fields(registry, "batch")
    categorical = _fields(registry, "extra_categorical_covs")
    continuous = _fields(registry, "extra_continuous_covs")
    keys, columns = _texts(categorical.get("field_keys", ())), _texts(continuous.get("columns", ()))
    return Schema(
        setup=Setup(
            batch_key=_texts([setup["batch_key"]])[0],
            layer=_text(setup.get("layer")),
            categorical_covariate_keys=keys,
            continuous_covariate_keys=columns,
            weight_batches=setup.get("weight_batches") is True,
        ),
        genes=_texts(var_names),
        systems=_texts(system["categorical_mapping"]),
        categories=tuple(_texts(categorical["mappings"][key]) for key in keys),
        # scvi-tools gives the network the values as they are
        center=(0.0,) * len(columns),
        scale=(1.0,) * len(columns),
        # it does not record either what it was trained on
        expression_scale=None,
    )


def _options(facts: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments that were given, flat."""
    given = facts.get("init_params_", {})
    options = dict(given.get("non_kwargs", {}))
    for extra in given.get("kwargs", {}).values():
        options.update(extra)
    changed = options.get("encoder_decoder_kwargs")
    if changed:
        raise NotSupportedError(
            f"The model was made with encoder_decoder_kwargs={_SHORT.repr(changed)}, layers that this package does "
            "not have. Expected a model without them; train it anew, or go on with it in scvi-tools."
        )
    return options


def _arguments(state: dict[str, Tensor], options: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments; shapes are read off the weights."""
    vamp = "prior.u" in state
    tables = [v for k, v in state.items() if k.startswith("_embeddings_dict.")]
    return {
        "prior": "vamp" if vamp else "standard_normal",
        "n_prior_components": len(state["prior.u"]) if vamp else 1,
        "trainable_priors": bool(options.get("trainable_priors", True)),
        "prior_density": "factorized",
        "pseudoinput_choice": "random",
        "gmm_init": "data",
        "n_latent": len(state["encoder.mean_encoder.bias"]),
        "n_hidden": state["encoder.mean_encoder.weight"].shape[1],
        "n_layers": sum(
            k.startswith("encoder.decoder_y.fc_layers.") and k.endswith(".0.bias") for k in state
        ),
        "n_layers_decoder": None,
        "dropout_rate": float(options.get("dropout_rate", 0.1)),
        "out_var_mode": "feature" if "decoder.var_encoder.var_param" in state else "sample_feature",
        "embed_categorical_covariates": bool(tables),
        "embedding_dim": tables[0].shape[1] if tables else 5,
        "covariate_init": "linear",
        "encode_covariates": True,
        "cycle_covariates": "keep",
        "adversarial": False,
        "seed": 0,
        "arithmetic": ARITHMETIC,
    }


def _weights(
    state: dict[str, Tensor], schema: Schema, arguments: dict[str, Any]
) -> dict[str, Tensor]:
    """The same weights under this package's names, covariates split off."""
    embedded = arguments["embed_categorical_covariates"]
    dim = arguments["embedding_dim"]
    # scvi-tools concatenates [x, continuous and embedded values, one-hot system, one-hot others]
    n_dense = len(schema.center) + (dim * len(schema.categories) if embedded else 0)
    blocks = [len(schema.systems)]
    blocks += [] if embedded else [len(c) for c in schema.categories]
    weights: dict[str, Tensor] = {}
    for half, n_in in (("encoder", len(schema.genes)), ("decoder", arguments["n_latent"])):
        for i in range(arguments["n_layers"]):
            width = n_in if i == 0 else arguments["n_hidden"]
            source, target = (
                f"{half}.decoder_y.fc_layers.Layer {i}",
                f"{half}.hidden.layers.{i}",
            )
            whole = state[f"{source}.0.weight"]
            weights[f"{target}.weight"] = whole[:, :width].clone()
            weights[f"{target}.bias"] = state[f"{source}.0.bias"]
            weights[f"{target}.covariate_weight"] = _covariate_weight(
                whole[:, width:], n_dense, blocks
            )
            for part in (
                "weight",
                "bias",
                "running_mean",
                "running_var",
                "num_batches_tracked",
            ):
                weights[f"{target}.norm.{part}"] = state[f"{source}.1.{part}"]
        for part in ("weight", "bias"):
            weights[f"{half}.mean.{part}"] = state[f"{half}.mean_encoder.{part}"]
            if half == "encoder" or arguments["out_var_mode"] == "sample_feature":
                weights[f"{half}.log_var.{part}"] = state[f"{half}.var_encoder.encoder.{part}"]
    if arguments["out_var_mode"] == "feature":
        weights["decoder.log_var"] = state["decoder.var_encoder.var_param"][0]
    if embedded:
        for i in range(len(schema.categories)):
            weights[f"covariates.tables.{i}"] = state[f"_embeddings_dict.cov{i}.weight"]
    if arguments["prior"] == "vamp":
        weights["prior.x"] = state["prior.u"]
        weights["prior.logits"] = state["prior.w"].flatten()
        # levels are drawn with these probabilities, which never move away from one-hot
        design = [
            torch.nn.functional.one_hot(state[f"prior.u_cat.{i}"].argmax(1), n).float()
            for i, n in enumerate(blocks)
        ]
        if n_dense:
            design.append(state["prior.u_cont"].float())
        weights["prior.design"] = torch.cat(design, 1)
    return weights


def _covariate_weight(columns: Tensor, n_dense: int, blocks: list[int]) -> Tensor:
    """Rows as `HiddenLayer` has them: levels of each block, then dense values."""
    # a covariate of one level has no columns there
    rows, start = [], n_dense
    for n in blocks:
        if n > 1:
            rows.append(columns[:, start : start + n].T)
            start += n
        else:
            rows.append(columns.new_zeros(1, len(columns)))
    return torch.cat([*rows, columns[:, :n_dense].T]).contiguous()
