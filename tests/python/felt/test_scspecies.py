"""Every argument of ScSpecies and its methods is felt, in the result or in what reaches the trainer."""

import copy
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest
from felt import Recorder, Trial, arguments_of, check, methods

from scsystems import ScSpecies
from scsystems.data.datasets import simulated_by_species
from scsystems.models.scspecies import model as model_module
from scsystems.models.scspecies import training
from scsystems.train import loop

FUNCTIONS = {"ScSpecies": ScSpecies.__init__, **methods(ScSpecies)}
SIZES = {
    "n_hidden": 8,
    "n_features": 10,
    "n_latent": 3,
    "n_neighbors": 5,
    "target_labels": "cell_type",
}
TRAIN = {"max_epochs": 1, "verbose": False, "accelerator": "cpu"}


@contextmanager
def recorded():
    """What reaches the trainer, the device and the progress bars."""
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch)
        watch = recorder.watch
        watch(training, "fit", lambda *args, **more: vars(args[3]))
        watch(model_module, "reduced_precision", lambda precision, device: precision)
        watch(model_module, "choose_device", lambda *args: args)
        recorder.watch_progress(loop)
        watch(loop, "torch_threads", lambda n: n)
        yield recorder.found


@cache
def species(seed=0):
    """Two species, the first labeled, with samples, other labels and a layer."""
    cells, table = simulated_by_species(
        n_cells=140,
        n_genes=150,
        n_types=3,
        own_types=False,
        rare_fraction=0.3,
        depth=500.0,
        seed=seed,
    )
    for adata in cells.values():
        adata.obs["other"] = np.where(np.arange(adata.n_obs) % 3, "a", "b")
        adata.layers["half"] = adata.X.copy()
        adata.layers["half"].data = np.ceil(adata.X.data / 2)
    return cells, table


def given(**changes):
    cells, table = species()
    return {
        "context": {"species1": cells["species1"]},
        "targets": {"species2": cells["species2"]},
        "context_labels": "cell_type",
        "orthologs": table,
        **SIZES,
        **changes,
    }


def fitted(arguments=None, train=None):
    made = ScSpecies(**(given() if arguments is None else arguments))
    with recorded() as found:
        made.train(**(TRAIN if train is None else train))
    return made, found


def result_of(made):
    """Weights, losses, embeddings and everything that is said of the cells."""
    parts = [(p.net, p.trainings.history, p.embedded.mean, p.label) for p in made._parts()]
    return parts, made._settings, [p.neighbors for p in made._targets.values()]


def constructed(**arguments):
    made, _ = fitted(arguments)
    return result_of(made), made.similarity(n_samples=3)


@cache
def trained():
    """Two targets, so that each result has to be asked for one; not to be changed."""
    cells, table = species()
    other = species(1)[0]["species2"]
    targets = {"species2": cells["species2"], "third": other}
    tables = {"species2": table, "third": table.pairs.rename(columns={"species2": "third"})}
    return fitted(given(targets=targets, orthologs=tables), TRAIN | {"max_epochs": 4})[0]


def train(**arguments):
    made, found = fitted(train=arguments)
    return result_of(made), found


def added(**arguments):
    made = copy.deepcopy(one_target())
    made.add_target(**arguments)
    made.train(**TRAIN)
    part = made._targets[arguments["name"]]
    return result_of(made), list(made._targets), part.label


@cache
def one_target():
    return fitted(train=TRAIN | {"max_epochs": 2})[0]


def saved(folder):
    def call(**arguments):
        """What is there after a first save, and a second one of a changed model."""
        for path in sorted(arguments["dir_path"].rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        made, refused = copy.deepcopy(one_target()), None
        made.save(arguments["dir_path"])
        try:
            made.save(**arguments)
        except Exception as error:
            refused = type(error).__name__
        return (
            refused,
            [p.name for p in sorted(folder.glob("*/*.json"))],
            arguments["dir_path"].name,
        )

    return call


def loaded(**arguments):
    with recorded() as found:
        made = ScSpecies.load(**arguments)
    cells = [p.cells is None for p in made._parts()]
    return result_of(made), cells, found


def moved(device):
    made = copy.deepcopy(one_target())
    made.to_device(device)
    return made.device.type


def trials(folder) -> dict[str, Trial]:
    cells, table = species()
    others, _ = species(1)
    first, second = one_target(), fitted(given(seed=4))[0]
    first.save(folder / "first")
    second.save(folder / "second")
    both = trained()
    target = ("species2", "third")
    kinds = np.asarray(cells["species2"].obs["other"])
    model = {
        "context": ({"species1": cells["species1"]}, {"species1": others["species1"]}),
        "targets": ({"species2": cells["species2"]}, {"species2": others["species2"]}),
        "context_labels": ("cell_type", "other"), "orthologs": (table, table.pairs[:60]),
        "target_labels": ("cell_type", "other"), "batch_key": (None, "donor"),
        "layer": (None, "half"), "preset": ("default", "paper"),
        "alignment": ("intermediate", "latent"), "search_every": (None, 0),
        "n_neighbors": (5, 4), "quantile": (None, 0.9), "kl_weight": ((0.1, 1.0), (0.5, 1.0)),
        "eta": ((10.0, 25.0), (1.0, 25.0)), "mixing_weight": (None, 50.0), "n_warmup": (10, 0),
        "likelihood": (None, "zinb"), "dispersion": (None, "cell"),
        "library": (None, "encoder"), "encoder_input": (None, "counts"),
        "homologous_fraction": (None, "genes"), "n_latent": (3, 4), "n_features": (10, 9),
        "n_hidden": (8, 7), "dropout_rate": (0.1, 0.4), "seed": (0, 1),
        "n_top_genes": (None, 130), "min_cells": (3, 12, {"n_top_genes": 149}),
    }  # fmt: skip
    return {
        "ScSpecies": Trial(model, constructed),
        "add_target": Trial({
            "name": ("third", "fourth", {"orthologs": named(table, "fourth", "third")}),
            "adata": (others["species2"], cells["species2"]),
            "orthologs": (named(table, "third"), named(table, "third")[:60]),
            "target_labels": (None, "other"), "batch_key": (None, "donor"), "layer": (None, "half"),
            "n_top_genes": (None, 130), "min_cells": (3, 12, {"n_top_genes": 149}),
        }, added),
        "train": Trial({
            "max_epochs": (1, 2), "accelerator": ("cpu", "auto"), "devices": ("auto", 1),
            "batch_size": (None, 20), "lr": (1e-3, 1e-2), "gradient_clip_val": (None, 1e-3),
            "callbacks": (None, lambda *_: False, {"max_epochs": 2}),
            "checkpoint_dir": (None, folder / "checkpoints"), "checkpoint_every": (10, 1),
            "resume": "models/scspecies/test_model.py::test_resumed_training_is_the_same_training",
            "precision": ("auto", "bfloat16"), "n_threads": (None, 2), "verbose": (False, True),
        }, train),
        "get_latent_representation": Trial({
            "species": target, "give_mean": (True, False), "return_dist": (False, True),
            "seed": (None, 7, {"give_mean": False}),
        }, both.get_latent_representation),
        "preliminary_labels": Trial({"target": target}, both.preliminary_labels),
        "prototype_record": Trial({"target": target}, both.prototype_record),
        "novelty": Trial({"target": target, "threshold": (0.5, 0.0), "n_neighbors": (25, 5)}, both.novelty),
        "transfer_labels": Trial({
            "target": target, "labels": (None, "other"), "n_neighbors": (9, 3), "n_candidates": (0, 40)
        }, both.transfer_labels),
        "similarity": Trial({
            "target": target, "target_labels": (None, kinds), "n_samples": (9, 4), "seed": (0, 3),
            "level": ("types", "cells", {"target_indices": [0, 1], "context_indices": [2]}),
            "target_indices": ([0, 1], [0, 2], {"level": "cells"}),
            "context_indices": ([2], [3], {"level": "cells"}),
        }, both.similarity),
        "relevance": Trial({
            "species": ("species1", "species2"), "labels": (None, kinds, {"species": "species2"}),
            "gamma": (0.25, 0.1), "n_cells": (9, 5), "seed": (0, 1),
        }, both.relevance),
        "differential_expression": Trial({
            "target": target, "target_labels": (None, types_turned(cells)),
            "cell_types": (None, ["type1"]), "n_samples": (30, 20), "threshold": (1.0, 0.1),
            "ellipse": (0.9, 0.3), "n_neighbors": (25, 3), "seed": (0, 1),
        }, both.differential_expression),
        "save": Trial({"dir_path": (folder / "a", folder / "b"), "overwrite": (False, True)}, saved(folder)),
        "load": Trial({
            "dir_path": (folder / "first", folder / "second"),
            "adata": (None, {"species2": cells["species2"]}), "accelerator": ("cpu", "auto"),
        }, loaded),
        "to_device": Trial({"device": ("cpu", "meta")}, moved),
    }  # fmt: skip


def named(table, *names):
    """The pairs of the second species for others, too."""
    pairs = table.pairs
    for name in names:
        pairs = pairs.assign(**{name: pairs["species2"]})
    return pairs.drop(columns="species2")


def types_turned(cells):
    return np.asarray(cells["species2"].obs["cell_type"].astype(str))[::-1].copy()


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return trials(tmp_path_factory.mktemp("felt")), {}


@pytest.mark.parametrize(("name", "argument"), arguments_of(FUNCTIONS))
def test_argument_is_felt(tried, name, argument):
    table, seen = tried
    check(FUNCTIONS[name], table[name], argument, seen)


def test_tables_have_no_functions_that_are_gone(tried):
    assert set(tried[0]) == set(FUNCTIONS)
