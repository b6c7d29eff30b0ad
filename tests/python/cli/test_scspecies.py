"""``scsystems scspecies`` on files: what is written, and what is refused."""

from contextlib import nullcontext

import numpy as np
import pytest
from anndata import read_h5ad, read_zarr

import scsystems as scs
from scsystems.cli import parser as cli
from scsystems.tools.novelty import THRESHOLD


@pytest.fixture(scope="module")
def species(tmp_path_factory):
    """A folder with two species' cells and their orthologues."""
    folder = tmp_path_factory.mktemp("species")
    cells, table = scs.datasets.simulated_by_species(
        n_cells=300, n_genes=200, n_types=3, own_types=False
    )
    cells["species1"].write_h5ad(folder / "one.h5ad")
    cells["species2"].write_h5ad(folder / "two.h5ad")
    table.pairs.to_csv(folder / "pairs.tsv", sep="\t", index=False)
    return folder


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def command(species, out, **changes):
    options = {
        "--context": [f"species1={species / 'one.h5ad'}"],
        "--targets": [f"species2={species / 'two.h5ad'}"],
        "--labels": ["cell_type"],
        "--orthologues": [species / "pairs.tsv"],
        "--epochs": [2],
        **changes,
    }
    return ["scspecies", out, *(a for name, values in options.items() for a in (name, *values))]


def test_files_get_embedding_and_labels(species, tmp_path, capsys, monkeypatch):
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
def test_every_file_is_written_back_in_its_own_kind(species, tmp_path):
    read_h5ad(species / "two.h5ad").write_zarr(tmp_path / "two.zarr")
    out = tmp_path / "aligned"
    changes = {"--targets": [f"species2={tmp_path / 'two.zarr'}"]}
    assert run(*command(species, out, **changes), "--quiet") == 0
    assert {path.name for path in out.iterdir()} == {"species1.h5ad", "species2.zarr"}
    assert "predicted.cell_type" in read_zarr(out / "species2.zarr").obs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--context": ["one.h5ad"]}, "Expected NAME=FILE"),
        ({"--targets": ["a=x.h5ad", "a=y.h5ad"]}, "names 'a' twice"),
        ({"--targets": ["species1=x.h5ad"]}, "is the context already"),
        ({"--targets": ["species2=none.h5ad"]}, "none.h5ad does not exist"),
        ({"--labels": ["type"]}, "'type'"),
        ({"--orthologues": ["rat=pairs.tsv"]}, "the targets are ['species2']"),
        ({"--orthologues": ["none.tsv"]}, "none.tsv"),
        ({"--batch": ["lane"]}, "'lane'"),
        ({"--layer": ["raw"]}, "'raw'"),
        ({"--epochs": [0]}, "max_epochs=0"),
    ],
)
def test_wrong_input_is_one_clear_message(species, tmp_path, capsys, changes, message):
    assert run(*command(species, tmp_path / "out", **changes)) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_help(capsys):
    assert run("scspecies", "--help") == 0
    assert "predicted.cell_type.novelty" in capsys.readouterr().out
    assert run("scspecies", "out") == 2
