import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scsystems.data.scale.judge import groups_of, judge


def kinds(matrix, sample):
    groups = groups_of(pd.DataFrame({"sample": sample}), ["sample"])
    return {
        (found.kind, found.base) for found in judge(sparse.csr_matrix(matrix), groups).groups[0][1]
    }


@pytest.mark.parametrize(
    ("seed", "base", "total", "n_genes"),
    [(97, "e", 1e5, 20), (159, "2", 1e5, 20), (92, "10", 1e5, 20), (214, "2", 1e3, 10)],
)
def test_logarithms_of_few_genes_of_cells_that_are_alike_are_logarithms(seed, base, total, n_genes):
    # small counts and totals that hardly differ: all cells have the same few values, and these
    # happen to lie a little below whole numbers
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(2, 1, 60), (160, 60))
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * total)
    logs = (logs / {"e": 1, "2": np.log(2), "10": np.log(10)}[base]).astype(np.float32)
    assert {kind for kind, _ in kinds(logs[:, :n_genes], np.repeat(list("abcd"), 40))} == {"logs"}


@pytest.mark.parametrize("seed", range(20))
def test_counts_of_few_genes_times_a_factor_are_multiples(seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(2, 1, 20), (160, 20)) * np.float32(0.97)
    assert kinds(counts, np.repeat(list("abcd"), 40)) == {("multiples", None)}


@pytest.mark.parametrize("value", [201.0, 1234.5])
def test_a_value_that_is_too_large_among_logarithms_is_told(value):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(2, 1, 60), (160, 60))
    logs = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32)
    sample = np.repeat(list("abcd"), 40)
    assert kinds(logs, sample) == {("logs", "e")}
    logs[3, 5] = value
    assert kinds(logs, sample) == {("logs", "e"), ("large", "e")}
