import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from scsystems.data import stores
from scsystems.errors import InputError, StoreError


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    x = sparse.csr_matrix(rng.poisson(0.5, (70, 9)).astype(np.float32))
    obs = pd.DataFrame(
        {"donor": pd.Categorical(["a", "b"] * 35)}, index=[f"c{i}" for i in range(70)]
    )
    var = pd.DataFrame({"gene_mouse": list("abcdefghi")}, index=list("ABCDEFGHI"))
    return AnnData(x, obs=obs, var=var)


def test_what_is_written_by_blocks_is_read_as_a_whole(cells, tmp_path):
    path = tmp_path / "new.h5ad"
    with stores.writing(path, ("X", "layers/counts"), 9) as writer:
        for rows in (slice(0, 30), slice(30, 31), slice(31, 70)):
            writer.append("X", cells.X[rows].log1p())
            writer.append("layers/counts", cells.X[rows])
        assert not path.exists()
        writer.close(cells.obs, cells.var, {"preparation": {"n_selected": 9}})
    got = read_h5ad(path)
    np.testing.assert_array_equal(got.X.toarray(), np.log1p(cells.X.toarray()))
    np.testing.assert_array_equal(got.layers["counts"].toarray(), cells.X.toarray())
    pd.testing.assert_frame_equal(got.obs, cells.obs)
    pd.testing.assert_frame_equal(got.var, cells.var)
    assert got.uns["preparation"]["n_selected"] == 9
    assert [p.name for p in tmp_path.iterdir()] == ["new.h5ad"]


def test_a_file_that_is_not_finished_is_not_there(cells, tmp_path):
    path = tmp_path / "old.h5ad"
    cells.write_h5ad(path)
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), stores.writing(path, ("X",), 9) as writer:  # noqa: PT012
        writer.append("X", cells.X)
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["old.h5ad"]


def test_a_full_disk_is_said_in_words(cells, tmp_path, monkeypatch):
    def full(self, key, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores.StoreWriter, "append", full)
    with (
        pytest.raises(StoreError, match=r"new.h5ad could not be written .*No space left"),
        stores.writing(tmp_path / "new.h5ad", ("X",), 9) as writer,
    ):
        writer.append("X", cells.X)
    assert not list(tmp_path.iterdir())


def test_opened_cells_have_their_data_in_memory_and_their_matrix_on_disk(cells, tmp_path):
    cells.layers["counts"] = cells.X.copy()
    cells.write_h5ad(tmp_path / "x.h5ad")
    opened = stores.open_store(tmp_path / "x.h5ad", "counts")
    pd.testing.assert_frame_equal(opened.obs, cells.obs)
    assert list(opened.var_names) == list("ABCDEFGHI")
    np.testing.assert_array_equal(opened.matrix[:5].toarray(), cells.X[:5].toarray())
    with pytest.raises(InputError, match="has no layers/nope"):
        stores.open_store(tmp_path / "x.h5ad", "nope")


def test_a_file_without_cell_data_is_refused(cells, tmp_path):
    cells.write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "a") as file:
        del file["obs"]
    with pytest.raises(StoreError, match="obs could not be read"):
        stores.open_store(tmp_path / "x.h5ad")


def test_outputs_that_cannot_be_written_are_refused_at_once(tmp_path):
    (tmp_path / "there.h5ad").touch()
    with pytest.raises(InputError, match="exists already"):
        stores.check_output(tmp_path / "there.h5ad", False)
    assert stores.check_output(tmp_path / "there.h5ad", True).name == "there.h5ad"
    with pytest.raises(InputError, match=r"\.h5ad file"):
        stores.check_output(tmp_path / "x.zarr", False)
    with pytest.raises(InputError, match="does not exist or cannot be written"):
        stores.check_output(tmp_path / "none" / "x.h5ad", False)
