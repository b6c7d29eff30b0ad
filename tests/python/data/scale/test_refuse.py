import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.data.scale.judge import groups_of
from scsystems.data.scale.refuse import check_counts, check_logs
from scsystems.errors import InputError, NonFiniteError

FORMS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]
COUNTS = (
    np.random.default_rng(0)
    .poisson(np.random.default_rng(1).gamma(2, 1, 60) * 2, (200, 60))
    .astype(float)
)
LOGS = np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 1e4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("check", [check_counts, check_logs])
def test_non_finite_values_are_located(form, value, check):
    x = np.ones((4, 3))
    x[2, 1] = value
    with pytest.raises(NonFiniteError, match="cell 2, gene 1"):
        check(form(x), "adata.X")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("check", [check_counts, check_logs])
def test_negative_values_are_located(form, check):
    x = np.ones((4, 3))
    x[3, 2] = -0.5
    with pytest.raises(InputError, match=r"smallest -0.5.*cell 3, gene 2"):
        check(form(x), "adata.X")


@pytest.mark.parametrize("form", FORMS)
def test_counts_and_logarithms_are_told_from_each_other(form):
    check_logs(form(LOGS), "adata.X")
    check_counts(form(COUNTS), "adata.X")
    with pytest.raises(InputError, match="looks like raw counts"):
        check_logs(form(COUNTS), "adata.X")
    with pytest.raises(InputError, match="does not hold raw counts: it looks log-transformed"):
        check_counts(form(LOGS), "adata.X")


@pytest.mark.parametrize("scale", [0.97, 10.0, 1e4])
def test_what_was_normalized_but_not_logged_is_refused(scale):
    values = COUNTS * scale if scale < 1 else COUNTS / COUNTS.sum(1, keepdims=True) * scale
    with pytest.raises(InputError, match=r"not log-transformed|too large|with fractions"):
        check_logs(values, "adata.X")


@pytest.mark.parametrize("form", FORMS)
def test_one_sample_of_another_kind_is_named(form):
    sample = np.repeat(["s1", "s2", "s3", "s4"], 50)
    groups = groups_of(pd.DataFrame({"sample": sample}), ["sample"])
    mixed = np.where((sample == "s3")[:, None], COUNTS, LOGS)
    with pytest.raises(InputError, match=r"looks like raw counts .* with 's3' in .*sample"):
        check_logs(form(mixed), "adata.X", groups)
    with pytest.raises(InputError, match=r"looks log-transformed .* with 's1', 's2', 's4' in"):
        check_counts(form(mixed), "adata.X", groups)


def test_fractions_of_counts_are_taken_only_where_they_are_asked_for():
    corrected = COUNTS - np.minimum(COUNTS, np.random.default_rng(2).random(COUNTS.shape) * 0.4)
    with pytest.raises(InputError, match="round"):
        check_counts(corrected, "adata.X")
    check_counts(corrected, "adata.X", fractional=True)
    with pytest.raises(InputError, match="fractions"):
        check_logs(corrected, "adata.X")
