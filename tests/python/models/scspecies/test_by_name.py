"""ScSpecies: labels in another order, levels of any kind, and whether the data still are the same."""

import numpy as np
import pandas as pd
import pytest

import scsystems as scs
from scsystems.errors import InputError

QUICK = {"max_epochs": 2, "verbose": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def species():
    return scs.datasets.simulated_by_species(
        n_cells=240, n_genes=400, n_types=3, n_donors=2, own_types=False, rare_fraction=0.3, seed=0
    )


def copies(species):
    one, two = (adata.copy() for adata in species[0].values())
    return one, two


def make(species, one=None, two=None, labels="cell_type", **options):
    own = copies(species)
    return scs.ScSpecies(
        {"species1": own[0] if one is None else one},
        {"species2": own[1] if two is None else two},
        labels,
        species[1],
        **{"n_hidden": 16, "n_features": 16, "n_latent": 3, "n_neighbors": 5, **options},
    )


@pytest.fixture(scope="module")
def model(species):
    model = make(species, target_labels="cell_type")
    model.train(**{**QUICK, "max_epochs": 4})
    return model


def shuffled(series):
    return series.sample(frac=1, random_state=0)


USES = {
    "transfer": ("species1", lambda m, v: m.transfer_labels(labels=v)),
    "similarity": ("species2", lambda m, v: m.similarity(target_labels=v, n_samples=4)),
    "differences": (
        "species2",
        lambda m, v: m.differential_expression(target_labels=v, n_samples=20),
    ),
}


@pytest.mark.parametrize("use", USES)
def test_labels_are_matched_by_the_names_of_cells(model, species, use):
    name, call = USES[use]
    labels = species[0][name].obs["cell_type"].astype(str)
    expected = call(model, labels.to_numpy())
    for given in (labels, shuffled(labels), dict(shuffled(labels)), labels.reset_index(drop=True)):
        pd.testing.assert_frame_equal(call(model, given), expected)
    for wrong in (labels.rename(lambda n: n + "x"), shuffled(labels).iloc[:-1]):
        with pytest.raises(InputError, match=r"labels has no value for \d+ of 120 cells"):
            call(model, wrong)


def test_relevance_takes_labels_by_name(model, species):
    pytest.importorskip("captum")
    labels = species[0]["species2"].obs["cell_type"].astype(str)
    found = [
        model.relevance("species2", labels=given, n_cells=3)
        for given in (labels.to_numpy(), shuffled(labels))
    ]
    pd.testing.assert_frame_equal(*found)


def test_cells_to_compare_are_positions_or_masks(model, species):
    two = species[0]["species2"]
    expected = model.similarity(level="cells", target_indices=[1, 4], context_indices=[0, 2, 3])
    found = model.similarity(
        level="cells",
        target_indices=shuffled(pd.Series(np.isin(np.arange(120), [1, 4]), two.obs_names)),
        context_indices=np.isin(np.arange(120), [0, 2, 3]),
    )
    pd.testing.assert_frame_equal(found, expected)


def test_missing_labels_do_not_vote_and_are_not_a_type(model, species):
    labels = species[0]["species1"].obs["cell_type"].astype(object)
    labels.iloc[::2] = None
    assert set(model.transfer_labels(labels=labels)["label"]) <= set(labels.dropna())


@pytest.mark.parametrize(
    "form",
    [
        lambda c: c.astype(float),
        lambda c: c.astype(str),
        lambda c: pd.Categorical(c.astype(float)),
        lambda c: pd.array(c, dtype="Int64"),
    ],
)
def test_labels_and_batches_are_the_same_in_every_form(species, form):
    def train(form):
        one, two = copies(species)
        for adata in (one, two):
            adata.obs["type"] = form(adata.obs["cell_type"].cat.codes.to_numpy() + 1)
            adata.obs["lane"] = form(adata.obs["donor"].cat.codes.to_numpy() + 1)
        model = make(species, one, two, "type", batch_key="lane", target_labels="type")
        model.train(**QUICK)
        return model, one

    expected, one = train(lambda c: c)
    found, _ = train(form)
    assert found._context.species.labels == found._targets["species2"].species.labels
    assert found._context.species.labels == ("1", "2", "3")
    np.testing.assert_array_equal(
        found.get_latent_representation("species2"), expected.get_latent_representation("species2")
    )
    assert set(found.transfer_labels()["label"]) <= {"1", "2", "3"}
    # types that are named as numbers, and labels that are
    table = found.differential_expression(target_labels="transferred", n_samples=9)
    pd.testing.assert_frame_equal(
        found.transfer_labels(labels=one.obs["type"].astype(float)), found.transfer_labels()
    )
    first = table["cell_type"].iloc[0]
    one_type = found.differential_expression(
        target_labels="transferred", n_samples=9, cell_types=float(first)
    )
    assert set(one_type["cell_type"]) == {first}


def test_days_as_batches(species):
    one, two = copies(species)
    for adata in (one, two):
        adata.obs["day"] = pd.Categorical(
            pd.to_datetime(np.resize(["2020-01-01", "2020-01-02"], adata.n_obs))
        )
    model = make(species, one, two, batch_key="day")
    assert model._context.species.batches == ("2020-01-01", "2020-01-02")


# --- the same data -----------------------------------------------------------------------------


def count(adata):
    adata.X = adata.X.copy()
    adata.X.data[5] += 1


def turned(key):
    def change(adata):
        adata.obs[key] = adata.obs[key].to_numpy()[::-1]

    return change


def renamed(adata):
    adata.obs_names = [f"{name}x" for name in adata.obs_names]


CHANGES = {"a count": count, "batches": turned("donor"), "names": renamed}


@pytest.mark.parametrize("of_context", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_other_cells_are_not_attached_nor_resumed_with(species, tmp_path, change, of_context):
    options = {"batch_key": "donor", "target_labels": "cell_type"}
    model = make(species, **options)
    model.train(**QUICK, checkpoint_dir=tmp_path / "c")
    model.save(tmp_path / "m")
    one, two = copies(species)
    # stored in another way they are the same
    same = one.copy()
    same.X = same.X.toarray()
    assert scs.ScSpecies.load(tmp_path / "m", {"species1": same, "species2": two}).is_trained
    CHANGES[change](one if of_context else two)
    name = "species1" if of_context else "species2"
    with pytest.raises(InputError, match=f"{name}: the .*are not those"):
        scs.ScSpecies.load(tmp_path / "m", {name: one if of_context else two})
    with pytest.raises(InputError, match="other data"):
        make(species, one, two, **options).train(
            **{**QUICK, "max_epochs": 3}, checkpoint_dir=tmp_path / "c", resume=True
        )


def test_labels_count_where_they_are_learned_from(species, tmp_path):
    options = {"target_labels": "cell_type"}
    model = make(species, **options)
    model.train(**QUICK, checkpoint_dir=tmp_path / "c")
    model.save(tmp_path / "m")
    one, two = copies(species)
    turned("cell_type")(one)
    with pytest.raises(InputError, match="counts, batches or labels of the cells are not those"):
        scs.ScSpecies.load(tmp_path / "m", {"species1": one})
    with pytest.raises(InputError, match="other data"):
        make(species, one, **options).train(**QUICK, checkpoint_dir=tmp_path / "c", resume=True)
    # those of targets are for tables only
    turned("cell_type")(two)
    loaded = scs.ScSpecies.load(tmp_path / "m", {"species2": two})
    assert list(loaded._targets["species2"].label_names()) == list(two.obs["cell_type"])
    again = make(species, two=two, **options)
    again.train(**{**QUICK, "max_epochs": 3}, checkpoint_dir=tmp_path / "c", resume=True)
    assert len(again.history["species2"]["train_loss"]) == 3


def test_a_further_target_leaves_the_history_of_the_others(species, tmp_path):
    model = make(species)
    model.train(**QUICK)
    model.save(tmp_path / "m")
    loaded = scs.ScSpecies.load(tmp_path / "m")
    _, two = copies(species)
    table = species[1].pairs.rename(columns={"species2": "more"})[["species1", "more"]]
    loaded.add_target("more", two, table)
    loaded.train(**{**QUICK, "max_epochs": 3})
    found = {name: len(of["train_loss"]) for name, of in loaded.history.items()}
    assert found == {"species1": 2, "species2": 2, "more": 3}
    for name in ("species1", "species2"):
        pd.testing.assert_frame_equal(
            loaded.history[name]["train_loss"], model.history[name]["train_loss"]
        )


def test_species_named_by_numbers(species):
    one, two = copies(species)
    table = species[1].pairs.rename(columns={"species1": "1", "species2": "2"})[["1", "2"]]
    model = scs.ScSpecies({1: one}, {2.0: two}, "cell_type", {2: table}, n_neighbors=5)
    assert model.species == ["1", "2"]
