import numpy as np

from scsystems.plots import prior_components


def test_heat_maps_of_shares(drawn):
    components = np.array([0, 0, 1, 1, 2, 2])
    labels, systems = list("xxxyyy"), list("ababab")
    axes = prior_components(components, labels, systems)
    assert drawn(axes[0])
    np.testing.assert_allclose(
        axes[0].images[0].get_array(), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]
    )
    np.testing.assert_allclose(axes[1].images[0].get_array(), np.full((2, 3), 1 / 3))
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["x", "y"]
