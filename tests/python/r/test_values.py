import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.errors import InputError
from scsystems.r import values


@pytest.fixture
def matrix():
    """Cells x genes."""
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.7, (6, 4)).astype(float)
    dense[2] = 0
    return dense


def slots(matrix):
    """The slots of R's genes x cells dgCMatrix, by way of scipy's own column form."""
    csc = sparse.csc_matrix(matrix.T)
    return {
        "data": csc.data,
        "indices": csc.indices,
        "indptr": csc.indptr,
        "shape": list(csc.shape),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slots_are_the_transposed_matrix(matrix, dtype):
    made = values.matrix_from_parts(slots(matrix), dtype=dtype)
    assert made.format == "csr"
    assert made.dtype == dtype
    np.testing.assert_array_equal(made.toarray(), matrix)


def test_dense_is_cells_by_genes_in_rows(matrix):
    made = values.matrix_from_parts({"dense": np.asfortranarray(matrix.T)})
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, matrix.astype(np.float32))


def test_missing_integers_become_nan():
    made = values.matrix_from_parts({"dense": np.array([[1, values.INTEGER_NA]], dtype=np.int32)})
    assert made[0, 0] == 1
    assert np.isnan(made[1, 0])


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix])
def test_sparse_forms_give_sorted_slots(matrix, form):
    parts = values.matrix_to_parts(form(matrix))
    expected = slots(matrix)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(parts[name], expected[name])
    assert parts["shape"] == [4, 6]
    assert (parts["data"].dtype, parts["indices"].dtype) == (np.float64, np.int32)


def test_matrix_that_is_too_large_for_r_is_refused(matrix, monkeypatch):
    monkeypatch.setattr(values, "MAX_ENTRIES", 3)
    with pytest.raises(InputError, match="ask for fewer cells"):
        values.matrix_to_parts(sparse.csr_matrix(matrix))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.Categorical(["a", None, "b"], categories=["b", "c", "a"], ordered=True)),
        pd.Series(["x", None, ""], dtype=object),
        pd.Series([True, False, True]),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1, 2, -5], dtype=np.int32),
        pd.Series([1, None, -5], dtype="Int32"),
        pd.Series([0.5, np.nan, np.inf]),
    ],
    ids=["factor", "text", "bool", "boolean", "int32", "Int32", "float"],
)
def test_columns_come_back_as_they_went(column):
    back = pd.Series(values.column_from_parts(values.column_to_parts(column)))
    # which kind of text they are is up to the release of pandas
    if pd.api.types.is_string_dtype(column.dtype):
        assert pd.api.types.is_string_dtype(back.dtype)
        assert back.isna().tolist() == column.isna().tolist()
        assert back.dropna().tolist() == column.dropna().tolist()
        return
    pd.testing.assert_series_equal(back, column, check_categorical=False)
    if isinstance(column.dtype, pd.CategoricalDtype):
        assert list(back.cat.categories) == list(column.cat.categories)
        assert back.cat.ordered == column.cat.ordered


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series([1, 2], dtype=np.int64), "integer"),
        (pd.Series([1, 2**40], dtype=np.int64), "double"),
        (pd.Series([1, None], dtype="Int64"), "integer"),
        (pd.Series([1.5, 2], dtype=np.float32), "double"),
        (pd.Series(["a", None], dtype="string"), "character"),
        (pd.Series([3, "mixed"], dtype=object), "character"),
    ],
)
def test_other_types_find_the_kind_r_has(column, kind):
    assert values.column_to_parts(column)["kind"] == kind


def test_categories_that_are_numbers_become_text():
    parts = values.column_to_parts(pd.Series(pd.Categorical([3, 1])))
    assert parts["levels"] == ["1", "3"]


def test_unknown_kind_is_refused():
    with pytest.raises(InputError, match="complex"):
        values.column_from_parts({"kind": "complex", "values": [1j]})


def test_frame_has_the_names_as_index():
    frame = pd.DataFrame(
        {"n": np.array([1, 2], np.int32)}, index=pd.Index(["a", "b"], dtype=object)
    )
    back = values.frame_from_parts(values.frame_to_parts(frame), ["a", "b"])
    pd.testing.assert_frame_equal(back, frame)
