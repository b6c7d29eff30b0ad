"""``scsystems sysvi`` on files: what is trained, written, and refused before anything is trained."""

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from scsystems import SysVI
from scsystems.cli import main, sysvi
from scsystems.cli.parser import build_parser
from scsystems.models.sysvi import presets, training

BASE = ("--system", "system", "--epochs", 1, "--quiet")


def files_in(folder):
    return {path.name for path in folder.iterdir()}


def test_the_cells_are_written_with_their_embedding(run, file, tmp_path, capsys):
    out, model = tmp_path / "out.h5ad", tmp_path / "model"
    code = run(
        *("sysvi", file, out, "--system", "system", "--covariates", "donor", "--epochs", 2),
        *("--dims", 4, "--cycle-weight", 3, "--kl-weight", 0.5, "--batch-size", 64),
        *("--continuous", "score", "--model", model, "--threads", 2),
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "240 cells" in said.err
    assert said.out == ""
    cells = read_h5ad(out)
    assert cells.obsm["X_sysvi"].shape == (240, 4)
    assert cells.n_vars == 40
    loaded = SysVI.load(model)
    assert loaded.schema.setup.continuous_covariate_keys == ("score",)
    assert loaded._train_facts["n_threads"] == 2
    prepared = cells[:, list(loaded.schema.genes)].copy()
    np.testing.assert_allclose(
        loaded.get_latent_representation(prepared), cells.obsm["X_sysvi"], atol=1e-5
    )
    # existing results are safe
    assert run("sysvi", file, out, "--system", "system") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("sysvi", file, tmp_path / "new.h5ad", "--system", "system", "--model", model) == 1
    assert files_in(tmp_path) == {"cells.h5ad", "out.h5ad", "model"}


def test_counts_are_prepared_and_quiet_is_quiet(run, file, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    options = ("--layer", "counts", "--epochs", 1, "--all-genes", "--name", "X_mine", "--quiet")
    assert run("sysvi", file, out, "--system", "system", *options) == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""
    cells = read_h5ad(out)
    assert list(cells.obsm) == ["X_mine"]
    assert (cells.X != read_h5ad(file).X).nnz == 0


def test_the_preset_decides_on_the_number_of_genes(run, file, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "GENES", {"default": 10, "paper": 40})

    def n_genes(name, *options):
        model = tmp_path / name
        assert run("sysvi", file, tmp_path / f"{name}.h5ad", *BASE, "--model", model, *options) == 0
        return len(SysVI.load(model).schema.genes)

    few = n_genes("default")
    assert few <= 10 < n_genes("paper", "--preset", "paper")
    assert n_genes("given", "--preset", "paper", "--genes", 10) == few
    assert n_genes("all", "--all-genes") == 40


@pytest.mark.parametrize("expression", [(), ("--layer", "counts")])
def test_genes_are_joined_by_rank_and_kept(run, adata, file, tmp_path, expression):
    def genes(name, *options):
        model = tmp_path / name
        options = (*BASE, "--model", model, "--genes", 10, *expression, *options)
        assert run("sysvi", file, tmp_path / f"{name}.h5ad", *options) == 0
        return set(SysVI.load(model).schema.genes)

    few, joint = genes("few"), genes("joint", "--hvg-merge", "joint")
    assert len(few) < 10 == len(joint)
    missing = [gene for gene in adata.var_names if gene not in joint][:2]
    assert genes("kept", "--hvg-merge", "joint", "--keep", *missing) == {*joint, *missing}
    out = tmp_path / "out.h5ad"
    assert run("sysvi", file, out, *BASE, *expression, "--keep", "nothing") == 1
    assert run("sysvi", file, out, *BASE, *expression, "--all-genes", "--keep", *missing) == 1
    assert not out.exists()


# --- every option is felt --------------------------------------------------------------------


@pytest.fixture(scope="module")
def felt(make, tmp_path_factory):
    """Run with options; gives what the model, its training and the files saw of them, once each."""
    folder = tmp_path_factory.mktemp("felt")
    make().write_h5ad(folder / "cells.h5ad")
    out, model = folder / "out.h5ad", folder / "model"
    settings = []

    def fit(net, loss, cells, chosen, *rest, _fit=training.fit, **more):
        settings.append(chosen)
        return _fit(net, loss, cells, chosen, *rest, **more)

    @cache
    def felt(*options):
        base = ("--system", "system", "--epochs", 1, "--overwrite", "--quiet", "--model", model)
        arguments = ["sysvi", folder / "cells.h5ad", out, *base, *options]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "fit", fit)
            assert main([str(a) for a in arguments]) == 0
        trained = SysVI.load(model)
        name, z = next(iter(read_h5ad(out).obsm.items()))
        return {
            "setup": trained.schema.setup,
            "arguments": trained._arguments,
            "genes": trained.schema.genes,
            "means": trained.schema.gene_means,
            "facts": trained._train_facts,
            "settings": settings[-1],
            "name": name,
            "z": z,
        }

    return felt


# option -> (values, what has to differ from a run without it, its value or None for any)
FELT = {
    "--system": (["donor"], lambda f: f["setup"].batch_key, "donor"),
    "--covariates": (
        ["donor", "cell_type"],
        lambda f: f["setup"].categorical_covariate_keys,
        ("donor", "cell_type"),
    ),
    "--continuous": (["score"], lambda f: f["setup"].continuous_covariate_keys, ("score",)),
    "--layer": (["counts"], lambda f: f["means"], None),
    "--genes": ([7], lambda f: f["genes"], None),
    "--min-cells": ([100], lambda f: f["genes"], None),
    "--name": (["X_mine"], lambda f: f["name"], "X_mine"),
    "--preset": (["paper"], lambda f: f["arguments"]["preset"], "paper"),
    "--epochs": ([3], lambda f: f["settings"].max_epochs, 3),
    "--threads": ([2], lambda f: f["facts"]["n_threads"], 2),
    "--prior": (["standard_normal"], lambda f: f["arguments"]["prior"], "standard_normal"),
    "--dims": ([4], lambda f: f["z"].shape[1], 4),
    "--cycle-weight": ([17], lambda f: f["facts"]["weights"]["cycle"], 17),
    "--kl-weight": ([0.25], lambda f: f["facts"]["weights"]["kl"], 0.25),
    "--batch-size": ([50], lambda f: f["settings"].batch_size, 50),
    "--labels": (["cell_type"], lambda f: f["setup"].labels_key, "cell_type"),
    "--seed": ([5], lambda f: (f["arguments"]["seed"], f["facts"]["seed"]), (5, 5)),
}
# what other tests look at
ELSEWHERE = {
    "--fractional",  # test_counts_with_fractions_are_taken_if_that_is_said
    "--checkpoint",  # test_several.py
    *("--on-disk", "--in-memory", "--store", "--embedding-only"),  # test_on_disk.py
    "--help",
    "--model",  # test_the_cells_are_written_with_their_embedding
    "--overwrite",  # test_the_cells_are_written_with_their_embedding
    "--hvg-merge",  # test_genes_are_joined_by_rank_and_kept
    "--keep",  # test_genes_are_joined_by_rank_and_kept
    "--all-genes",  # test_the_preset_decides_on_the_number_of_genes
    "--unlabeled",  # test_cells_are_named_by_the_labels_that_the_model_is_told
    "--label-weight",  # test_cells_are_named_by_the_labels_that_the_model_is_told
    "--raw",  # test_counts_in_raw_are_found
    "--assay",  # tests/interop/test_rds.py
    "--device",  # test_the_device_reaches_the_trainer
    "--quiet",  # test_counts_are_prepared_and_quiet_is_quiet
    "--debug",  # test_parser.py
    "--input",  # test_species.py, and the next two
    "--orthologs",
    "--orthology",
}


@pytest.mark.parametrize("option", FELT)
def test_every_option_is_felt(felt, option):
    values, seen, expected = FELT[option]
    before, after = seen(felt()), seen(felt(option, *values))
    assert before != after
    assert expected is None or after == expected


def test_no_option_is_forgotten_here():
    command = build_parser()._subparsers._group_actions[0].choices["sysvi"]
    options = {a.option_strings[-1] for a in command._actions if a.option_strings}
    assert options == set(FELT) | ELSEWHERE


def test_seeds_change_the_embedding_and_repeat_it(felt):
    first, second = (felt("--seed", seed)["z"] for seed in (1, 2))
    again = felt("--quiet", "--seed", 1)["z"]
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.1


def test_the_device_reaches_the_trainer(run, file, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        SysVI, "train", lambda self, accelerator, **_: asked.append(accelerator) or 1 / 0
    )
    assert run("sysvi", file, tmp_path / "out.h5ad", *BASE, "--device", "cpu") == 3
    assert asked == ["cpu"]


# --- which matrix ----------------------------------------------------------------------------


@pytest.fixture
def scaled(adata):
    """X is scaled, the counts are in .raw, as tutorials of scanpy leave it."""
    whole = AnnData(adata.layers["counts"].copy(), obs=adata.obs.copy(), var=adata.var.copy())
    dense = adata.X.toarray()
    part = AnnData(((dense - dense.mean(0)) / dense.std(0))[:, :10], obs=adata.obs.copy())
    part.var_names = adata.var_names[:10]
    part.raw = whole
    return part


@pytest.mark.parametrize("options", [(), ("--raw",)])
def test_counts_in_raw_are_found(run, scaled, tmp_path, capsys, options):
    scaled.write_h5ad(tmp_path / "in.h5ad")
    out, model = tmp_path / "out.h5ad", tmp_path / "model"
    arguments = ("--system", "system", "--epochs", 1, "--all-genes", "--model", model)
    assert run("sysvi", tmp_path / "in.h5ad", out, *arguments, *options) == 0
    said = capsys.readouterr().err
    assert ("X holds negative values, as after scaling: .raw is used" in said) == (not options)
    assert "normalized and log-transformed" in said
    assert len(SysVI.load(model).schema.genes) == 40
    written = read_h5ad(out)
    assert written.shape == scaled.shape
    assert written.raw.shape == (240, 40)
    np.testing.assert_array_equal(written.X, scaled.X)


def test_all_genes_are_all_genes(run, adata, tmp_path):
    counts = adata.layers["counts"].toarray()
    counts[(adata.obs["system"] == "human").to_numpy(), 5] = 0  # one system lacks it
    counts[:, 6] = 0  # nobody has it
    AnnData(sparse.csr_matrix(counts), adata.obs, adata.var).write_h5ad(tmp_path / "in.h5ad")
    model = tmp_path / "model"
    assert (
        run(
            "sysvi",
            tmp_path / "in.h5ad",
            tmp_path / "o.h5ad",
            *BASE,
            "--all-genes",
            "--model",
            model,
        )
        == 0
    )
    schema = SysVI.load(model).schema
    assert schema.genes == tuple(adata.var_names)
    # the independent computation: totals over all genes, log1p, mean
    total = counts.sum(1, keepdims=True)
    np.testing.assert_allclose(schema.gene_means, np.log1p(counts / total * 1e4).mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("factor", "message"),
    [(0.97, "counts times a factor"), (None, "values with fractions")],
    ids=["scaled", "corrected"],
)
def test_counts_with_fractions_are_taken_if_that_is_said(
    run, adata, tmp_path, capsys, factor, message
):
    counts = adata.layers["counts"].toarray()
    if factor is None:
        # what a corrector of ambient RNA leaves
        noise = np.random.default_rng(0).uniform(0, 0.15, counts.shape)
        counts = np.maximum(counts - noise * (counts > 0), 0).astype(np.float32)
    else:
        counts *= factor
    AnnData(sparse.csr_matrix(counts), adata.obs, adata.var).write_h5ad(tmp_path / "in.h5ad")
    out, model = tmp_path / "o.h5ad", tmp_path / "model"
    options = ("--system", "system", "--epochs", 1, "--all-genes", "--model", model)
    for quiet in ((), ("--quiet",)):
        assert run("sysvi", tmp_path / "in.h5ad", out, *options, *quiet) == 1
        said = capsys.readouterr().err
        assert message in said or quiet
        assert "take them as they are with --fractional" in said
    assert not out.exists()
    assert not model.exists()
    assert run("sysvi", tmp_path / "in.h5ad", out, *options, "--fractional") == 0
    assert message in capsys.readouterr().err
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).mean(0)
    np.testing.assert_allclose(SysVI.load(model).schema.gene_means, expected, rtol=1e-5)


def test_fractions_are_of_counts(run, adata, tmp_path, capsys):
    adata.write_h5ad(tmp_path / "logs.h5ad")
    out = tmp_path / "o.h5ad"
    assert run("sysvi", tmp_path / "logs.h5ad", out, *BASE, "--fractional") == 1
    assert "--fractional is for counts" in capsys.readouterr().err
    assert not out.exists()


def test_counts_of_one_system_among_logarithms_are_refused(run, adata, tmp_path, capsys):
    x, counts = adata.X.toarray(), adata.layers["counts"].toarray()
    human = (adata.obs["system"] == "human").to_numpy()
    x[human] = counts[human]
    AnnData(sparse.csr_matrix(x), adata.obs, adata.var).write_h5ad(tmp_path / "in.h5ad")
    assert run("sysvi", tmp_path / "in.h5ad", tmp_path / "o.h5ad", *BASE) == 1
    said = capsys.readouterr().err
    assert "raw counts" in said
    assert "'human' in column 'system'" in said


# --- paths -----------------------------------------------------------------------------------


def test_home_folders_and_capitals(run, adata, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    adata.write_h5ad("IN.H5AD")
    assert run("sysvi", "~/IN.H5AD", "~/Out.H5AD", *BASE, "--model", "~/a/model") == 0
    assert files_in(tmp_path) == {"IN.H5AD", "Out.H5AD", "a"}
    assert "X_sysvi" in read_h5ad("Out.H5AD").obsm
    assert SysVI.load(tmp_path / "a" / "model").is_trained


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore:.*Zarr")
def test_stores_are_read_and_written(run, adata, tmp_path):
    import anndata

    adata.write_zarr(tmp_path / "in.Zarr")
    assert run("sysvi", f"{tmp_path}/in.Zarr/", tmp_path / "out.ZARR", *BASE) == 0
    assert "X_sysvi" in anndata.read_zarr(tmp_path / "out.ZARR").obsm


def test_cells_may_be_written_over_themselves(run, file, tmp_path):
    assert run("sysvi", file, file, *BASE) == 1
    assert "X_sysvi" not in read_h5ad(file).obsm
    assert run("sysvi", file, file, *BASE, "--overwrite") == 0
    assert "X_sysvi" in read_h5ad(file).obsm
    assert files_in(tmp_path) == {"cells.h5ad"}


# --- refused before anything is trained ------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch):
    """Training must not begin."""
    monkeypatch.setattr(SysVI, "train", lambda *_, **__: pytest.fail("trained"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--system", "species"],
            "--system species is not a column of the cells. Found: 'system', 'donor'",
        ),
        (["--system", "system", "--covariates", "lane"], "--covariates lane is not a column"),
        (["--system", "system", "--continuous", "age"], "--continuous age is not a column"),
        (["--system", "system", "--covariates", "system"], "--covariates system: --system names"),
        (["--system", "system", "--covariates", "donor", "donor"], "--covariates donor: "),
        (["--system", "system", "--continuous", "donor"], "donor"),
        (["--system", "system", "--layer", "log"], "--layer log.*counts"),
        (["--system", "system", "--raw"], "--raw: .*no .raw"),
        (["--system", "system", "--device", "tpu"], "--device tpu"),
        (["--system", "system", "--assay", "RNA"], "--assay RNA"),
        (["--system", "system", "--model", "{file}"], "--model .* where the cells are"),
        (["--system", "system", "--model", "{out}"], "--model .* where the cells are"),
        (["--system", "system", "--model", "{full}"], "--model: .* exists already"),
        (["--system", "system", "--model", "{full}", "--overwrite"], "not .*model"),
    ],
)
def test_wrong_input_is_one_clear_message(
    run, file, tmp_path, capsys, untrained, arguments, message
):
    out, full = tmp_path / "out.h5ad", tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    arguments = [a.format(file=file, out=out, full=full) for a in arguments]
    assert run("sysvi", file, out, *arguments) == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert "Traceback" not in said
    assert files_in(tmp_path) == {"cells.h5ad", "full"}
    assert files_in(full) == {"notes.txt"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dims", "0"], "--dims: '0'"),
        (["--epochs", "0"], "--epochs: '0'"),
        (["--epochs", "ten"], "--epochs: 'ten'"),
        (["--cycle-weight", "-1"], "--cycle-weight: '-1'"),
        (["--kl-weight", "nan"], "--kl-weight: 'nan'"),
        (["--batch-size", "1"], "--batch-size: '1'"),
        (["--seed", "-1"], "--seed: '-1'"),
        (["--threads", "0"], "--threads: '0'"),
        (["--genes", "0"], "--genes: '0'"),
        (["--genes", "10", "--all-genes"], "not allowed with"),
        (["--layer", "counts", "--raw"], "not allowed with"),
        (["--prior", "flat"], "--prior: invalid choice"),
    ],
)
def test_wrong_values_are_errors_of_usage(run, file, tmp_path, capsys, arguments, message):
    assert run("sysvi", file, tmp_path / "out.h5ad", "--system", "system", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("none.h5ad", "out.h5ad", "none.h5ad does not exist"),
        ("cells.h5ad", "out.rds", "same kind"),
        ("cells.h5ad", "out.csv", "'.csv' is not known"),
        ("cells.csv", "out.h5ad", "'.csv' is not known"),
        ("cells", "out.h5ad", "'' is not known"),
        ("empty.h5ad", "out.h5ad", "empty.h5ad could not be read"),
        ("cells.h5ad", "no/out.h5ad", "does not exist"),
        ("cells.h5ad", "/proc/out.h5ad", "/proc"),
    ],
)
def test_wrong_files(run, file, tmp_path, capsys, untrained, source, target, message):
    (tmp_path / "empty.h5ad").touch()
    assert run("sysvi", tmp_path / source, tmp_path / target, "--system", "system") == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert files_in(tmp_path) == {"cells.h5ad", "empty.h5ad"}


# --- results are not lost --------------------------------------------------------------------


def test_a_model_without_a_place_does_not_cost_the_embedding(run, file, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    assert run("sysvi", file, out, *BASE, "--model", "/proc/nowhere/model") == 1
    said = capsys.readouterr().err
    assert said.index("Warning: --model: /proc/nowhere/model") < said.index("Error: ")
    z = read_h5ad(out).obsm["X_sysvi"]
    model = tmp_path / "out-model"
    assert str(model) in said
    assert SysVI.load(model).get_latent_representation(read_h5ad(file)).shape == z.shape


def test_cells_that_cannot_be_written_leave_the_embedding_and_the_model(
    run, file, tmp_path, capsys, monkeypatch
):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("scsystems.data.containers.write_cells", fail)
    out, model = tmp_path / "out.h5ad", tmp_path / "model"
    assert run("sysvi", file, out, *BASE, "--model", model) == 1
    said = capsys.readouterr().err
    assert "disk full" in said
    assert str(tmp_path / "out.csv.gz") in said
    table = pd.read_csv(tmp_path / "out.csv.gz", index_col=0)
    cells = read_h5ad(file)
    assert list(table.index) == list(cells.obs_names)
    loaded = SysVI.load(model)
    expected = loaded.get_latent_representation(cells[:, list(loaded.schema.genes)].copy())
    np.testing.assert_allclose(table.to_numpy(), expected, atol=1e-5)
    assert not out.exists()


def test_what_was_learned_before_an_interrupt_is_written(run, file, tmp_path, monkeypatch):
    def interrupted(epoch, *_):
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        sysvi, "training_progress", lambda quiet: {"verbose": False, "callbacks": interrupted}
    )
    out = tmp_path / "out.h5ad"
    assert run("sysvi", file, out, "--system", "system", "--epochs", 9, "--quiet") == 130
    assert "X_sysvi" in read_h5ad(out).obsm
    assert files_in(tmp_path) == {"cells.h5ad", "out.h5ad"}


def test_cells_are_named_by_the_labels_that_the_model_is_told(run, file, tmp_path, capsys):
    cells = read_h5ad(file)
    types = np.where(np.arange(cells.n_obs) % 3 == 0, "a", "b").astype(object)
    types[(cells.obs["system"] == cells.obs["system"].iloc[0]).to_numpy()] = "Unknown"
    cells.obs["told"] = pd.Categorical(types)
    cells.write_h5ad(tmp_path / "told.h5ad")
    out = tmp_path / "out.h5ad"
    given = ("sysvi", tmp_path / "told.h5ad", out, *BASE, "--labels", "told")
    more = ("--unlabeled", "Unknown", "--label-weight", 3, "--model", tmp_path / "model")
    assert run(*given, *more) == 0
    found, model = read_h5ad(out).obs, SysVI.load(tmp_path / "model")
    assert model._train_facts["weights"]["label"] == 3
    assert model.schema.labels == ("a", "b")
    assert set(found["predicted.told"]) <= {"a", "b"}
    p = model.predict(read_h5ad(out)[:, list(model.schema.genes)].copy(), soft=True)
    np.testing.assert_allclose(found["predicted.told.probability"], p.max(axis=1), atol=1e-4)
    assert found["predicted.told.novel"].dtype == bool
    np.testing.assert_array_equal(
        found["predicted.told.novel"], found["predicted.told.novelty"] > 2.5
    )
    capsys.readouterr()
    assert run(*given[:2], tmp_path / "no.h5ad", *BASE, "--labels", "nothing") == 1
    assert "--labels nothing" in capsys.readouterr().err
    assert run(*given[:2], tmp_path / "no.h5ad", *BASE, "--unlabeled", "Unknown") == 1
    assert "without --labels" in capsys.readouterr().err
