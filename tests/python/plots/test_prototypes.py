import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import prototype_curves


def test_prototype_curves_make_the_same_type_bold():
    record = pd.DataFrame(
        [(e, t, c, -float(e)) for e in (1, 2, 3) for t in ("a", "own") for c in ("a", "b")],
        columns=["epoch", "target_type", "context_type", "difference"],
    )
    axes = prototype_curves(record, palette={"a": "red", "b": "blue"})
    assert [line.get_linewidth() for line in axes["a"].lines] == [2.5, 0.9]
    assert [line.get_linewidth() for line in axes["own"].lines] == [0.9, 0.9]
    np.testing.assert_array_equal(axes["a"].lines[0].get_ydata(), [-1, -2, -3])
    with pytest.raises(InputError, match="target_types"):
        prototype_curves(record, ["x"])
    with pytest.raises(InputError, match="lacks"):
        prototype_curves(record.drop(columns="epoch"))
