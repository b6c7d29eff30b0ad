"""Commands are run in this process, on small files."""

import pytest

from scsystems.cli import main


@pytest.fixture
def run():
    """Run a command line; gives the exit code."""
    return lambda *arguments: main([str(a) for a in arguments])


@pytest.fixture
def file(adata, tmp_path):
    """Cells of two systems, log-normalized, with counts in a layer."""
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"
