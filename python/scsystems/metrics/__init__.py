"""Measure integration: mixing of systems, preservation of biology, label transfer.

Every metric is a pure function on arrays.
"""

from .label_transfer import LabelTransfer, label_transfer
from .lisi import clisi, condition_ilisi, ilisi, lisi
from .neighbors import Neighbors, nearest_neighbors

__all__ = [
    "LabelTransfer",
    "Neighbors",
    "clisi",
    "condition_ilisi",
    "ilisi",
    "label_transfer",
    "lisi",
    "nearest_neighbors",
]
