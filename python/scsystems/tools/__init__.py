"""What trained models tell: labels, similarity, expression, relevance, novelty. Arrays in, arrays out."""

from .label_transfer import rank, transfer
from .similarity import mode, similarity, type_similarity

__all__ = ["mode", "rank", "similarity", "transfer", "type_similarity"]
