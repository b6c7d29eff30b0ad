import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.data import checks
from scsystems.errors import InputError

FORMS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]


@pytest.mark.parametrize("form", FORMS)
def test_counts_are_told_from_log_values(form):
    counts = np.random.default_rng(0).poisson(2, (20, 5)).astype(float)
    assert checks.looks_like_counts(form(counts))
    assert not checks.looks_like_counts(form(np.log1p(counts)))


def test_integers_are_counts_and_empty_is_not():
    assert checks.looks_like_counts(np.array([[1, 0], [2, 3]]))
    assert not checks.looks_like_counts(sparse.csr_matrix((3, 2)))


def test_unique_names():
    checks.check_unique(pd.Index(["a", "b"]), "Gene names", "Fix it.")
    with pytest.raises(InputError, match=r"Gene names are not unique: 'a'.*Fix it\."):
        checks.check_unique(pd.Index(["a", "b", "a"]), "Gene names", "Fix it.")
