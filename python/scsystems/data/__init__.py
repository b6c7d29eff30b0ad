"""AnnData in, tensors out: what to train on, how it is prepared, and where to get some."""

from importlib import import_module

# what is reached as scsystems.data.NAME without being imported, by its present and its former name
_LAZY = {"orthologs": ".orthologs", "orthologues": ".orthologs"}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'scsystems.data' has no attribute {name!r}")
    return import_module(_LAZY[name], __name__)
