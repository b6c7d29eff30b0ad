import logging
import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from scsystems.checks import anndata
from scsystems.data.matrix import PLAIN, expression, in_memory, plain
from scsystems.errors import InputError

DENSE = np.random.default_rng(0).poisson(1.0, (6, 4)).astype(np.float32)


class Lazy:
    """What dask makes of an array, as far as it matters."""

    shape = DENSE.shape

    def compute(self):
        return sparse.csr_array(DENSE)


def read_only(values):
    values.flags.writeable = False
    return values


def in_another_order(*parts):
    """What reading a file of another machine may leave."""
    matrix = sparse.csr_matrix(DENSE)
    for part in parts:
        values = getattr(matrix, part)
        setattr(matrix, part, values.astype(values.dtype.newbyteorder(">")))
    return matrix


def numpy_matrix():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(DENSE)


KINDS = {
    "dense": lambda: DENSE.copy(),
    "float64": lambda: DENSE.astype(np.float64),
    "float16": lambda: DENSE.astype(np.float16),
    "long double": lambda: DENSE.astype(np.longdouble),
    "another byte order": lambda: DENSE.astype(">f4"),
    "whole numbers": lambda: DENSE.astype(np.int16),
    "unsigned": lambda: DENSE.astype(np.uint8),
    "whole numbers of another order": lambda: DENSE.astype(">i8"),
    "objects": lambda: DENSE.astype(object),
    "Fortran order": lambda: np.asfortranarray(DENSE),
    "strided": lambda: np.repeat(DENSE, 2, axis=0)[::2],
    "read only": lambda: read_only(DENSE.copy()),
    "numpy.matrix": numpy_matrix,
    "masked, nothing left out": lambda: np.ma.MaskedArray(DENSE, mask=False),
    "data frame": lambda: pd.DataFrame(DENSE),
    "list": lambda: DENSE.tolist(),
    "csr": lambda: sparse.csr_matrix(DENSE),
    "csc": lambda: sparse.csc_matrix(DENSE),
    "coo": lambda: sparse.coo_matrix(DENSE),
    "lil": lambda: sparse.lil_matrix(DENSE),
    "csr array": lambda: sparse.csr_array(DENSE),
    "csc array": lambda: sparse.csc_array(DENSE),
    "csr, another byte order": lambda: in_another_order("data"),
    "csr, indices of another order": lambda: in_another_order("indices", "indptr"),
    "view": lambda: AnnData(np.vstack([DENSE, DENSE]))[:6].X,
    "sparse view": lambda: AnnData(sparse.csr_matrix(np.vstack([DENSE, DENSE])))[:6].X,
    "lazy": Lazy,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_plain_matrix_of_the_same_values(kind):
    given = KINDS[kind]() if kind != "list" else np.array(KINDS[kind]())
    found = plain(given, "X")
    assert type(found) in PLAIN
    assert found.dtype.isnative
    assert found.dtype.kind in "iuf"
    assert found.dtype.itemsize <= 8
    if sparse.issparse(found):
        assert found.indices.dtype.isnative
        found = found.toarray()
    np.testing.assert_array_equal(found, DENSE)


@pytest.mark.parametrize("kind", ["dense", "float64", "whole numbers", "read only", "csr", "csc"])
def test_a_plain_matrix_is_not_copied(kind):
    given = KINDS[kind]()
    assert plain(given, "X") is given
    adata = AnnData(given)
    assert expression(adata) is adata.X
    assert in_memory(adata) is adata


def test_a_sparse_array_shares_its_values():
    given = sparse.csr_array(DENSE)
    assert np.shares_memory(plain(given, "X").data, given.data)


def test_a_view_is_taken_out_once():
    adata = AnnData(DENSE, layers={"counts": sparse.csr_matrix(DENSE)}, uns={"a": 1})
    adata.obs["x"] = range(6)
    adata.obsm["e"] = DENSE
    for layer in (None, "counts"):
        view = adata[[1, 3], [2, 0]]
        found = in_memory(view, layer)
        assert not found.is_view
        assert view.is_view
        values = expression(found, layer)
        values = values if layer is None else values.toarray()
        np.testing.assert_array_equal(values, DENSE[[1, 3]][:, [2, 0]])
        assert list(found.obs["x"]) == [1, 3]
        assert found.uns["a"] == 1
        np.testing.assert_array_equal(found.obsm["e"], DENSE[[1, 3]])


@pytest.mark.parametrize("as_sparse", [False, True])
def test_what_is_on_disk_is_read_and_told_of(as_sparse, tmp_path, caplog):
    AnnData(sparse.csr_matrix(DENSE) if as_sparse else DENSE).write_h5ad(tmp_path / "a.h5ad")
    adata = read_h5ad(tmp_path / "a.h5ad", backed="r")
    with caplog.at_level(logging.INFO, "scsystems"):
        found = expression(adata)
    assert type(found) in PLAIN
    assert (found != DENSE).sum() == 0
    assert "Reading adata.X into memory: 6 cells x 4 genes" in caplog.text
    part = expression(adata[[4, 0]])
    assert (part != DENSE[[4, 0]]).sum() == 0
    assert type(in_memory(adata).X) in PLAIN
    adata.file.close()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (None, "X is empty. Name the layer to use with the argument `?layer"),
        (np.ma.masked_equal(DENSE, 0), r"masked array with \d+ values left out"),
        (DENSE.astype(complex), "values of type complex128"),
        (DENSE.astype(str), "values of type <U"),
        (np.array([["a", 1]], dtype=object), "no numbers"),
        (np.zeros((2, 2), "M8[s]"), r"values of type datetime64\[s\]"),
        (sparse.csr_matrix(DENSE.astype(complex)), "values of type complex128"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
    ],
)
def test_what_holds_no_numbers_is_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        plain(matrix, "X")


def test_a_matrix_on_another_device_is_refused_in_words():
    class OnGpu:
        shape = DENSE.shape

        def __array__(self, *_, **__):
            raise TypeError("no implicit conversion")

    with pytest.raises(InputError, match=r"OnGpu, which cannot be read .*no implicit conversion"):
        plain(OnGpu(), "X")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a.h5ad", r"is of type str. Expected an AnnData. .*read_h5ad"),
        (b"a.h5ad", "read_h5ad"),
        ([AnnData(DENSE)], r"type list. .*anndata.concat"),
        (pd.DataFrame(DENSE), r"type DataFrame. .*AnnData\(matrix"),
        (None, "type NoneType"),
    ],
)
def test_other_things_than_an_anndata(given, message):
    with pytest.raises(InputError, match=message):
        anndata("adata", given)
    with pytest.raises(InputError, match=message):
        expression(given)


def test_a_path_and_a_mudata(tmp_path):
    with pytest.raises(InputError, match=r"reference is of type .*Path.*read_h5ad"):
        anndata("reference", tmp_path)

    class MuData:
        def __init__(self):
            self.mod = {"rna": AnnData(DENSE)}

    with pytest.raises(InputError, match=r"MuData.*mdata\['rna'\]"):
        anndata("adata", MuData())


def test_an_unknown_layer_names_those_there():
    with pytest.raises(InputError, match=r"'log'.*counts"):
        expression(AnnData(DENSE, layers={"counts": DENSE}), "log")
