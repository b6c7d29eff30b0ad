"""Choose SysVI's settings: a grid of settings and seeds, scored as in the paper."""

from .grid import DEFAULT_GRID, grid
from .result import TuneResult
from .scoring import rank_settings, representative, score_runs
from .settings import Setting, expand

__all__ = [
    "DEFAULT_GRID",
    "Setting",
    "TuneResult",
    "expand",
    "grid",
    "rank_settings",
    "representative",
    "score_runs",
]
