import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Close what a test opened."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def drawn():
    """Render a figure and tell whether it has anything on it but background."""

    def render(ax):
        figure = ax.figure
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())
        return len(np.unique(pixels.reshape(-1, 4), axis=0)) > 5

    return render
