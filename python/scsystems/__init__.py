"""Integrate single-cell RNA-seq data from different systems.

Two methods: :class:`SysVI` (Hrovatin et al. 2025) and :class:`ScSpecies`
(Schächter et al. 2025). The short names follow scverse habits: ``pp`` (prepare),
``tl`` (tools), ``pl`` (plots), ``metrics``, ``tune``, ``datasets``.

Parts are imported when they are first used, so that ``import scsystems`` is quick.
"""

from __future__ import annotations

from importlib import import_module

from ._version import __version__

# public name -> (module, attribute or None for the module itself)
_LAZY = {
    "SysVI": ("scsystems.models.sysvi.model", "SysVI"),
    "ScSpecies": ("scsystems.models.scspecies.model", "ScSpecies"),
    "load": ("scsystems.models.base", "load"),
    "open_anndata": ("scsystems.data.opened", "open_anndata"),
    "report": ("scsystems.reports.integration", "report"),
    "data": ("scsystems.data", None),
    "datasets": ("scsystems.data.datasets", None),
    "metrics": ("scsystems.metrics", None),
    "pl": ("scsystems.plots", None),
    "pp": ("scsystems.data.preprocess", None),
    "tl": ("scsystems.tools", None),
    "tune": ("scsystems.tune", None),
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'scsystems' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
