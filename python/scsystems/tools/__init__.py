"""What trained models tell: labels, similarity, expression, relevance, novelty. Arrays in, arrays out."""

from .expression import decode, draw_cells, fold_change, within_ellipse
from .label_transfer import rank, transfer
from .novelty import novelty, unexplained
from .relevance import relevance
from .similarity import mode, similarity, type_similarity

__all__ = [
    "decode",
    "draw_cells",
    "fold_change",
    "mode",
    "novelty",
    "rank",
    "relevance",
    "similarity",
    "transfer",
    "type_similarity",
    "unexplained",
    "within_ellipse",
]
