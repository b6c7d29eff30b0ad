import warnings

import numpy as np
import pytest
from anndata import AnnData
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
    matrix = DiskMatrix(store, key, columns)
    wanted = x if columns is None else x[:, columns]
    assert matrix.shape == wanted.shape
    got = matrix[rows]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.toarray(), wanted[rows])


def test_counts_are_normalized_on_the_way(store, x):
    factors = 1e4 / np.maximum(x.sum(1), 1)
    got = DiskMatrix(store, "X", [1, 2], factors)[10:60].toarray()
    np.testing.assert_allclose(got, np.log1p(x * factors[:, None])[10:60, [1, 2]], rtol=1e-6)


def test_blocks_go_through_all_rows(store, x):
    parts = list(DiskMatrix(store).blocks(64))
    assert [p for p, _ in parts][-1] == slice(256, N)
    np.testing.assert_array_equal(sparse.vstack([m for _, m in parts]).toarray(), x)


def test_what_cannot_be_read_by_cells_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"stored by genes .*tocsr"):
        DiskMatrix(store, "layers/genes")
    with pytest.raises(InputError, match="has no layers/nope"):
        DiskMatrix(store, "layers/nope")
    with pytest.raises(InputError, match="stored as 'dataframe'"):
        DiskMatrix(store, "obs")
    with pytest.raises(InputError, match="does not exist"):
        DiskMatrix(tmp_path / "none.h5ad")


def test_damaged_files_are_refused_naming_the_cells(store):
    matrix = DiskMatrix(store)
    matrix._values = matrix._values[:200]
    with pytest.raises(StoreError, match=r"cells 250 to 299 \(counting from 0\) of X could not be"):
        matrix[250:]
    if store.suffix == ".h5ad":
        short = store.with_stem("short")
        short.write_bytes(store.read_bytes()[:1000])
        with pytest.raises(StoreError, match="could not be read"):
            DiskMatrix(short)


def test_a_store_that_has_changed_is_refused(store):
    matrix = DiskMatrix(store)
    matrix.check_unchanged()
    inner = store if store.is_file() else next(store.glob("X/zarr.json"), store / "X/.zattrs")
    inner.write_bytes(inner.read_bytes() + b" ")
    with pytest.raises(StoreError, match="has changed since it was opened"):
        matrix.check_unchanged()


def test_rows_near_one_another_are_read_at_once():
    runs = disk._runs(np.array([0, 5, 5, 30, 100, 101]))
    assert [r.tolist() for r in runs] == [[0, 5, 5, 30], [100, 101]]
