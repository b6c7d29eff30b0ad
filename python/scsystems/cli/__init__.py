"""The command line: ``scsystems`` and ``python -m scsystems``."""

from .parser import main

__all__ = ["main"]
