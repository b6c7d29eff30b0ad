"""Fixtures for the hand-written steps."""

import pytest
import torch


@pytest.fixture
def double():
    """float64 as torch's default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
