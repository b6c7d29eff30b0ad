import warnings

import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from scsystems.data import disk
from scsystems.data.disk import DiskMatrix
from scsystems.errors import InputError, StoreError

N, G = 300, 17


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return rng.poisson(0.4, (N, G)).astype(np.float32)


@pytest.fixture(params=["h5ad", "zarr"])
def store(request, tmp_path, x):
    """A file with counts in X (CSR), and dense, CSR and CSC layers."""
    adata = AnnData(sparse.csr_matrix(x))
    adata.layers["dense"] = x.astype(np.float64)
    adata.layers["genes"] = sparse.csc_matrix(x)
    path = tmp_path / f"cells.{request.param}"
    if request.param == "zarr":
        pytest.importorskip("zarr", reason="zarr is not installed: zarr stores are NOT tested here")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Writing zarr v2")
            adata.write_zarr(path)
    else:
        adata.write_h5ad(path)
    return path


@pytest.mark.parametrize("key", ["X", "layers/dense"])
@pytest.mark.parametrize("columns", [None, [3, 0, 16], []])
@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(7, 20),
        slice(20, 7),
        slice(1, 50, 7),
        np.array([299, 0, 5, 5, 120]),
        np.arange(N) % 3 == 0,
        np.array([], int),
    ],
    ids=str,
)
def test_rows_are_those_of_the_matrix(store, x, key, columns, rows):
    matrix = DiskMatrix.open(store, key, columns)
    wanted = x if columns is None else x[:, columns]
    assert matrix.shape == wanted.shape
    got = matrix[rows]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.toarray(), wanted[rows])


def test_counts_are_normalized_on_the_way(store, x):
    factors = 1e4 / np.maximum(x.sum(1), 1)
    got = DiskMatrix.open(store, "X", [1, 2], factors)[10:60].toarray()
    np.testing.assert_allclose(got, np.log1p(x * factors[:, None])[10:60, [1, 2]], rtol=1e-6)


def test_columns_of_columns(store, x):
    matrix = DiskMatrix.open(store, "X", [5, 2, 9]).take_columns([2, 0])
    np.testing.assert_array_equal(matrix[4:9].toarray(), x[4:9][:, [9, 5]])


@pytest.mark.parametrize("dense", [True, False])
def test_the_matrix_of_an_opened_anndata(tmp_path, x, dense):
    AnnData(x if dense else sparse.csr_matrix(x)).write_h5ad(tmp_path / "x.h5ad")
    opened = read_h5ad(tmp_path / "x.h5ad", backed="r")
    matrix = disk.on_disk(opened.X)
    np.testing.assert_array_equal(matrix[:].toarray(), x)
    assert (matrix.path, matrix.key) == (tmp_path / "x.h5ad", "X")
    opened.file.close()
    assert disk.on_disk(x) is None
    assert disk.on_disk(sparse.csr_matrix(x)) is None


def test_a_zarr_store_in_an_anndata(tmp_path, x):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed: zarr is NOT tested here")
    anndata_io = pytest.importorskip("anndata.io", reason="anndata is too old for this")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Writing zarr v2")
        AnnData(sparse.csr_matrix(x)).write_zarr(tmp_path / "x.zarr")
    group = zarr.open_group(str(tmp_path / "x.zarr"), mode="r")
    matrix = disk.on_disk(anndata_io.sparse_dataset(group["X"]))
    np.testing.assert_array_equal(matrix[3:8].toarray(), x[3:8])
    assert (matrix.path, matrix.key) == (tmp_path / "x.zarr", "X")


def test_blocks_go_through_all_rows(store, x):
    parts = list(DiskMatrix.open(store).blocks(64))
    assert [p for p, _ in parts][-1] == slice(256, N)
    np.testing.assert_array_equal(sparse.vstack([m for _, m in parts]).toarray(), x)


def test_what_cannot_be_read_by_cells_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"stored by genes .*tocsr"):
        DiskMatrix.open(store, "layers/genes")
    with pytest.raises(InputError, match="has no layers/nope"):
        DiskMatrix.open(store, "layers/nope")
    with pytest.raises(InputError, match="stored as 'dataframe'"):
        DiskMatrix.open(store, "obs")
    with pytest.raises(InputError, match="does not exist"):
        DiskMatrix.open(tmp_path / "none.h5ad")


def test_damaged_files_are_refused_naming_the_cells(store):
    matrix = DiskMatrix.open(store)
    matrix._values = matrix._values[:200]
    with pytest.raises(StoreError, match=r"cells 250 to 299 \(counting from 0\) of X could not be"):
        matrix[250:]
    if store.suffix == ".h5ad":
        short = store.with_stem("short")
        short.write_bytes(store.read_bytes()[:1000])
        with pytest.raises(StoreError, match="could not be read"):
            DiskMatrix.open(short)


def test_a_store_that_has_changed_is_refused(store):
    matrix = DiskMatrix.open(store)
    matrix.check_unchanged()
    inner = store if store.is_file() else next(store.glob("X/zarr.json"), store / "X/.zattrs")
    inner.write_bytes(inner.read_bytes() + b" ")
    with pytest.raises(StoreError, match="has changed since it was opened"):
        matrix.check_unchanged()


def test_rows_near_one_another_are_read_at_once():
    runs = disk._runs(np.array([0, 5, 5, 30, 100, 101]))
    assert [r.tolist() for r in runs] == [[0, 5, 5, 30], [100, 101]]


@pytest.mark.parametrize("key", ["X", "layers/dense"])
def test_columns_are_left_out_of_few_rows_at_a_time(store, x, key, monkeypatch):
    reads, read = [], DiskMatrix._read

    def counted(self, start, stop):
        reads.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(DiskMatrix, "_read", counted)
    monkeypatch.setattr(disk, "ROWS", 50)
    matrix = DiskMatrix.open(store, key)[:, np.array([3, 0, 16])]
    np.testing.assert_array_equal(matrix[:].toarray(), x[:, [3, 0, 16]])
    factors = np.linspace(0.5, 2, N)
    found = matrix.normalized(factors)
    expected = np.log1p(x[:, [3, 0, 16]] * factors[:, None])
    np.testing.assert_allclose(found[:].toarray(), expected, rtol=1e-5)
    # rows that lie near one another are read together, but no more of them
    few = np.arange(0, N, 20)
    np.testing.assert_allclose(found[few].toarray(), expected[few], rtol=1e-5)
    assert max(reads) == 50
