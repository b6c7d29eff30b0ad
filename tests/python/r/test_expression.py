import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scsystems.r import bridge, expression

BASES = (np.e, 2.0, 10.0)


def value(result):
    assert result["error"] is None, result["error"]
    return result["value"]


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    mean = rng.gamma(1, 3, 80) * rng.gamma(5, 0.2, (60, 1))
    return rng.poisson(mean) + np.eye(60, 80, dtype=int)


def logs(counts, total=1e4, base=np.e):
    total = np.broadcast_to(total, len(counts))[:, None]
    return np.log1p(counts / counts.sum(1, keepdims=True) * total) / np.log(base)


def judged(matrix, codes=None):
    codes = np.zeros(len(matrix), int) if codes is None else codes
    return expression.judge_groups(sparse.csr_matrix(matrix, dtype=np.float32), codes)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("total", [300.0, 1e4, 1e6])
def test_total_and_base_of_logarithms_are_told(counts, base, total):
    found = judged(logs(counts, total, base))
    assert found["kind"] == ["log"]
    np.testing.assert_allclose(found["target_sum"], total, rtol=1e-3)
    np.testing.assert_allclose(found["base"], base)
    np.testing.assert_allclose([found["log_target_sum"], found["log_base"]], [total, base], 1e-3)


def test_logarithms_without_one_total_are_logarithms(counts):
    found = judged(logs(counts, np.linspace(5e3, 2e4, len(counts))))
    assert found["kind"] == ["log"]
    assert np.isnan(found["target_sum"]).all()


@pytest.mark.parametrize("factor", [0.97, 1e4, 1e6])
def test_what_is_no_logarithm_is_not_taken_for_one(counts, factor):
    per_cell = factor / counts.sum(1, keepdims=True) if factor > 1 else factor
    assert judged(counts * per_cell)["kind"] == ["fractional"]
    assert judged(counts)["kind"] == ["counts"]


def test_groups_are_judged_apart_and_logarithms_together(counts):
    codes = np.arange(60) % 3
    mixed = np.select(
        [codes[:, None] == 0, codes[:, None] == 1], [logs(counts), counts], logs(counts)
    )
    found = judged(mixed, codes)
    assert found["kind"] == ["log", "counts", "log"]
    np.testing.assert_allclose(found["log_target_sum"], 1e4, rtol=1e-3)
    mixed[codes == 2] /= np.log(2)
    found = judged(mixed, codes)
    np.testing.assert_allclose(found["base"], [np.e, np.nan, 2])
    assert np.isnan(found["log_base"])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_values_that_cannot_be_are_bad(counts, value):
    wrong = logs(counts)
    wrong[3, 5] = value
    assert judged(wrong)["kind"] == ["bad"]


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_cells_of_an_anndata_are_grouped_by_columns_and_whole_numbers(counts, kind):
    sample = np.repeat(["a", "b", "c"], 20)
    matrix = np.where((sample == "b")[:, None], counts, logs(counts)).astype(np.float32)
    matrix[7] = 0
    matrix[8] = counts[8]
    adata = AnnData(kind(matrix), obs=pd.DataFrame({"sample": sample}, index=map(str, range(60))))
    for columns, n_groups in ((["sample"], 4), ([], 2)):
        found = value(bridge.judge_anndata(adata, None, columns))
        group = found["group"]
        assert group[7] == -1
        assert len(set(group) - {-1}) == n_groups
        whole = (sample == "b") | (np.arange(60) == 8)
        kinds = np.array(found["kind"])[group]
        np.testing.assert_array_equal(kinds[np.arange(60) != 7] == "counts", np.delete(whole, 7))
    adata.layers["log"] = adata.X.copy()
    adata.X = adata.X * 0
    assert value(bridge.judge_anndata(adata, "log", []))["kind"] == found["kind"]
