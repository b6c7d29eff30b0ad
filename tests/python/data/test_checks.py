import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.data import checks
from scsystems.errors import InputError, NonFiniteError

FORMS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_located(form, value):
    x = np.ones((4, 3))
    x[2, 1] = value
    with pytest.raises(NonFiniteError, match="cell 2, gene 1"):
        checks.check_finite_nonnegative(form(x), "adata.X")


@pytest.mark.parametrize("form", FORMS)
def test_negative_values_are_located(form):
    x = np.ones((4, 3))
    x[3, 2] = -0.5
    with pytest.raises(InputError, match=r"smallest -0.5.*cell 3, gene 2"):
        checks.check_finite_nonnegative(form(x), "adata.X")


@pytest.mark.parametrize("form", FORMS)
def test_counts_are_told_from_log_values(form):
    counts = np.random.default_rng(0).poisson(2, (20, 5)).astype(float)
    assert checks.looks_like_counts(form(counts))
    assert not checks.looks_like_counts(form(np.log1p(counts)))
    with pytest.raises(InputError, match="raw counts"):
        checks.check_log_normalized(form(counts), "adata.X")
    checks.check_log_normalized(form(np.log1p(counts)), "adata.X")
    with pytest.raises(InputError, match="does not hold raw counts"):
        checks.check_counts(form(np.log1p(counts)), "adata.X")
    checks.check_counts(form(counts), "adata.X")


def test_integers_are_counts_and_empty_is_not():
    assert checks.looks_like_counts(np.array([[1, 0], [2, 3]]))
    assert not checks.looks_like_counts(sparse.csr_matrix((3, 2)))


def test_normalized_but_not_logged_is_refused():
    with pytest.raises(InputError, match="too large for log-transformed"):
        checks.check_log_normalized(np.array([[10000.5, 0.3]]), "adata.X")


def test_unique_names():
    checks.check_unique(pd.Index(["a", "b"]), "Gene names", "Fix it.")
    with pytest.raises(InputError, match=r"Gene names are not unique: 'a'.*Fix it\."):
        checks.check_unique(pd.Index(["a", "b", "a"]), "Gene names", "Fix it.")
