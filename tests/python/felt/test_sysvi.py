"""Every argument of SysVI and its methods is felt, in the result or in what reaches the trainer."""

import copy
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from anndata import concat
from felt import Recorder, Refused, Trial, arguments_of, check, methods

from scsystems import SysVI, load
from scsystems.data.datasets import simulated
from scsystems.models.sysvi import (
    core,
    differential_abundance,
    differential_expression,
    expression,
    query,
    training,
)
from scsystems.models.sysvi import io as files
from scsystems.train import loop

SETUP = {"batch_key": "system", "categorical_covariate_keys": ["donor"]}
MODEL = {"n_hidden": 8, "n_latent": 3, "n_prior_components": 4}
TRAIN = {"max_epochs": 1, "batch_size": 32, "verbose": False, "accelerator": "cpu"}
FUNCTIONS = {"SysVI": SysVI.__init__, "scs.load": load, **methods(SysVI)}
# they refuse whatever they are given
del FUNCTIONS["posterior_predictive_sample"], FUNCTIONS["sample"]


@contextmanager
def recorded():
    """What reaches the trainer, the device, the chunks of cells and the progress bars."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorder = Recorder(patch)
        watch = recorder.watch
        watch(training, "fit", lambda *args, **more: vars(args[3]))
        watch(training, "batch_source", lambda cells, at, device, storage: storage)
        watch(training, "reduced_precision", lambda precision, device: precision)
        for place in (training, query, files):
            watch(place, "choose_device", lambda *args: args)
        watch(differential_abundance, "mixture_log_density", lambda *args: args[-1])
        watch(core, "iterate", lambda cells, device, size, *rest, **more: size)
        for place in (loop, expression, differential_expression):
            recorder.watch_progress(place)
        yield recorder.found


@cache
def cells(seed=0):
    """Cells of two systems with a second layer and columns of any kind."""
    adata = simulated(n_cells=120, n_genes=50, n_types=3, own_types=False, seed=seed)
    adata.X = (adata.X / adata.X.sum(1) * 1e4).log1p().tocsr()
    adata.layers["other"] = (adata.X * 0.5).tocsr()
    adata.obs["more"] = np.sin(np.arange(120.0))
    return adata


def fitted(setup=None, arguments=None, train=None, adata=None):
    """A trained model, its training, and what reached it."""
    data = (cells() if adata is None else adata).copy()
    with recorded() as found:
        SysVI.setup_anndata(data, **(SETUP if setup is None else setup))
        made = SysVI(data, **(MODEL if arguments is None else arguments))
        made.train(**(TRAIN if train is None else train))
    return made, found


def result_of_training(made):
    return made.net, made.history, made._arguments, made.get_latent_representation()


@cache
def trained():
    """A model; not to be changed."""
    return fitted(train=TRAIN | {"max_epochs": 4})[0]


@cache
def with_new_donors():
    """Cells of donors that the model does not know."""
    adata = cells(1).copy()
    adata.obs["donor"] = adata.obs["donor"].astype(str) + "new"
    adata.obs_names = "new" + adata.obs_names
    return adata


@cache
def told():
    """A model that was told labels; not to be changed."""
    made = fitted(setup=SETUP | {"labels_key": "cell_type"}, train=TRAIN | {"max_epochs": 4})[0]
    made.novelty()  # looks at the labeled cells once
    return made


def used(name, of=trained):
    """A call of a result's method, with the sizes of chunks and the progress bars."""

    def call(**arguments):
        made = of()
        with recorded() as found:
            return getattr(made, name)(**arguments), found

    return call


def set_up(adata, **arguments):
    adata = adata.copy()
    return result_of_training(fitted(arguments, adata=adata)[0])


def constructed(adata, **arguments):
    return result_of_training(fitted(arguments=arguments, adata=adata)[0])


def train(**arguments):
    """Weights and history, and the settings of the trainer; without where checkpoints are."""
    made, found = fitted(train=arguments)
    return made.net, made.history, made._train_facts, found


def saved(folder):
    def call(**arguments):
        """What is in the folder after a first save, and a second one of a changed model."""
        arguments["dir_path"].mkdir(exist_ok=True)
        for path in sorted(arguments["dir_path"].rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        made, refused = copy.deepcopy(trained()), None
        made.save(arguments["dir_path"], save_anndata=arguments["save_anndata"])
        made.notes = {"changed": True}
        try:
            made.save(**arguments)
        except Exception as error:
            refused = type(error).__name__
        files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        return refused, files

    return call


def loaded(function):
    def call(**arguments):
        with recorded() as found:
            made = function(**arguments)
        return made.net, made._n_cells, made._own is None, found

    return call


def mapped(**arguments):
    """What a query trains, which weights move and how."""
    arguments["adata"] = arguments["adata"].copy()
    with recorded() as found:
        made = SysVI.load_query_data(**arguments)
        weights = {"adversary_weight": 1.0} if made._arguments["adversarial"] else {}
        made.train(**TRAIN | {"max_epochs": 2, "plan_kwargs": weights})
    return made.net, arguments["adata"].n_vars, found


def prepared(**arguments):
    adata = arguments["adata"] = arguments["adata"].copy()
    with recorded():
        try:
            given = SysVI.prepare_query_anndata(**arguments)
        except Exception as error:
            return str(error)
    return given, adata


def moved(device):
    made = copy.deepcopy(trained())
    made.to_device(device)
    return made.device.type


def density(**arguments):
    mixture, found = used("get_aggregated_posterior")(**arguments)
    return mixture.log_prob(torch.zeros(3)), found


def half(adata):
    return adata[:, ::2].copy()


def wider(adata):
    """The same with genes that the model does not have."""
    extra = adata[:, :3].copy()
    extra.var_names = ["x", "y", "z"]
    wide = concat([extra, adata], axis=1, merge="same")
    wide.obs = adata.obs.copy()
    return wide


def of_other_genes(made):
    """The model with its genes in another order."""
    made = copy.deepcopy(made)
    made.schema = replace(made.schema, genes=made.schema.genes[::-1])
    return made


def shrunk(effects):
    return effects > 0, effects < -9


def difference(values1, values2, pseudocounts):
    return values1 - values2 + pseudocounts - 1


def trials(folder) -> dict[str, Trial]:
    adata, other, new = cells(), cells(1), with_new_donors()
    few = np.arange(40)
    first, second = trained(), fitted(arguments=MODEL | {"seed": 5})[0]
    first.save(folder / "first")
    second.save(folder / "second")
    scored = {"adata": (None, other), "indices": (None, few), "batch_size": (None, 50),
              "return_mean": (True, False), "seed": (None, 7)}  # fmt: skip
    changed = {"mode": "change"}
    by_cells = {"groupby": None, "idx1": few}
    apart = {"batch_correction": True, "batchid1": ["species1"], "batchid2": ["species2"]}
    own = {"validation_size": None, "train_size": 0.5}
    stopping = {"early_stopping": True, "max_epochs": 4, "early_stopping_patience": 1}
    never = {**stopping, "early_stopping_min_delta": 1e9}
    on_disk = "models/sysvi/test_on_disk.py::"
    return {
        "SysVI": Trial({
            "adata": (adata, other), "prior": ("vamp", "gmm"), "n_prior_components": (4, 5),
            "pseudoinputs_data_indices": (None, [3, 1, 4, 15]),
            "trainable_priors": (True, False), "prior_density": (None, "factorized"),
            "pseudoinput_choice": (None, "random"),
            "gmm_init": ("data", "random", {"prior": "gmm"}), "n_latent": (3, 4),
            "n_hidden": (8, 9), "n_layers": (2, 1), "n_layers_decoder": (None, 1),
            "dropout_rate": (0.1, 0.5), "out_var_mode": (None, "feature"),
            "embed_categorical_covariates": (False, True),
            "embedding_dim": (5, 2, {"embed_categorical_covariates": True}),
            "embedding_kwargs": (None, {"embedding_dim": 2}, {"embed_categorical_covariates": True}),
            "covariate_init": (None, "linear"), "encode_covariates": (None, True),
            "cycle_covariates": (None, "zero"), "adversarial": (False, True),
            "preset": ("default", "paper"), "seed": (0, 1),
        }, constructed),
        "setup_anndata": Trial({
            "adata": (adata, other), "batch_key": ("system", "cell_type"), "layer": (None, "other"),
            "categorical_covariate_keys": (None, ["donor"]),
            "continuous_covariate_keys": (None, ["more"]),
            "labels_key": (None, "cell_type"),
            "unlabeled_category": (None, adata.obs["cell_type"].iloc[0], {"labels_key": "cell_type"}),
            "weight_batches": (False, True, {"adata": adata[:90].copy()}),
        }, set_up),
        "train": Trial({
            "max_epochs": (1, 2), "accelerator": ("cpu", "auto"), "devices": ("auto", 1),
            "train_size": (None, 0.7), "validation_size": (None, 0.2, {"train_size": 0.5}),
            "shuffle_set_split": (True, False, own), "batch_size": (32, 50),
            "early_stopping": (False, True), "plan_kwargs": (None, {"kl_weight": 0.1}),
            "check_val_every_n_epoch": (None, 2, {"train_size": 0.5, "max_epochs": 2}),
            "early_stopping_monitor": ("elbo_validation", "elbo_train", stopping),
            "early_stopping_min_delta": (0.0, 1e9, stopping),
            "early_stopping_patience": (1, 3, {k: v for k, v in never.items() if "patience" not in k}),
            "early_stopping_warmup_epochs": (0, 2, never),
            "early_stopping_mode": ("min", "max", stopping),
            "gradient_clip_val": (None, 1e-3), "callbacks": (None, lambda *_: False, {"max_epochs": 2}),
            "checkpoint_dir": (None, folder / "checkpoints"), "checkpoint_every": (10, 1),
            "resume": "models/sysvi/test_model.py::test_resume_gives_the_identical_model",
            "storage": ("auto", "sparse"),
            "precision": ("auto", "bfloat16"), "n_threads": (None, 2), "seed": (None, 3),
            "verbose": (False, True), "enable_progress_bar": (None, True),
        }, train),
        "get_latent_representation": Trial({
            "adata": (None, other), "indices": (None, few),
            "give_mean": (True, False), "batch_size": (None, 50), "return_dist": (False, True),
            "seed": (None, 7, {"give_mean": False}),
        }, used("get_latent_representation")),
        "get_elbo": Trial(scored, used("get_elbo")),
        "get_reconstruction_error": Trial(scored, used("get_reconstruction_error")),
        "get_marginal_ll": Trial(scored | {"n_mc_samples": (20, 10)}, used("get_marginal_ll")),
        "get_normalized_expression": Trial({
            "adata": (None, other), "indices": (None, few), "transform_batch": (None, "species2"),
            "gene_list": (None, ["Gene00001", "Gene00004"]),
            "library_size": (1, Refused(2.0)),
            "n_samples": (1, 3), "n_samples_overall": (None, 15),
            "weights": (None, Refused("importance")), "batch_size": (None, 50),
            "return_mean": (True, False, {"n_samples": 3}), "return_numpy": (None, True),
            "silent": (True, False), "give_mean": (True, False),
            "transform_covariates": (None, {"donor": "species1_donor1"}),
            "seed": (None, 7, {"give_mean": False}),
        }, used("get_normalized_expression")),
        "get_aggregated_posterior": Trial({
            "adata": (None, other), "indices": (None, few), "batch_size": (None, 50),
            "dof": (3.0, None),
        }, density),
        "report": Trial({
            "path": "reports/test_integration.py::test_one_file_with_all_parts",
            "adata": "reports/test_integration.py::test_cells_on_disk_give_the_report_of_those_in_memory",
            "options": "reports/test_integration.py::test_without_labels_and_pictures_it_says_so",
        }),
        "differential_abundance": Trial({
            "adata": (None, other), "sample_key": ("donor", "cell_type"), "batch_size": (128, 50),
            "num_cells_posterior": (None, 5), "dof": (None, 3.0),
            "seed": (None, 7, {"num_cells_posterior": 5}),
        }, used("differential_abundance")),
        "differential_expression": Trial({
            "adata": (None, other), "groupby": ("cell_type", "donor"), "group1": (None, ["type2"]),
            "group2": (None, "rare", {"group1": ["type1"]}), "idx1": (None, few + 10, by_cells),
            "idx2": (None, few + 60, by_cells),
            "mode": ("vanilla", "change"), "delta": (0.25, 0.01, changed), "batch_size": (None, 20),
            "all_stats": (True, False), "batch_correction": (False, True),
            "batchid1": (None, ["species2"], apart),
            "batchid2": (None, ["species1"], apart),
            "fdr_target": (0.05, 0.5, changed), "silent": (True, False),
            "weights": (None, Refused("importance")),
            "filter_outlier_cells": (False, True),
            "n_samples_overall": (30, 20), "use_permutation": (False, True),
            "m_permutation": (50, 20, {"use_permutation": True}),
            "change_fn": (None, difference, changed),
            "m1_domain_fn": (None, shrunk, changed), "pseudocounts": (None, 0.1, changed),
            "test_mode": ("three", "two", {**changed, "delta": 0.02}),
            "cred_interval_lvls": (None, [0.5], changed),
            "seed": (None, 7),
        }, used("differential_expression")),
        "predict": Trial({
            "adata": (None, other, {"soft": True}), "indices": (None, [0, 3]), "soft": (False, True),
            "batch_size": (None, 50),
        }, used("predict", of=told)),
        "novelty": Trial({
            "adata": (None, other), "indices": (None, [0, 3]), "batch_size": (None, 50),
            "threshold": (0.95, 0.5),
        }, used("novelty", of=told)),
        "transfer_labels": Trial({
            "labels_key": ("cell_type", "donor"), "reference": (adata, other), "query": (None, other),
            "n_neighbors": (25, 5), "min_confidence": (0.0, 0.6), "batch_size": (None, 50),
        }, used("transfer_labels")),
        "prepare_query_anndata": Trial({
            "adata": (half(adata), half(other)), "reference_model": (first, of_other_genes(second)),
            "return_reference_var_names": (False, True), "inplace": (True, False),
            "max_missing": (0.5, 0.1), "fill": ("mean", "zero"),
            "out": f"{on_disk}test_a_query_on_disk_gets_the_genes_of_the_model",
            "overwrite": f"{on_disk}test_a_query_on_disk_gets_the_genes_of_the_model",
        }, prepared),
        "load_query_data": Trial({
            "adata": (new, new[:80].copy()), "reference_model": (first, second),
            "inplace_subset_query_vars": (False, True, {"adata": wider(new)}),
            "accelerator": ("cpu", "auto"), "device": ("auto", 1, {"accelerator": "cpu"}),
            "unfrozen": (False, True), "freeze_dropout": (False, True),
            "freeze_expression": (True, False), "freeze_decoder_first_layer": (True, False),
            "freeze_batchnorm_encoder": (True, False), "freeze_batchnorm_decoder": (True, False),
            "freeze_classifier": (True, False, {"reference_model": fitted(
                arguments=MODEL | {"adversarial": True})[0]}),
            "kwargs": ({}, Refused({"other": 1})),
        }, mapped),
        "save": Trial({
            "dir_path": (folder / "a", folder / "b"), "overwrite": (False, True),
            "save_anndata": (False, True),
        }, saved(folder)),
        "load": Trial({
            "dir_path": (folder / "first", folder / "second"), "adata": (None, adata),
            "accelerator": ("cpu", "auto"),
        }, loaded(SysVI.load)),
        "scs.load": Trial({
            "dir_path": (folder / "first", folder / "second"), "adata": (None, adata),
            "kwargs": ({}, {"accelerator": "auto"}),
        }, loaded(load)),
        "to_device": Trial({"device": ("cpu", "meta")}, moved),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return trials(tmp_path_factory.mktemp("felt")), {}


@pytest.mark.parametrize(("name", "argument"), arguments_of(FUNCTIONS))
def test_argument_is_felt(tried, name, argument):
    table, seen = tried
    check(FUNCTIONS[name], table[name], argument, seen)


def test_tables_have_no_functions_that_are_gone(tried):
    assert set(tried[0]) == set(FUNCTIONS)
