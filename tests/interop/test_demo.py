"""The demo from end to end, with a few epochs of training."""

import csv

import pytest


@pytest.mark.slow
def test_the_demo_leaves_pictures_metrics_object_and_model(root, run, library, tmp_path):
    out = tmp_path / "demo"
    settings = {"R_LIBS": str(library), "SCSYSTEMS_DEMO": str(out), "SCSYSTEMS_DEMO_EPOCHS": "2"}
    done = run("Rscript", root / "scripts" / "demo.R", cwd=tmp_path, env=settings)
    assert "before" in done.stdout
    for name in ("umap.png", "umap_before.png", "umap_after.png", "pancreas.rds"):
        assert (out / name).stat().st_size > 10_000
    assert (out / "model" / "model.safetensors").is_file()
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    overall = {
        (r["embedding"], r["metric"]): float(r["value"]) for r in rows if r["level"] == "overall"
    }
    assert {name for name, _ in overall} == {"pca", "sysvi"}
    # unintegrated species hardly mix: the table is about these cells
    assert overall["pca", "ilisi"] < 0.1
    # it says which cells it used
    assert "Baron" in done.stderr or "simulated" in done.stderr
