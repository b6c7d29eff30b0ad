import logging

import numpy as np
import pytest

from scsystems import SysVI
from scsystems.errors import InputError, ModelFileError, NotTrainedError
from scsystems.models.sysvi.query import nearest_labels

CHOICE = {"categorical_covariate_keys": ["donor", "cell_type"]}


@pytest.fixture
def parts(make):
    """Reference cells, and those of a donor that the reference lacks."""
    data = make(360, 40)
    data.obs["donor"] = data.obs["donor"].astype(str)
    new = (data.obs["donor"] == "human2").to_numpy()
    return data[~new].copy(), data[new].copy()


def shuffled(adata, n_missing=0):
    """The same cells with other genes: some gone, one more, another order."""
    kept = list(adata.var_names[n_missing:][::-1])
    other = adata[:, [*kept, adata.var_names[0]]].copy()
    other.var_names = [*kept, "unknown"]
    return other


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("inplace", [True, False])
def test_preparing_gives_the_models_genes(train, parts, caplog, dense, inplace):
    reference, query = parts
    model = train(reference)
    query = shuffled(query, 4)
    if dense:
        query.X = query.X.toarray()
    query.obsm["X_pca"] = np.ones((query.n_obs, 2))
    before = query.to_df()
    with caplog.at_level(logging.INFO, "scsystems"):
        found = SysVI.prepare_query_anndata(query, model, inplace=inplace)
    assert "lacks 4 of the model's 40 genes (10.0%): 'g0'" in caplog.text
    prepared = query if inplace else found
    assert (found is None) == inplace
    assert list(prepared.var_names) == list(reference.var_names)
    assert list(np.flatnonzero(prepared.var["padded"])) == [0, 1, 2, 3]
    after = prepared.to_df()
    np.testing.assert_array_equal(after[before.columns[:-1]], before.iloc[:, :-1])
    np.testing.assert_allclose(
        after.iloc[:, :4], np.tile(reference.X[:, :4].mean(0), (query.n_obs, 1)), rtol=1e-5
    )
    # other layers are padded with zeros
    assert prepared.layers["counts"][:, :4].sum() == 0
    assert "X_pca" in prepared.obsm
    if not inplace:
        assert "unknown" in query.var_names


def test_preparing_pads_the_layer_that_the_model_reads(train, parts):
    reference, query = parts
    reference.layers["log"], query.layers["log"] = reference.X.copy(), query.X.copy()
    model = train(reference, setup={"layer": "log"})
    prepared = SysVI.prepare_query_anndata(shuffled(query, 3), model, inplace=False)
    assert prepared.X[:, :3].sum() == 0
    assert prepared.layers["log"][:, :3].toarray().min() > 0
    zeros = SysVI.prepare_query_anndata(shuffled(query, 3), model, inplace=False, fill="zero")
    assert zeros.layers["log"][:, :3].sum() == 0
    del query.layers["log"]
    with pytest.raises(InputError, match=r"layer='log' is not in adata.layers"):
        SysVI.prepare_query_anndata(shuffled(query, 3), model)


# of anndata 0.13 on pandas 3, which pytest.warns passes on as if it were ours
@pytest.mark.filterwarnings("ignore:The 'mode.chained_assignment' option")
def test_preparing_refuses_and_warns_in_per_cent(train, parts):
    reference, query = parts
    model = train(reference)
    with pytest.warns(UserWarning, match=r"lacks 12 of the model's 40 genes \(30.0%\)"):
        SysVI.prepare_query_anndata(shuffled(query, 12), model)
    with pytest.raises(InputError, match=r"\(60.0%\).*at most 50%.*same gene names"):
        SysVI.prepare_query_anndata(shuffled(query, 24), model)
    with pytest.warns(UserWarning, match="60.0%"):
        SysVI.prepare_query_anndata(shuffled(query, 24), model, max_missing=0.7)
    strange = query.copy()
    strange.var_names = [f"ENSG{i}" for i in range(40)]
    with pytest.raises(InputError, match=r"100.0%"):
        SysVI.prepare_query_anndata(strange, model, max_missing=1)
    strange.var_names = ["g1"] * 40
    with pytest.raises(InputError, match="not unique"):
        SysVI.prepare_query_anndata(strange, model)
    for arguments in ({"max_missing": 3}, {"fill": "median"}):
        with pytest.raises(InputError, match=next(iter(arguments))):
            SysVI.prepare_query_anndata(query, model, **arguments)
    names = SysVI.prepare_query_anndata(query, model, return_reference_var_names=True)
    assert list(names) == list(reference.var_names)


@pytest.mark.parametrize(
    "options",
    [
        {"encode_covariates": True},
        {"encode_covariates": True, "embed_categorical_covariates": True},
        {"encode_covariates": True, "prior": "standard_normal"},
        {"encode_covariates": False},
    ],
)
def test_reference_cells_keep_their_place_and_new_samples_learn(train, parts, tmp_path, options):
    reference, query = parts
    model = train(reference, setup=CHOICE, **options)
    z = model.get_latent_representation()
    weights = {k: v.clone() for k, v in model.net.state_dict().items()}
    query = shuffled(query, 2)
    SysVI.prepare_query_anndata(query, model)
    mapped = SysVI.load_query_data(query, model)
    start = mapped.get_latent_representation()
    mapped.train(max_epochs=4, batch_size=32, plan_kwargs={"lr": 0.05}, verbose=False)
    np.testing.assert_array_equal(mapped.get_latent_representation(reference), z)
    moved = np.abs(mapped.get_latent_representation() - start).max()
    assert (moved > 1e-3) == options["encode_covariates"]
    # the reference model itself is untouched
    assert all((model.net.state_dict()[k] == v).all() for k, v in weights.items())
    assert mapped.schema.categories[0][-1] == "human2"
    assert "cycle_loss_train" in mapped.history

    mapped.save(tmp_path / "query")
    again = SysVI.load(tmp_path / "query", query)
    np.testing.assert_array_equal(
        again.get_latent_representation(), mapped.get_latent_representation()
    )
    # and stays frozen after loading
    again.train(max_epochs=1, batch_size=32, verbose=False)
    np.testing.assert_array_equal(again.get_latent_representation(reference), z)


def test_reference_may_be_a_folder(train, parts, tmp_path):
    reference, query = parts
    model = train(reference)
    model.save(tmp_path / "m")
    for source in (tmp_path / "m", str(tmp_path / "m")):
        assert SysVI.prepare_query_anndata(query, source, inplace=False).shape == query.shape
        mapped = SysVI.load_query_data(query, source)
        np.testing.assert_array_equal(
            mapped.get_latent_representation(),
            SysVI.load_query_data(query, model).get_latent_representation(),
        )


def test_known_samples_need_no_training(train, parts, caplog):
    reference, _ = parts
    model = train(reference)
    known = reference[:50].copy()
    known.obs = known.obs.drop(columns="score")
    mapped = SysVI.load_query_data(known[:, ::-1].copy(), model, inplace_subset_query_vars=True)
    with caplog.at_level(logging.WARNING, "scsystems"):
        mapped.train(verbose=False)
    assert "Nothing to train" in caplog.text
    np.testing.assert_allclose(
        mapped.get_latent_representation(), model.get_latent_representation()[:50], atol=1e-6
    )


def test_training_a_query_fits_it_better(train, parts):
    reference, query = parts
    model = train(reference, epochs=20)
    mapped = SysVI.load_query_data(query, model)
    before = mapped.get_elbo()
    mapped.train(max_epochs=30, batch_size=32, plan_kwargs={"lr": 0.01}, verbose=False)
    assert mapped.get_elbo() > before


def test_bad_queries(train, parts):
    reference, query = parts
    model = train(reference)
    fish = query.copy()
    fish.obs["system"] = "fish"
    with pytest.raises(InputError, match=r"missing from the reference.*'fish'.*ScSpecies"):
        SysVI.load_query_data(fish, model)
    bare = query.copy()
    del bare.obs["donor"]
    with pytest.raises(InputError, match="'donor' is not a column"):
        SysVI.load_query_data(bare, model)
    with pytest.raises(
        InputError, match=r"lacks 30 of the model's 40 genes.*prepare_query_anndata"
    ):
        SysVI.load_query_data(query[:, :10].copy(), model)
    lonely = query.copy()
    lonely.obs["donor"] = ["alone", *["human2"] * (query.n_obs - 1)]
    with pytest.raises(InputError, match="new levels with a single cell: 'alone'"):
        SysVI.load_query_data(lonely, model)
    counts = query.copy()
    counts.X = counts.layers["counts"]
    with pytest.raises(InputError, match="looks like raw counts"):
        SysVI.load_query_data(counts, model)
    with pytest.raises(InputError, match="does not know \\['freeze_all'\\]"):
        SysVI.load_query_data(query, model, freeze_all=True)
    with pytest.raises(InputError, match="reference_model is of type int"):
        SysVI.load_query_data(query, 3)
    with pytest.raises(ModelFileError):
        SysVI.load_query_data(query, "no/such/folder")
    untrained = SysVI(reference)
    with pytest.raises(NotTrainedError):
        SysVI.load_query_data(query, untrained)


def test_labels_reach_the_query(train, parts):
    reference, query = parts
    model = train(reference, setup={}, epochs=60)
    mapped = SysVI.load_query_data(query, model)
    found = mapped.transfer_labels("cell_type", reference)
    assert list(found.index) == list(query.obs_names)
    assert list(found["label"].cat.categories) == ["a", "b", "c"]
    right = found["label"].astype(str).to_numpy() == query.obs["cell_type"].astype(str).to_numpy()
    assert right.mean() > 0.8
    assert found["confidence"].between(1 / 25, 1).all()
    other = model.transfer_labels(
        "cell_type", reference, query=reference[:10].copy(), n_neighbors=5
    )
    assert len(other) == 10
    sure = mapped.transfer_labels("cell_type", reference, min_confidence=0.99)
    assert sure["label"].isna().sum() == (found["confidence"] < 0.99).sum()


def test_bad_label_transfers(train, parts):
    reference, _ = parts
    model = train(reference)
    with pytest.raises(InputError, match="labels_key='type' is not a column"):
        model.transfer_labels("type", reference)
    with pytest.raises(InputError, match="min_confidence=2"):
        model.transfer_labels("cell_type", reference, min_confidence=2)
    with pytest.raises(InputError, match="n_neighbors=0"):
        model.transfer_labels("cell_type", reference, n_neighbors=0)
    reference.obs["few"] = ["a"] * 10 + [None] * (reference.n_obs - 10)
    with pytest.raises(InputError, match=r"names 10 cells.*n_neighbors=25"):
        model.transfer_labels("few", reference)


def test_votes_ties_and_distances():
    reference = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    labels = np.array(["a", "a", "b", "c", "c", "c"], dtype=object)
    found = nearest_labels(reference, labels, np.array([[0.5], [11.0], [100.0]]), 3)
    assert list(found["label"]) == ["a", "c", "c"]
    np.testing.assert_allclose(found["confidence"], [2 / 3, 1, 1])
    assert found["distance"][2] > 5 * found["distance"][1]
    # one vote each: the nearer wins
    tie = nearest_labels(reference, labels, np.array([[1.6], [1.4]]), 2)
    assert list(tie["label"]) == ["b", "a"]
