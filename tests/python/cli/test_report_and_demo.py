"""``--report`` of ``scsystems sysvi``, and ``scsystems demo``."""

from anndata import read_h5ad

from scsystems.cli import main

BASE = ("--system", "system", "--epochs", 1, "--quiet")


def test_a_report_is_written_beside_the_result(run, file, tmp_path, capsys):
    out, report = tmp_path / "out.h5ad", tmp_path / "report.html"
    ask = (*BASE, "--report-labels", "cell_type", "--report", report)
    assert run("sysvi", file, out, *ask) == 0, capsys.readouterr().err
    page = report.read_text(encoding="utf8")
    assert "240 cells" in page
    assert "cell_type" in page
    # existing ones are safe
    assert run("sysvi", file, tmp_path / "other.h5ad", *ask) == 1
    assert f"--report {report} exists already" in capsys.readouterr().err
    assert report.read_text(encoding="utf8") == page


def test_cells_on_disk_are_reported_by_the_labels_the_model_was_told(run, file, tmp_path, capsys):
    out, report = tmp_path / "out.h5ad", tmp_path / "report.html"
    ask = (*BASE, "--on-disk", "--all-genes", "--labels", "cell_type", "--report", report)
    assert run("sysvi", file, out, *ask) == 0, capsys.readouterr().err
    page = report.read_text(encoding="utf8")
    assert "labels that it was told" in page
    assert "jaccard, after" in page


def test_a_report_that_cannot_be_is_refused_before_training(run, file, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    for given, said in (
        (("--report", tmp_path / "report.pdf"), "ending in .html or .md"),
        (("--report", tmp_path / "no" / "report.html"), "no such folder"),
        (("--report-labels", "cell_type"), "there is no --report"),
        (("--report", tmp_path / "r.html", "--report-labels", "kind"), "kind"),
    ):
        assert run("sysvi", file, out, *BASE, *given) == 1
        assert said in capsys.readouterr().err
    assert not out.exists()


def test_the_demo_leaves_cells_picture_and_report(tmp_path, capsys):
    folder = tmp_path / "demo"
    ask = ["demo", str(folder), "--cells", "200", "--epochs", "2", "--quiet"]
    assert main(ask) == 0, capsys.readouterr().err
    assert "report.html" in capsys.readouterr().out
    cells = read_h5ad(folder / "cells.h5ad")
    assert cells.obsm["X_sysvi"].shape == (200, 15)
    assert (folder / "umap.png").stat().st_size > 10_000
    assert "only_species1" in (folder / "report.html").read_text(encoding="utf8")
    assert main(ask) == 1
    assert "--overwrite" in capsys.readouterr().err
