"""Models that scvi-tools saved; tests/data/make_scvi_sysvi.py made them and what they compute."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from scsystems import SysVI
from scsystems.errors import InputError, ModelFileError, NotSupportedError
from scsystems.models.sysvi import scvi_import
from scsystems.nn.likelihoods import gaussian_nll

DATA = Path(__file__).parents[3] / "data" / "scvi_sysvi"
MODELS = ("vamp", "embedded")


@pytest.fixture
def cells():
    stored = np.load(DATA / "cells.npz")
    obs = pd.DataFrame(
        {k: stored[k] for k in stored.files if k != "x"}, index=[f"cell{i}" for i in range(60)]
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(12)])
    adata = AnnData(stored["x"], obs=obs, var=var)
    adata.layers["log"] = adata.X.copy()
    return adata


@pytest.mark.parametrize("name", MODELS)
def test_everything_is_as_scvi_tools_computed_it(cells, name):
    model = SysVI.load(DATA / name, cells)
    expected = np.load(DATA / f"{name}_expected.npz")
    mean, var = model.get_latent_representation(return_dist=True)
    np.testing.assert_allclose(mean, expected["latent_mean"], atol=1e-5)
    np.testing.assert_allclose(var, expected["latent_var"], atol=1e-5)
    decoded = model.get_normalized_expression(return_numpy=True)
    np.testing.assert_allclose(decoded, expected["decoded"], atol=1e-5)
    fish = model.get_normalized_expression(return_numpy=True, transform_batch="fish")
    np.testing.assert_allclose(fish, expected["decoded_first_system"], atol=1e-5)
    # both slips of its arithmetic: the standard deviation as variance, the root of the prior's
    with torch.no_grad():
        batch, m, v = next(model._posterior(None, None, None))
        terms = model.net.covariates(batch.system, batch.categorical, batch.continuous)
        loss = gaussian_nll(batch.x, *model.net.decoder(m, terms))
        kl = model.net.prior.kl(m, v, m, model.net.encode)
    np.testing.assert_allclose(loss, expected["reconstruction_at_mean"], rtol=1e-4)
    np.testing.assert_allclose(kl, expected["kl_at_mean"], atol=1e-4)
    assert "trained" in repr(model)
    assert model.schema.systems == ("fish", "human", "mouse")


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_model_is_a_model_like_any_other(cells, name, tmp_path):
    model = SysVI.load(DATA / name, cells)
    z = model.get_latent_representation()
    model.save(tmp_path / "own")
    again = SysVI.load(tmp_path / "own", cells)
    np.testing.assert_array_equal(again.get_latent_representation(), z)
    assert again.get_elbo() == model.get_elbo()
    # a query maps onto it, and training goes on with its arithmetic
    query = cells[:20].copy()
    query.obs["donor"] = "new"
    mapped = SysVI.load_query_data(query, SysVI.load(DATA / name, cells))
    mapped.train(max_epochs=2, batch_size=8, verbose=False)
    np.testing.assert_array_equal(mapped.get_latent_representation(cells), z)
    again.train(max_epochs=1, batch_size=20, verbose=False)
    assert np.isfinite(again.get_elbo())


def test_training_goes_on_with_the_defaults_there(cells, tmp_path):
    SysVI.load(DATA / "vamp", cells).save(tmp_path / "own")
    epochs = []
    for folder in (DATA / "vamp", tmp_path / "own"):
        model = SysVI.load(folder, cells)
        model.train(verbose=False, callbacks=lambda _, n, losses: epochs.append(n) or False)
        facts = model._train_facts
        assert (facts["weights"]["kl"], facts["weights"]["cycle"]) == (1.0, 2.0)
        assert facts["optimizer"] == {"lr": 1e-3, "eps": 0.01}
    assert epochs == [400, 400]


def test_without_cells_it_embeds_those_given(cells):
    model = SysVI.load(str(DATA / "vamp"))
    with pytest.raises(InputError, match="loaded without data"):
        model.get_latent_representation()
    expected = np.load(DATA / "vamp_expected.npz")["latent_mean"]
    np.testing.assert_allclose(model.get_latent_representation(cells), expected, atol=1e-5)


class Evil:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def saved_model():
    """The content of scvi-tools' file, by pickle: with numpy 2, which it was written with."""
    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip(
            "numpy 1 cannot unpickle what numpy 2 has written; ours reads it without unpickling"
        )
    return torch.load(DATA / "vamp" / "model.pt", weights_only=False)


@pytest.mark.parametrize("function", [shutil.copyfile, os.link])
def test_nothing_in_the_file_is_executed(tmp_path, function):
    """A call that torch does not know is passed over; one that it knows as harmful is refused."""
    content = saved_model()
    executed = tmp_path / "executed"
    content["attr_dict"]["history_"] = Evil(function, str(DATA / "cells.npz"), str(executed))
    torch.save(content, tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert executed.exists()  # it is indeed harmful
    executed.unlink()
    if function is os.link:
        with pytest.raises(ModelFileError, match="could not be read as a model of scvi-tools"):
            SysVI.load(tmp_path)
    else:
        assert SysVI.load(tmp_path).is_trained
    assert not executed.exists()


def test_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        scvi_import.read_scvi_file(tmp_path / "model.pt")
    whole = (DATA / "vamp" / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="could not be read"):
        SysVI.load(tmp_path)
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelFileError, match="could not be read") as caught:
        SysVI.load(tmp_path)
    assert "weights_only" not in str(caught.value)
    torch.save({"a": 1}, tmp_path / "model.pt")
    with pytest.raises(ModelFileError, match="not a model that scvi-tools saved"):
        SysVI.load(tmp_path)
    assert zipfile.is_zipfile(DATA / "vamp" / "model.pt")


def changed(tmp_path, change):
    content = saved_model()
    change(content)
    shutil.rmtree(tmp_path / "m", ignore_errors=True)
    (tmp_path / "m").mkdir()
    torch.save(content, tmp_path / "m" / "model.pt")
    return tmp_path / "m"


def test_models_of_other_kinds_are_refused(tmp_path):
    def other_class(content):
        content["attr_dict"]["registry_"]["model_name"] = "SCVI"

    def other_layers(content):
        content["attr_dict"]["init_params_"]["kwargs"]["model_kwargs"]["encoder_decoder_kwargs"] = {
            "use_layer_norm": True
        }

    def fewer_weights(content):
        del content["model_state_dict"]["encoder.mean_encoder.weight"]

    def other_shapes(content):
        content["var_names"] = content["var_names"][:5]

    with pytest.raises(ModelFileError, match="class 'SCVI'"):
        SysVI.load(changed(tmp_path, other_class))
    with pytest.raises(NotSupportedError, match="use_layer_norm"):
        SysVI.load(changed(tmp_path, other_layers))
    for change in (fewer_weights, other_shapes):
        with pytest.raises(ModelFileError):
            SysVI.load(changed(tmp_path, change))


def test_a_covariate_of_one_level_has_no_columns_there(tmp_path, cells):
    """scvi-tools leaves out covariates of a single level."""

    def one_level(content):
        registry = content["attr_dict"]["registry_"]["field_registries"]["extra_categorical_covs"]
        state = registry["state_registry"]
        state["mappings"]["chemistry"] = np.array(["v2"], dtype=object)
        state["n_cats_per_key"] = [5, 1]
        weights = content["model_state_dict"]
        for name, value in weights.items():
            if "decoder_y" in name and name.endswith(".0.weight"):
                # the last two columns were those of the covariate
                weights[name] = value[:, :-2]
        weights["prior.u_cat.2"] = torch.ones(3, 1)

    model = SysVI.load(changed(tmp_path, one_level))
    cells.obs["chemistry"] = "v2"
    assert np.isfinite(model.get_latent_representation(cells)).all()
    assert (model.net.encoder.hidden.layers[0].covariate_weight[8] == 0).all()
