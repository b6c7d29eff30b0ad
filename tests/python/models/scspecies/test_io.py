"""What of the folder of a ScSpecies model is believed."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from safetensors.torch import load_file, save_file

import scsystems as scs
from scsystems.durable.manifest import SUMS, checksum, sealed
from scsystems.errors import ModelFileError

N_CONTEXT, N_TARGET = 60, 50


def counts(name, seed, n):
    rng = np.random.default_rng(seed)
    types = np.arange(n) % 3
    rates = np.exp(np.random.default_rng(9).normal(0, 1, (3, 70)))
    adata = AnnData(rng.poisson(rates[types] * 2).astype(np.float32))
    adata.var_names = [f"{name}{i}" for i in range(70)]
    adata.obs_names = [f"{name}cell{i}" for i in range(n)]
    adata.obs["type"] = np.array(["a", "b", "c"])[types]
    return adata


@pytest.fixture(scope="module")
def model():
    genes = range(60)
    pairs = pd.DataFrame({"mouse": [f"m{i}" for i in genes], "human": [f"h{i}" for i in genes]})
    made = scs.ScSpecies(
        {"mouse": counts("m", 0, N_CONTEXT)}, {"human": counts("h", 1, N_TARGET)}, "type", pairs,
        n_neighbors=5, n_latent=3, n_features=8, n_hidden=8, seed=0,
    )  # fmt: skip
    made.train(max_epochs=1, verbose=False, accelerator="cpu")
    return made


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "m")
    return tmp_path / "m"


def forge(folder, put=None, tensors=None):
    """Change description or tensors, with checksums that fit."""
    main = folder / "model.json"
    if tensors:
        save_file(load_file(folder / "model.safetensors") | tensors, folder / "model.safetensors")
    record = json.loads(main.read_text())
    del record[SUMS]
    if put is not None:
        put(record)
    sums = {"model.safetensors": checksum(folder / "model.safetensors")}
    main.write_text(json.dumps(sealed(record, main.name, sums)))


def at(*place, value):
    def put(record):
        for key in place[:-1]:
            record = record[key]
        record[place[-1]] = value

    return put


FORGED = [
    (at("arguments", "n_hidden", value=-1), "n_hidden=-1"),
    (at("arguments", "alignment", value="x"), "one of"),
    (at("arguments", "eta", value=[1]), "eta"),
    (at("arguments", "x", value=1), "'x'"),
    (at("arguments", value={}), "lacks 'alignment'"),
    (at("parts", value=[]), "no species"),
    (at("parts", 0, "sizes", "n_hidden", value=30_000), "do not fit"),
    (at("parts", 0, "sizes", "n_hidden", value=10**30), "network that cannot be"),
    (at("parts", 0, "sizes", "n_latent", value=0), "below 1"),
    (at("parts", 0, "sizes", "n_genes", value=10**12), "n_genes"),
    (at("parts", 0, "sizes", "n_batches", value=10**9), "n_batches"),
    (at("parts", 0, "sizes", "n_homologous", value=71), "n_homologous"),
    (at("parts", 0, "sizes", "homologous_fraction", value=1.0), "homologous_fraction"),
    (at("parts", 0, "sizes", "dropout_rate", value=1), "dropout_rate"),
    (at("parts", 0, "sizes", "likelihood", value="zinb"), "do not fit"),
    (at("parts", 0, "species", "genes", value=["g"] * 70), "twice"),
    (at("parts", 0, "species", "labels", value=["a"]), "0.label"),
    (at("parts", 0, "species", "name", value=3), "text"),
    (at("parts", 0, "cell_names", value=["c"] * 61), r"0.*of shape"),
    (at("parts", 1, "cell_names", value="c"), "a list"),
    (at("parts", 1, "species", "name", value="mouse"), "twice"),
    (at("parts", 1, "history", value={}), "no history"),
    (at("parts", 1, "prototypes", "epoch", value=[]), "different lengths"),
    (at("parts", 1, "prototypes", value=[1]), "named entries"),
    (at("parts", 1, "stopped", value=1), "one of"),
    (at("class", value="SysVI"), "holds a 'SysVI' model"),
]


@pytest.mark.parametrize(("put", "message"), FORGED)
def test_no_entry_is_believed(folder, put, message):
    forge(folder, put)
    with pytest.raises(ModelFileError, match=message):
        scs.ScSpecies.load(folder)


WRONG_ARRAYS = {
    "labels that there are not": {"0.label": torch.full((N_CONTEXT,), 3)},
    "labels below zero": {"0.label": torch.full((N_CONTEXT,), -1)},
    "labels as numbers": {"0.label": torch.zeros(N_CONTEXT)},
    "other cells": {"0.embedded.mean": torch.zeros(N_CONTEXT + 1, 3)},
    "other dimensions": {"1.embedded.mean": torch.zeros(N_TARGET, 2)},
    "a type without numpy": {"1.embedded.std": torch.zeros(N_TARGET, 3, dtype=torch.bfloat16)},
    "neighbors that there are not": {"1.neighbors.index": torch.full((N_TARGET, 5), N_CONTEXT)},
    "flags as numbers": {"1.neighbors.kept": torch.zeros(N_TARGET)},
    "genes that there are not": {"1.pairs": torch.full((60, 2), 70)},
    "pairs of three": {"1.pairs": torch.zeros((60, 3), dtype=torch.int64)},
    "prototypes of other dimensions": {"prototypes": torch.zeros(3, 4)},
    "prototypes of more labels": {"prototypes": torch.zeros(4, 3)},
    "NaN": {"1.embedded.mean": torch.full((N_TARGET, 3), float("nan"))},
}


@pytest.mark.parametrize("what", WRONG_ARRAYS)
def test_arrays_are_what_the_description_says(folder, what):
    forge(folder, tensors=WRONG_ARRAYS[what])
    with pytest.raises(ModelFileError, match=next(iter(WRONG_ARRAYS[what])).replace(".", r"\.")):
        scs.ScSpecies.load(folder)


def test_numbers_from_r_are_whole_numbers(folder):
    forge(folder, at("arguments", "search_every", value=10.0))
    loaded = scs.ScSpecies.load(folder)
    assert loaded._settings["search_every"] == 10


def test_a_users_files_stay_and_paths_are_expanded(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model.save("~/m")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    model.save("~/m", overwrite=True)
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"
    assert scs.ScSpecies.load("~/m").species == ["mouse", "human"]
