"""``scsystems map``: new samples onto a model of SysVI, a further species onto one of ScSpecies."""

import warnings
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad, read_zarr
from said import check

from scsystems import ScSpecies, SysVI, datasets, load
from scsystems.cli import main, progress
from scsystems.cli.parser import build_parser
from scsystems.data.preprocess import prepare
from scsystems.models.sysvi import training

SETUP = {"batch_key": "system", "categorical_covariate_keys": ["donor"]}
# settings that are small
MODEL = {"n_hidden": 8, "n_latent": 3, "n_prior_components": 4}


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A model, the counts of its cells and of a new donor's, which lack some genes, in files."""
    folder = tmp_path_factory.mktemp("map")
    counts = datasets.simulated(n_cells=300, n_genes=150, n_types=3, depth=600, seed=1)
    new = (counts.obs["donor"] == "species1_donor2").to_numpy()
    old = counts[~new].copy()
    prepared = prepare(old, "system", n_top_genes=60, min_cells=5)
    SysVI.setup_anndata(prepared, **SETUP)
    model = SysVI(prepared, **MODEL)
    model.train(2, verbose=False, accelerator="cpu")
    model.save(folder / "model")
    query = counts[new].copy()
    lost = prepared.var_names[3:6]
    query = query[:, ~query.var_names.isin(lost)].copy()
    query.obsm["X_old"] = np.ones((query.n_obs, 2))
    query.layers["logs"] = query.X.copy()
    query.layers["logs"].data *= np.repeat(
        1e4 / np.asarray(query.X.sum(1)).ravel(), np.diff(query.X.indptr)
    ).astype(np.float32)
    query.layers["logs"] = query.layers["logs"].log1p()
    query.layers["half"] = query.X.copy()
    query.layers["half"].data[::7] += 0.5
    old.obs["other"] = np.where(np.arange(old.n_obs) % 2, "even", "odd")
    old.obs["few"] = old.obs["cell_type"].where(np.arange(old.n_obs) < 4)
    old.write_h5ad(folder / "old.h5ad")
    query.write_h5ad(folder / "new.h5ad")
    return SimpleNamespace(
        folder=folder, model=folder / "model", old=folder / "old.h5ad", new=folder / "new.h5ad"
    )


def command(there, out, *options):
    return ("map", there.new, out, "--model", there.model, "--epochs", 1, *options)


def files_in(folder):
    return {path.name for path in folder.iterdir()}


def by_hand(there):
    """What Python gives for the cells."""
    query = read_h5ad(there.new)
    model = SysVI.load(there.model)
    query.X = query.layers["logs"]
    query = SysVI.prepare_query_anndata(query, model, inplace=False)
    mapped = SysVI.load_query_data(query, model)
    mapped.train(1, verbose=False, accelerator="cpu")
    return mapped


@pytest.mark.parametrize("where", ["--in-memory", "--on-disk"])
def test_cells_are_mapped_and_named_as_python_does(run, there, tmp_path, where, monkeypatch):
    reference = prepare(
        read_h5ad(there.old), "system", features=list(SysVI.load(there.model).schema.genes),
        min_cells=None,
    )  # fmt: skip
    expected = by_hand(there)
    named = expected.transfer_labels("cell_type", reference, n_neighbors=7, min_confidence=0.6)
    if where == "--on-disk":
        monkeypatch.setattr("scsystems.data.containers.read_anndata", lambda *_: 1 / 0)
    out, model = tmp_path / "out.h5ad", tmp_path / "mapped"
    labels = ("--labels", "cell_type", "--reference", there.old, "--neighbors", 7)
    options = (*labels, "--min-confidence", 0.6, "--save-model", model, where)
    assert run(*command(there, out, *options)) == 0
    found, before = read_h5ad(out), read_h5ad(there.new)
    z = expected.get_latent_representation()
    np.testing.assert_allclose(found.obsm["X_sysvi"], z, atol=1e-5)
    predicted = found.obs["predicted.cell_type"]
    assert 0 < predicted.isna().sum() < len(predicted)
    assert predicted.astype(object).fillna("").tolist() == (
        named["label"].astype(object).fillna("").tolist()
    )
    for name in ("confidence", "distance"):
        np.testing.assert_allclose(found.obs[f"predicted.cell_type.{name}"], named[name], atol=1e-4)
    np.testing.assert_array_equal(found.obsm["X_old"], before.obsm["X_old"])
    assert (found.X != before.X).nnz == 0
    assert files_in(tmp_path) == {"out.h5ad", "mapped"}
    np.testing.assert_allclose(load(model).get_latent_representation(expected.adata), z, atol=1e-5)


def test_nothing_of_a_file_is_read_whole_that_would_not_fit(
    run, there, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("scsystems.data.size.available_memory", lambda: 10)
    monkeypatch.setattr("scsystems.data.containers.read_anndata", lambda *_: 1 / 0)
    out = tmp_path / "out.csv"
    assert (
        run(
            *command(
                there, out, "--embedding-only", "--labels", "cell_type", "--reference", there.old
            )
        )
        == 0
    )
    assert "they stay on disk" in capsys.readouterr().err
    table = pd.read_csv(out, index_col=0)
    assert list(table.index) == list(read_h5ad(there.new).obs_names)
    assert "predicted.cell_type" in table
    assert files_in(tmp_path) == {"out.csv"}


def test_a_reference_may_be_called_as_the_query(run, there, tmp_path):
    """In another folder, or be the same file."""
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / there.new.name
    other.write_bytes(there.old.read_bytes())
    for reference in (other, there.new):
        out = tmp_path / "out.csv"
        options = ("--embedding-only", "--overwrite", "--on-disk", "--labels", "cell_type")
        assert run(*command(there, out, *options, "--reference", reference)) == 0
        table = pd.read_csv(out, index_col=0)
        z = by_hand(there).get_latent_representation()
        np.testing.assert_allclose(table.filter(like="X_sysvi_"), z, atol=1e-5)
    # cells name themselves
    assert table["predicted.cell_type"].notna().all()
    assert files_in(tmp_path) == {"other", "out.csv"}


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore:.*Zarr")
def test_a_zarr_store_and_a_layer_from_disk(run, there, tmp_path):
    pytest.importorskip("zarr", reason="zarr is not installed: zarr stores are NOT tested here")
    query = read_h5ad(there.new)
    query.write_zarr(tmp_path / "in.zarr")
    options = ("--model", there.model, "--epochs", 1, "--layer", "logs", "--on-disk")
    assert run("map", tmp_path / "in.zarr", tmp_path / "out.zarr", *options) == 0
    z = read_zarr(tmp_path / "out.zarr").obsm["X_sysvi"]
    np.testing.assert_allclose(z, by_hand(there).get_latent_representation(), atol=1e-5)


def test_without_new_samples_nothing_is_trained(run, there, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    assert run("map", there.old, out, "--model", there.model) == 0
    assert "Nothing to train" in capsys.readouterr().err
    assert read_h5ad(out).obsm["X_sysvi"].shape[1] == 3


def test_what_the_model_was_told_names_the_cells(run, adata, tmp_path):
    SysVI.setup_anndata(adata, **SETUP, labels_key="cell_type")
    model = SysVI(adata, **MODEL)
    model.train(2, verbose=False, accelerator="cpu")
    model.save(tmp_path / "model")
    adata.obs.drop(columns="cell_type").to_csv(tmp_path / "obs.csv")
    part = adata[:50].copy()
    del part.obs["cell_type"]
    part.write_h5ad(tmp_path / "in.h5ad")
    assert (
        run("map", tmp_path / "in.h5ad", tmp_path / "out.h5ad", "--model", tmp_path / "model") == 0
    )
    obs = read_h5ad(tmp_path / "out.h5ad").obs
    assert obs["predicted.cell_type"].tolist() == model.predict(adata[:50]).tolist()
    assert obs["predicted.cell_type.probability"].between(0, 1).all()


def test_what_was_learned_before_an_interrupt_is_written(run, there, tmp_path, monkeypatch):
    def interrupted(epoch, *_):
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress, "_say", interrupted)
    out = tmp_path / "out.h5ad"
    assert run("map", there.new, out, "--model", there.model, "--epochs", 9) == 130
    assert read_h5ad(out).obsm["X_sysvi"].shape[1] == 3


# --- every option is felt --------------------------------------------------------------------


@pytest.fixture(scope="module")
def felt(there):
    """Map with options; gives what the training and the files saw of them, once each."""
    out, settings, seeds = there.folder / "felt.h5ad", [], []

    def fit(net, loss, cells, chosen, generator, *rest, _fit=training.fit, **more):
        settings.append(chosen)
        seeds.append(generator.initial_seed())
        return _fit(net, loss, cells, chosen, generator, *rest, **more)

    @cache
    def felt(*options):
        target = out.with_suffix(".csv") if "--embedding-only" in options else out
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(training, "fit", fit)
            arguments = command(there, target, *options, "--overwrite", "--quiet")
            code = main([str(a) for a in arguments])
        if code:
            return {"code": code}
        if "--embedding-only" in options:
            table = pd.read_csv(target, index_col=0)
            return {"only": True, "z": table.to_numpy(), "code": 0}
        found = read_h5ad(out)
        name = next(k for k in found.obsm if k != "X_old")
        return {
            "z": found.obsm[name],
            "obs": {k: found.obs[k].astype(str).tolist() for k in found.obs},
            "name": name,
            "settings": settings[-1],
            "seed": seeds[-1],
            "code": 0,
            "only": False,
        }

    return felt


def named(found):
    return {k: v for k, v in found["obs"].items() if k.startswith("predicted")}


def reference(there, labels="cell_type", file=None):
    return ("--labels", labels, "--reference", file or there.old)


# option -> (options of both runs, values, what has to differ, its value or None for any)
FELT = {
    "--layer": ((), ["half"], lambda f: f["code"], 1),
    "--name": ((), ["X_mine"], lambda f: f["name"], "X_mine"),
    "--embedding-only": ((), [], lambda f: f["only"], True),
    "--epochs": ((), [3], lambda f: f["settings"].max_epochs, 3),
    "--threads": ((), [2], lambda f: f["settings"].n_threads, 2),
    "--seed": ((), [5], lambda f: f["seed"], 5),
    "--batch-size": ((), [20], lambda f: f["settings"].batch_size, 20),
    "--max-missing": ((), [0], lambda f: f["code"], 1),
    "--fill": ((), ["zero"], lambda f: f["z"].tolist(), None),
    "--target-sum": ((), [100], lambda f: f["z"].tolist(), None),
    "--fractional": (("--layer", "half"), [], lambda f: f["code"], 0),
    "--labels": (reference, ["other"], named, None),
    "--reference": (reference, ["new"], named, None),
    "--neighbors": (reference, [3], named, None),
    "--min-confidence": (reference, [0.9], named, None),
}
# what other tests look at
ELSEWHERE = {
    *("--help", "--quiet", "--debug"),  # test_parser.py
    *("--on-disk", "--in-memory", "--model", "--save-model"),  # the first tests here
    "--overwrite",  # test_what_cannot_be_done_is_said_before_training
    "--device",  # test_the_device_reaches_the_trainer
    "--raw",  # test_counts_in_raw_are_taken
    "--assay",  # tests/interop/test_rds.py
    *("--species", "--orthologs", "--genes", "--batch", "--n-top-genes"),  # the last tests here
}


@pytest.mark.parametrize("option", FELT)
def test_every_option_is_felt(felt, there, option):
    both, values, seen, expected = FELT[option]
    both = both(there) if callable(both) else both
    before = seen(felt(*both))
    after = seen(felt(*both, option, *(there.new if v == "new" else v for v in values)))
    assert before != after
    assert expected is None or after == expected


def test_no_option_is_forgotten_here():
    actions = build_parser()._subparsers._group_actions[0].choices["map"]._actions
    options = {a.option_strings[-1] for a in actions if a.option_strings}
    assert options == set(FELT) | ELSEWHERE


def test_the_device_reaches_the_trainer(run, there, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        SysVI, "train", lambda self, accelerator, **_: asked.append(accelerator) or 1 / 0
    )
    assert run(*command(there, tmp_path / "out.h5ad", "--device", "cpu")) == 3
    assert asked == ["cpu"]


def test_counts_in_raw_are_taken(run, there, tmp_path):
    query = read_h5ad(there.new)
    raw = query.copy()
    query.X = query.X * 3
    query.raw = raw
    query.write_h5ad(tmp_path / "in.h5ad")
    options = ("--model", there.model, "--epochs", 1, "--raw")
    assert run("map", tmp_path / "in.h5ad", tmp_path / "out.h5ad", *options) == 0
    z = by_hand(there).get_latent_representation()
    np.testing.assert_allclose(read_h5ad(tmp_path / "out.h5ad").obsm["X_sysvi"], z, atol=1e-5)


# --- what is refused -------------------------------------------------------------------------


def changed(there, change):
    query = read_h5ad(there.new)
    change(query)
    return query


def new_system(query):
    query.obs["system"] = "species9"


def no_donor(query):
    del query.obs["donor"]


def missing_donor(query):
    query.obs["donor"] = query.obs["donor"].astype(object).where(np.arange(query.n_obs) > 1)


def other_genes(query):
    query.var_names = [f"x{i}" for i in range(query.n_vars)]


def scaled(query):
    query.X = query.X.toarray() - 3


def logged(query):
    query.X = query.layers["logs"]


def nothing(query):
    pass


WRONG = {
    "new system": (new_system, [], ["species9", "scsystems scspecies"]),
    "no column": (no_donor, [], ["the model's --covariates donor is not a column"]),
    "column missing": (missing_donor, [], ["'donor' (the model's --covariates)", "missing for 2"]),
    "other genes": (other_genes, [], ["--max-missing", "x0"]),
    "negative": (scaled, [], ["negative"]),
    "target of logs": (logged, ["--target-sum", 100], ["--target-sum: for counts"]),
    "fractional of logs": (logged, ["--fractional"], ["--fractional: for counts"]),
    "labels alone": (nothing, ["--labels", "cell_type"], ["--labels needs --reference"]),
    "reference alone": (nothing, ["--reference", "OLD"], ["--reference needs --labels"]),
    "no such label": (nothing, ["--labels", "kind", "--reference", "OLD"], ["--labels kind"]),
    "few labels": (
        nothing,
        ["--labels", "few", "--reference", "OLD"],
        ["--labels few names 4 cells", "--neighbors 25"],
    ),
    "no layer": (nothing, ["--layer", "umis"], ["--layer umis"]),
    "of the other method": (nothing, ["--species", "pig"], ["--species: for models of ScSpecies"]),
    "device": (nothing, ["--device", "tpu"], ["--device tpu"]),
    "no reference": (nothing, ["--labels", "a", "--reference", "no.h5ad"], ["does not exist"]),
}


@pytest.mark.parametrize("where", ["--in-memory", "--on-disk"])
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_said_before_training(
    run, there, tmp_path, capsys, monkeypatch, case, where
):
    change, options, expected = WRONG[case]
    changed(there, change).write_h5ad(tmp_path / "in.h5ad")
    monkeypatch.setattr(SysVI, "train", lambda *_, **__: pytest.fail("trained"))
    options = [there.old if o == "OLD" else o for o in options]
    arguments = ("map", tmp_path / "in.h5ad", tmp_path / "out.h5ad", "--model", there.model)
    assert run(*arguments, where, *options) == 1
    check(capsys.readouterr().err, *expected)
    assert files_in(tmp_path) == {"in.h5ad"}


def test_wrong_files(run, there, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    out.write_text("mine")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "a.txt").write_text("a")
    cases = {
        "exists already": (there.new, out),
        "is the model that cells": (there.new, tmp_path / "b.h5ad", "--save-model", there.model),
        "--save-model": (there.new, tmp_path / "b.h5ad", "--save-model", tmp_path / "foreign"),
        "ends in one of .h5ad, .parquet": (there.new, tmp_path / "b.txt", "--embedding-only"),
        "ends in .h5ad": (there.new, tmp_path / "b.zarr", "--on-disk"),
    }
    before = files_in(tmp_path)
    for message, (source, target, *options) in cases.items():
        assert run("map", source, target, "--model", there.model, *options) == 1
        assert message in capsys.readouterr().err
    assert run("map", there.new, tmp_path / "b.h5ad", "--model", tmp_path / "none") == 1
    assert "none" in capsys.readouterr().err
    assert files_in(tmp_path) == before


def test_counts_need_a_total_that_is_known(run, there, tmp_path, capsys):
    query = read_h5ad(there.old)
    query = prepare(query, "system", n_top_genes=60, min_cells=5)
    del query.uns["preparation"]
    SysVI.setup_anndata(query, **SETUP)
    model = SysVI(query, **MODEL)
    model.train(1, verbose=False, accelerator="cpu")
    model.save(tmp_path / "model")
    arguments = ("map", there.new, tmp_path / "out.h5ad", "--model", tmp_path / "model")
    for where in ("--in-memory", "--on-disk"):
        assert run(*arguments, "--epochs", 1, where, "--overwrite") == 1
        check(capsys.readouterr().err, "--target-sum")
        assert run(*arguments, "--epochs", 1, where, "--target-sum", 1e4, "--overwrite") == 0


# --- a further species -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """A model of two species, and a file with a third."""
    folder = tmp_path_factory.mktemp("aligned")
    cells, table = datasets.simulated_by_species(
        n_cells=200, n_genes=150, n_types=3, own_types=False
    )
    sizes = {"n_hidden": 8, "n_features": 10, "n_latent": 3, "n_neighbors": 5}
    model = ScSpecies(
        {"species1": cells["species1"]},
        {"species2": cells["species2"]},
        "cell_type",
        table,
        **sizes,
    )
    model.train(2, verbose=False, accelerator="cpu")
    model.save(folder / "model")
    cells["species2"].write_h5ad(folder / "third.h5ad")
    pairs = table.pairs.rename(columns={"species2": "third"})
    pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    return folder


def species_command(aligned, out, *options):
    return (
        *("map", aligned / "third.h5ad", out, "--model", aligned / "model", "--species", "third"),
        *("--orthologs", aligned / "pairs.tsv", "--epochs", 1, *options),
    )


def test_a_further_species_is_aligned(run, aligned, tmp_path):
    out, saved = tmp_path / "out.h5ad", tmp_path / "model"
    options = ("--batch", "donor", "--n-top-genes", 140, "--genes", "symbol", "--save-model", saved)
    assert run(*species_command(aligned, out, *options)) == 0
    third = read_h5ad(aligned / "third.h5ad")
    model = ScSpecies.load(aligned / "model")
    model.add_target("third", third, aligned / "pairs.tsv", batch_key="donor", n_top_genes=140)
    model.train(1, verbose=False, accelerator="cpu")
    found = read_h5ad(out)
    z = model.get_latent_representation("third")
    np.testing.assert_allclose(found.obsm["X_scspecies"], z, atol=1e-5)
    labels = model.transfer_labels("third")["label"]
    assert found.obs["predicted.cell_type"].tolist() == labels.tolist()
    assert np.isfinite(found.obs["predicted.cell_type.novelty"]).all()
    assert load(saved).species == ["species1", "species2", "third"]
    np.testing.assert_allclose(load(saved).get_latent_representation("third"), z, atol=1e-5)


def test_a_further_species_on_disk_gives_the_same(run, aligned, tmp_path, monkeypatch):
    a, b = tmp_path / "a.h5ad", tmp_path / "b.csv"
    assert run(*species_command(aligned, a)) == 0
    monkeypatch.setattr("scsystems.data.containers.read_anndata", lambda *_: 1 / 0)
    assert run(*species_command(aligned, b, "--on-disk", "--embedding-only")) == 0
    z = pd.read_csv(b, index_col=0).filter(like="X_scspecies_")
    np.testing.assert_allclose(z, read_h5ad(a).obsm["X_scspecies"], atol=1e-5)


def test_all_genes_of_a_further_species(run, aligned, tmp_path):
    saved = tmp_path / "model"
    options = ("--n-top-genes", "all", "--save-model", saved, "--name", "X_mine")
    assert run(*species_command(aligned, tmp_path / "out.h5ad", *options)) == 0
    part = load(saved)._targets["third"].species
    assert len(part.genes) == read_h5ad(aligned / "third.h5ad").n_vars
    assert "X_mine" in read_h5ad(tmp_path / "out.h5ad").obsm


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--species", "species2"], "has this species already"),
        (["--orthologs", "none.tsv"], "no file none.tsv"),
        (["--seed", "3"], "--seed"),
        (["--epochs", "0"], "--epochs 0"),
        (["--labels", "cell_type"], "--labels: for models of SysVI"),
        (["--batch", "lane"], "--batch lane"),
        (["--fill", "zero"], "--fill: for models of SysVI"),
    ],
)
def test_wrong_options_of_a_further_species(
    run, aligned, tmp_path, capsys, monkeypatch, options, expected
):
    monkeypatch.setattr(ScSpecies, "train", lambda *_, **__: pytest.fail("trained"))
    assert run(*species_command(aligned, tmp_path / "out.h5ad", *options)) == 1
    check(capsys.readouterr().err, expected)
    assert not files_in(tmp_path)


def test_a_further_species_needs_a_name_and_a_table(run, aligned, tmp_path, capsys):
    arguments = ("map", aligned / "third.h5ad", tmp_path / "out.h5ad", "--model", aligned / "model")
    assert run(*arguments) == 1
    check(capsys.readouterr().err, "Give --species")
    assert run(*arguments, "--species", "third") == 1
    check(capsys.readouterr().err, "Give --orthologs")
    assert isinstance(read_h5ad(aligned / "third.h5ad"), AnnData)
