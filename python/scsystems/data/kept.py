"""What was measured of an AnnData's expression, kept as long as the object is there and unchanged.

`SysVI.setup_anndata` looks at all values; the model made next knows by their hashes, which cost a
tenth of that, that it need not look again.
"""

from __future__ import annotations

import weakref
from typing import Any

from anndata import AnnData

# by the object's id: what state it was in, and what was measured then
_KEPT: dict[int, tuple[str, Any]] = {}


def keep(adata: AnnData, state: str, measured: Any) -> None:
    """Remember what was measured of ``adata`` in a state (a fingerprint)."""
    if id(adata) not in _KEPT:
        weakref.finalize(adata, _KEPT.pop, id(adata), None)
    _KEPT[id(adata)] = state, measured


def recall(adata: AnnData, state: str) -> Any:
    """What was measured in this very state, or ``None``."""
    then, measured = _KEPT.get(id(adata), ("", None))
    return measured if then == state else None
