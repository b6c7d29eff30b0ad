import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from scsystems.errors import InputError
from scsystems.plots import umap_coordinates, umap_panels


@pytest.fixture(scope="module")
def adata():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "species": pd.Categorical(rng.choice(["zebra", "ant"], 120), ["zebra", "ant"]),
            "type": rng.choice(["x", "y", None], 120),
            "score": rng.normal(size=120),
        },
        index=[f"c{i}" for i in range(120)],
    )
    obsm = {"flat": rng.normal(size=(120, 2)), "deep": rng.normal(size=(120, 6))}
    return ad.AnnData(np.zeros((120, 1), np.float32), obs=obs, obsm=obsm)


def test_panels_are_colorings_by_embeddings(adata, drawn):
    axes = umap_panels(
        adata, ["flat", "deep"], ["species", "type", "score"], titles={"flat": "before"}
    )
    assert axes.shape == (3, 2)
    assert drawn(axes[0, 0])
    assert [ax.get_title() for ax in axes[0]] == ["before", "deep"]
    assert all(len(ax.collections[0].get_offsets()) == 120 for ax in axes.flat)
    names = [text.get_text() for text in axes[0, 1].get_legend().get_texts()]
    assert names == ["zebra", "ant"]  # the categories' order
    names = [text.get_text() for text in axes[1, 1].get_legend().get_texts()]
    assert names == ["x", "y", "missing"]


def test_two_dimensions_are_drawn_as_they_are(adata):
    ax = umap_panels(adata, "flat", "species")[0, 0]
    offsets = np.asarray(ax.collections[0].get_offsets())
    expected = adata.obsm["flat"].astype(np.float32)
    np.testing.assert_allclose(offsets[np.lexsort(offsets.T)], expected[np.lexsort(expected.T)])


def test_given_axes_and_colors_are_used(adata):
    figure, given = plt.subplots(1, 2)
    axes = umap_panels(
        adata,
        ["flat"],
        ["species", "type"],
        axes=given,
        palettes={"species": {"ant": "#ff0000", "zebra": "#0000ff"}, "type": ["black", "white"]},
    )
    assert axes.ravel().tolist() == given.tolist()
    assert plt.get_fignums() == [figure.number]
    shades = np.unique(axes[0, 0].collections[0].get_facecolors(), axis=0)[:, :3]
    assert shades.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_cells_are_thinned_out(adata):
    ax = umap_panels(adata, "flat", "species", max_cells=30)[0, 0]
    assert len(ax.collections[0].get_offsets()) == 30


def test_coordinates_keep_clusters_and_repeat():
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1], 60)
    embedding = rng.normal(size=(120, 5)) + 30 * cluster[:, None]
    xy = umap_coordinates(embedding, seed=3)
    assert xy.shape == (120, 2)
    centers = np.array([xy[cluster == c].mean(axis=0) for c in (0, 1)])
    nearest = np.linalg.norm(xy[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == cluster).all()
    np.testing.assert_array_equal(xy, umap_coordinates(embedding, seed=3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(embeddings=["absent"]), "obsm has no 'absent'"),
        (dict(color=["absent"]), "obs has no 'absent'"),
        (dict(color=[]), "is empty"),
        (dict(axes=[1, 2]), "'axes' has 2 axes; expected 1"),
        (dict(palettes={"species": ["red"]}), "'palette' has 1 colors; expected 2"),
        (dict(palettes={"species": {"ant": "red"}}), r"no color for \['zebra'\]"),
    ],
)
def test_bad_input(adata, change, message):
    with pytest.raises(InputError, match=message):
        umap_panels(adata, **(dict(embeddings=["flat"], color=["species"]) | change))
    with pytest.raises(InputError, match="at least 4 cells"):
        umap_coordinates(np.zeros((3, 2)))
