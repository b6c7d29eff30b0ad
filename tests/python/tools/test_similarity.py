import numpy as np
import pytest

from scsystems.errors import InputError
from scsystems.tools.similarity import mode


def test_mode_of_closed_cases():
    assert mode([3.0]) == 3.0
    assert mode([1.0, 3.0]) == 2.0
    assert mode([0.0, 5.0, 5.1]) == pytest.approx(5.05)
    assert mode([0.0, 1.0, 2.0]) == 1.0


def test_mode_finds_the_densest_values_whatever_the_tail():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(4, 0.2, 600), rng.exponential(50, 400)])
    assert mode(values) == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_mode_of_nothing_is_refused(values):
    with pytest.raises(InputError):
        mode(values)
