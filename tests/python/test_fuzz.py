"""A short round of scripts/fuzz.py: what is damaged or forged ends in an error of the package."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import fuzz

        yield fuzz
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.mark.parametrize(
    ("kind", "n"),
    [
        ("sysvi", 25),
        ("scspecies", 25),
        ("checkpoint", 20),
        ("tune", 10),
        ("scvi", 60),
        ("rds", 200),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_nothing_but_own_errors_and_right_results(fuzz, kind, n):
    trials = fuzz.fuzz(kind, n, seed=7, apart=False)
    assert [trial for trial in trials if trial[1] not in fuzz.FINE] == []
    # most of what is changed is noticed
    assert sum(result == "refused" for _, result, _ in trials) > n / 3
