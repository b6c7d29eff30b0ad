import pytest

from scsystems.models.sysvi.training import default_epochs


@pytest.mark.parametrize(
    ("cells", "epochs"),
    [(100, 300), (26_667, 300), (40_000, 200), (8_000_000, 1), (10**8, 1)],
)
def test_default_epochs(cells, epochs):
    assert default_epochs(cells, 300) == epochs
