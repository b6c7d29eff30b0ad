import pytest

from scsystems.errors import InputError
from scsystems.train.schedules import EarlyStopping, Plateau, ramp


def test_ramp():
    assert [ramp(0.1, 1.0, 10, e) for e in (0, 5, 10, 50)] == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert ramp(10, 25, 0, 0) == 25


def test_plateau_counts_checks_without_improvement():
    state = Plateau()
    assert [state.update(v, 0.5) for v in (5, 4.8, 4.4, 4.3, 4.2, 3.0)] == [0, 1, 0, 1, 2, 0]
    state = Plateau()
    assert [state.update(v, 0.0, "max") for v in (1, 2, 2, 3)] == [0, 0, 1, 0]


def test_early_stopping_checks_its_arguments():
    with pytest.raises(InputError, match="early_stopping_mode='up'"):
        EarlyStopping(mode="up")
    with pytest.raises(InputError, match="early_stopping_patience=0"):
        EarlyStopping(patience=0)
