"""``scsystems scspecies`` on files: what is written, and what is refused."""

from contextlib import nullcontext
from functools import cache

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad, read_zarr

import scsystems as scs
from scsystems.cli import main, scspecies
from scsystems.cli.parser import build_parser
from scsystems.models.scspecies import training
from scsystems.tools.novelty import THRESHOLD


@pytest.fixture(scope="module")
def species(tmp_path_factory):
    """A folder with two species' cells and their orthologs."""
    folder = tmp_path_factory.mktemp("species")
    cells, table = scs.datasets.simulated_by_species(
        n_cells=300, n_genes=200, n_types=3, own_types=False
    )
    cells["species1"].write_h5ad(folder / "one.h5ad")
    cells["species2"].write_h5ad(folder / "two.h5ad")
    table.pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    return folder


FILES = {"species1": "one", "species2": "two"}


def files_in(folder):
    return {path.name for path in folder.iterdir()}


def command(species, out, **changes):
    options = {
        "--context": [f"species1={species / 'one.h5ad'}"],
        "--targets": [f"species2={species / 'two.h5ad'}"],
        "--labels": ["cell_type"],
        "--orthologs": [species / "pairs.tsv"],
        "--epochs": [2],
        **changes,
    }
    return ["scspecies", out, *(a for name, values in options.items() for a in (name, *values))]


def test_files_get_embedding_and_labels(run, species, tmp_path, capsys, monkeypatch):
    out, model = tmp_path / "aligned", tmp_path / "model"
    more = {"--model": [model], "--batch": ["donor"], "--threads": [2]}
    asked = []
    monkeypatch.setattr(
        "scsystems.train.loop.torch_threads", lambda n: asked.append(n) or nullcontext()
    )
    assert run(*command(species, out, **more)) == 0, capsys.readouterr().err
    assert asked == [2, 2]
    context, target = read_h5ad(out / "species1.h5ad"), read_h5ad(out / "species2.h5ad")
    before = read_h5ad(species / "two.h5ad")
    assert context.obsm["X_scspecies"].shape == (context.n_obs, 10)
    assert "predicted.cell_type" not in context.obs
    assert set(target.obs["predicted.cell_type"]) <= set(context.obs["cell_type"])
    assert target.obs["predicted.cell_type.confidence"].between(0, 1).all()
    novelty, novel = (target.obs[f"predicted.cell_type.{k}"] for k in ("novelty", "novel"))
    assert novel.dtype == bool
    assert np.isfinite(novelty).all()
    np.testing.assert_array_equal(novel, novelty > THRESHOLD)
    assert list(target.obs_names) == list(before.obs_names)
    assert (target.X != before.X).nnz == 0
    loaded = scs.ScSpecies.load(model, {"species2": before})
    expected = loaded.novelty("species2")
    np.testing.assert_allclose(novelty, expected["score"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        loaded.get_latent_representation("species2"), target.obsm["X_scspecies"], atol=1e-5
    )
    assert run(*command(species, out)) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore:.*Zarr")
def test_every_file_is_written_back_in_its_own_kind(run, species, tmp_path):
    read_h5ad(species / "two.h5ad").write_zarr(tmp_path / "two.zarr")
    out = tmp_path / "aligned"
    changes = {"--targets": [f"species2={tmp_path / 'two.zarr'}"]}
    assert run(*command(species, out, **changes), "--quiet") == 0
    assert files_in(out) == {"species1.h5ad", "species2.zarr"}
    assert "predicted.cell_type" in read_zarr(out / "species2.zarr").obs


# --- every option is felt --------------------------------------------------------------------


@pytest.fixture(scope="module")
def felt(species, tmp_path_factory):
    """Run with options; gives what the model and its training saw of them, once each."""
    folder = tmp_path_factory.mktemp("felt")
    settings = []

    def fit(net, loss, cells, chosen, *rest, _fit=training.fit, **more):
        settings.append(chosen)
        return _fit(net, loss, cells, chosen, *rest, **more)

    @cache
    def felt(*options):
        settings.clear()
        base = command(
            species, folder / "aligned", **{"--epochs": [1], "--model": [folder / "model"]}
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "fit", fit)
            patch.setattr("scsystems.train.loop.torch_threads", lambda n: nullcontext())
            assert main([str(a) for a in (*base, *options, "--quiet", "--overwrite")]) == 0
        loaded = scs.ScSpecies.load(folder / "model")
        return {
            "settings": list(settings),
            "model": loaded,
            "parts": [part.species for part in loaded._parts()],
            "z": read_h5ad(folder / "aligned" / "species2.h5ad").obsm["X_scspecies"],
        }

    return felt


FELT = {
    "--labels": (["donor"], lambda f: f["parts"][0].label_key, "donor"),
    "--batch": (["donor"], lambda f: [p.batch_key for p in f["parts"]], ["donor", "donor"]),
    "--preset": (["paper"], lambda f: f["model"]._settings["likelihood"], "zinb"),
    "--epochs": ([3], lambda f: [s.max_epochs for s in f["settings"]], [3, 3]),
    "--threads": ([2], lambda f: [s.n_threads for s in f["settings"]], [2, 2]),
    "--seed": ([5], lambda f: f["model"]._settings["seed"], 5),
    "--dims": ([4], lambda f: f["z"].shape[1], 4),
    "--n-top-genes": ([150], lambda f: [len(p.genes) for p in f["parts"]], [150, 150]),
    "--neighbors": ([7], lambda f: f["model"]._targets["species2"].neighbors.index.shape[1], 7),
}
# what other tests look at
ELSEWHERE = {
    "--help",
    "--context",  # test_files_get_embedding_and_labels
    "--targets",  # test_files_get_embedding_and_labels
    "--orthologs",  # test_identifiers_of_genes
    "--genes",  # test_identifiers_of_genes
    "--layer",  # test_counts_are_found
    "--raw",  # test_counts_are_found
    "--model",  # test_files_get_embedding_and_labels
    "--overwrite",  # test_files_get_embedding_and_labels
    "--device",  # test_the_device_reaches_the_trainer
    "--quiet",  # test_every_file_is_written_back_in_its_own_kind
    "--debug",  # test_parser.py
}


@pytest.mark.parametrize("option", FELT)
def test_every_option_is_felt(felt, option):
    values, seen, expected = FELT[option]
    before, after = seen(felt()), seen(felt(option, *values))
    assert before != after
    assert after == expected


def test_no_option_is_forgotten_here():
    known = build_parser()._subparsers._group_actions[0].choices["scspecies"]
    options = {a.option_strings[-1] for a in known._actions if a.option_strings}
    assert options == set(FELT) | ELSEWHERE


def test_genes_are_those_of_python(felt, species):
    """The same function chooses them, with the same default."""
    cells = {name: read_h5ad(species / f"{file}.h5ad") for name, file in FILES.items()}
    for options, n in (
        (("--n-top-genes", 150, "--batch", "donor"), {"n_top_genes": 150}),
        ((), {}),
    ):
        model = scs.ScSpecies(
            {"species1": cells["species1"]},
            {"species2": cells["species2"]},
            "cell_type",
            species / "pairs.tsv",
            batch_key="donor" if options else None,
            **n,
        )
        assert felt(*options)["parts"] == [part.species for part in model._parts()]
    everything = [set(adata.var_names) for adata in cells.values()]
    assert [set(p.genes) for p in felt("--n-top-genes", "all")["parts"]] == everything


def test_seeds_change_the_embedding_and_repeat_it(felt):
    first, second = (felt("--seed", seed)["z"] for seed in (1, 5))
    again = felt("--quiet", "--seed", 1)["z"]
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.1


def test_the_device_reaches_the_trainer(run, species, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        scs.ScSpecies, "train", lambda self, n, accelerator, **_: asked.append(accelerator) or 1 / 0
    )
    assert run(*command(species, tmp_path / "out", **{"--device": ["cpu"]})) == 3
    assert asked == ["cpu"]


# --- which matrix, which genes ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("raw", {}, "X looks log-transformed (natural logarithms"),
        ("raw", {"--raw": []}, "training"),
        ("counts", {}, "the layer 'counts' is used"),
        ("umis", {"--layer": ["umis"]}, "training"),
    ],
)
def test_counts_are_found(run, species, tmp_path, capsys, place, options, message):
    paths = []
    for name in ("one", "two"):
        cells = read_h5ad(species / f"{name}.h5ad")
        logged = AnnData(cells.X.log1p(), cells.obs, cells.var)
        if place == "raw":
            logged.raw = cells
        else:
            logged.layers[place] = cells.X
        paths.append(tmp_path / f"{name}.h5ad")
        logged.write_h5ad(paths[-1])
    changes = {
        "--context": [f"species1={paths[0]}"],
        "--targets": [f"species2={paths[1]}"],
        "--model": [tmp_path / "model"],
        **options,
    }
    out = tmp_path / "out"
    assert run(*command(species, out, **changes)) == 0
    assert message in capsys.readouterr().err
    # the same as of the counts themselves
    assert run(*command(species, tmp_path / "plain"), "--quiet") == 0
    first, second = (
        read_h5ad(f / "species2.h5ad").obsm["X_scspecies"] for f in (out, tmp_path / "plain")
    )
    np.testing.assert_array_equal(first, second)


def ensembl(names, prefix):
    return {name: f"{prefix}{number:011d}" for number, name in enumerate(names)}


@pytest.mark.parametrize("with_ids", [("one", "two"), ("two",), ()], ids=["both", "one", "none"])
@pytest.mark.parametrize("genes", [None, "id", "symbol"])
def test_identifiers_of_genes(run, species, tmp_path, capsys, with_ids, genes):
    pairs = pd.read_csv(species / "pairs.tsv", sep="\t")
    cells = {name: read_h5ad(species / f"{name}.h5ad") for name in ("one", "two")}
    ids = {
        "one": ensembl(cells["one"].var_names, "ENSG"),
        "two": ensembl(cells["two"].var_names, "ENSMUSG"),
    }
    for name, adata in cells.items():
        if name in with_ids:
            adata.var_names = [f"{ids[name][gene]}.3" for gene in adata.var_names]
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    table = pd.DataFrame(
        {
            "Gene stable ID": pairs["species1"].map(ids["one"]),
            "Gene name": pairs["species1"],
            "Mouse gene stable ID": pairs["species2"].map(ids["two"]),
            "Mouse gene name": pairs["species2"],
            "Mouse homology type": "ortholog_one2one",
        }
    )
    table.to_csv(tmp_path / "biomart.tsv", sep="\t", index=False)
    changes = {
        "--context": [f"human={tmp_path}/one.h5ad"],
        "--targets": [f"mouse={tmp_path}/two.h5ad"],
        "--orthologs": [tmp_path / "biomart.tsv"],
        "--model": [tmp_path / "model"],
        "--epochs": [1],
    }
    if genes:
        changes["--genes"] = [genes]
    # a kind that is asked for must be that of all
    fits = genes is None or with_ids == {"id": ("one", "two"), "symbol": ()}[genes]
    assert run(*command(species, tmp_path / "out", **changes)) == int(not fits)
    said = capsys.readouterr().err
    if fits:
        loaded = scs.ScSpecies.load(tmp_path / "model")
        alone = ~(
            pairs["species1"].duplicated(keep=False) | pairs["species2"].duplicated(keep=False)
        )
        assert len(loaded._targets["mouse"].pairs) == alone.sum() > 100
    else:
        assert ("--genes id" in said) == (genes == "symbol")
        assert not (tmp_path / "out").exists()


# --- refused before anything is trained ------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--context": ["one.h5ad"]}, "Expected NAME=FILE"),
        ({"--targets": ["a=x.h5ad", "a=y.h5ad"]}, "names 'a' twice"),
        ({"--targets": ["species1=x.h5ad"]}, "is the context already"),
        ({"--targets": ["species2=none.h5ad"]}, "none.h5ad does not exist"),
        ({"--targets": ["species2=none.csv"]}, "'.csv' is not known"),
        ({"--labels": ["type"]}, "one.h5ad: --labels type is not a column"),
        ({"--orthologs": ["rat=pairs.tsv"]}, "the targets are ['species2']"),
        ({"--orthologs": ["none.tsv"]}, "--orthologs: there is no file none.tsv"),
        ({"--batch": ["lane"]}, "--batch lane is not a column"),
        ({"--layer": ["log"]}, "--layer log"),
        ({"--raw": []}, "--raw: "),
        ({"--device": ["tpu"]}, "--device tpu"),
        ({"--model": ["{out}"]}, "--model {out} is where the cells are"),
        ({"--model": ["{out}/species1.h5ad"]}, "is where the cells are"),
        ({"--model": ["{full}"]}, "--model: {full} exists already"),
    ],
)
def test_wrong_input_is_one_clear_message(
    run, species, tmp_path, capsys, monkeypatch, changes, message
):
    monkeypatch.setattr(scs.ScSpecies, "train", lambda *_, **__: pytest.fail("trained"))
    out, full = tmp_path / "out", tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    changes = {k: [str(v).format(out=out, full=full) for v in vs] for k, vs in changes.items()}
    assert run(*command(species, out, **changes)) == 1
    said = capsys.readouterr().err
    assert message.format(out=out, full=full) in said
    assert "Traceback" not in said
    assert files_in(tmp_path) == {"full"}
    assert files_in(full) == {"notes.txt"}


@pytest.mark.parametrize("place", ["/proc/out", "{file}", "{file}/out"])
def test_no_place_to_write(run, species, tmp_path, capsys, monkeypatch, place):
    monkeypatch.setattr(scs.ScSpecies, "train", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / "file").touch()
    assert run(*command(species, place.format(file=tmp_path / "file"))) == 1
    assert "Error: " in capsys.readouterr().err
    assert files_in(tmp_path) == {"file"}


def test_options_come_before_the_folder(run, species, tmp_path):
    first, out, *options = command(species, tmp_path / "out")
    assert run(first, *options, "--quiet", "--overwrite", out) == 0
    other = tmp_path / "other"
    targets = options.index("--targets")
    assert run(first, *options[: targets + 2], other, *options[targets + 2 :], "--quiet") == 0
    assert files_in(other) == files_in(tmp_path / "out") == {"species1.h5ad", "species2.h5ad"}


def test_home_folders_and_capitals(run, species, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ONE.H5AD").write_bytes((species / "one.h5ad").read_bytes())
    (tmp_path / "pairs.tsv").write_bytes((species / "pairs.tsv").read_bytes())
    changes = {"--context": ["species1=~/ONE.H5AD"], "--orthologs": ["species2=~/pairs.tsv"]}
    assert run(*command(species, "~/a/out", **changes), "--quiet") == 0
    assert files_in(tmp_path / "a" / "out") == {"species1.h5ad", "species2.h5ad"}


# --- results are not lost --------------------------------------------------------------------


def test_cells_that_cannot_be_written_leave_their_results(
    run, species, tmp_path, capsys, monkeypatch
):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("scsystems.data.containers.write_cells", fail)
    assert run(*command(species, tmp_path / "out", **{"--model": [tmp_path / "model"]})) == 1
    said = capsys.readouterr().err
    assert "disk full" in said
    assert files_in(tmp_path) == {"out-species1.csv.gz", "out-species2.csv.gz", "model"}
    table = pd.read_csv(tmp_path / "out-species2.csv.gz", index_col=0)
    model = scs.ScSpecies.load(tmp_path / "model")
    np.testing.assert_allclose(
        table.iloc[:, :10], model.get_latent_representation("species2"), atol=1e-5
    )
    assert table["predicted.cell_type"].notna().all()


@pytest.mark.parametrize(("during", "written"), [("species1", set()), ("species2", {"out"})])
def test_interrupts(run, species, tmp_path, capsys, monkeypatch, during, written):
    seen = []

    def interrupted(epoch, *_):
        seen.append(epoch)
        if epoch == 1 and seen.count(1) == (1 if during == "species1" else 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(
        scspecies, "training_progress", lambda quiet: {"verbose": False, "callbacks": interrupted}
    )
    assert run(*command(species, tmp_path / "out")) == 130
    assert files_in(tmp_path) == written
    said = capsys.readouterr().err
    assert ("Nothing is written" in said) == (not written)
    assert said.rstrip().endswith("Interrupted.")


def test_help(run, capsys):
    assert run("scspecies", "--help") == 0
    assert "predicted.cell_type.novelty" in capsys.readouterr().out
    assert run("scspecies", "out") == 2
