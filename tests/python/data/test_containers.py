import numpy as np
import pytest
from anndata import read_h5ad, read_zarr

from scsystems.data import containers
from scsystems.errors import InputError, MissingExtraError


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_what_is_read_is_written_back_with_the_embedding(adata, tmp_path, suffix):
    adata.raw = adata.copy()
    adata.obsp["near"] = adata.X @ adata.X.T
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    getattr(adata, f"write_{suffix[1:]}")(source)
    cells = containers.open_cells(source)
    assert cells.kind == "AnnData"
    z = np.random.default_rng(0).normal(size=(adata.n_obs, 3)).astype(np.float32)
    cells.add_embedding(cells.default_name, z)
    for _ in range(2):  # over itself as well
        containers.write_cells(cells, target)
    again = (read_zarr if suffix == ".zarr" else read_h5ad)(target)
    np.testing.assert_array_equal(again.obsm["X_sysvi"], z)
    assert (again.X != adata.X).nnz == 0
    assert (again.layers["counts"] != adata.layers["counts"]).nnz == 0
    assert again.raw.shape == adata.shape
    assert "near" in again.obsp
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, target.name])


def test_a_layer_takes_the_place_of_x(adata, tmp_path):
    adata.obsm["X_pca"] = np.zeros((adata.n_obs, 2))
    adata.write_h5ad(tmp_path / "a.h5ad")
    cells = containers.open_cells(tmp_path / "a.h5ad", layer="counts")
    assert (cells.adata.X != adata.layers["counts"]).nnz == 0
    assert "X_pca" in cells.adata.obsm
    cells.add_embedding("X_new", np.ones((adata.n_obs, 2)))
    cells.write(tmp_path / "b.h5ad")
    again = read_h5ad(tmp_path / "b.h5ad")
    assert (again.X != adata.X).nnz == 0
    assert "X_new" in again.obsm


def test_bad_files(adata, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        containers.open_cells(tmp_path / "none.h5ad")
    with pytest.raises(InputError, match=r"'.csv' is not known. Expected .h5ad, .zarr, .rds"):
        containers.open_cells(tmp_path / "a.csv")
    (tmp_path / "bad.h5ad").write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"bad.h5ad could not be read"):
        containers.open_cells(tmp_path / "bad.h5ad")
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="layer='log' is not in"):
        containers.open_cells(tmp_path / "a.h5ad", layer="log")
    with pytest.raises(InputError, match=r"assay.*'RNA'"):
        containers.open_cells(tmp_path / "a.h5ad", assay="RNA")


def test_targets(tmp_path):
    (tmp_path / "there.h5ad").touch()
    check = containers.check_target
    check("in.h5ad", tmp_path / "new.zarr", overwrite=False)
    check("in.h5ad", tmp_path / "there.h5ad", overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        check("in.h5ad", tmp_path / "there.h5ad", overwrite=False)
    for source, target in (("in.h5ad", "out.rds"), ("in.rds", "out.h5ad")):
        with pytest.raises(InputError, match="same kind of object"):
            check(source, tmp_path / target, overwrite=False)
    with pytest.raises(InputError, match=r"folder .* does not exist"):
        check("in.h5ad", tmp_path / "no" / "out.h5ad", overwrite=False)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    class Broken:
        def write(self, path):
            path.write_text("half")
            raise OSError("disk full")

    target = tmp_path / "t.h5ad"
    target.write_text("old")
    with pytest.raises(OSError, match="disk full"):
        containers.write_cells(Broken(), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_without_rpy2_the_message_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "rpy2.rinterface", None)
    (tmp_path / "a.rds").touch()
    with pytest.raises(MissingExtraError, match=r"scsystems\[r\]"):
        containers.open_cells(tmp_path / "a.rds")
