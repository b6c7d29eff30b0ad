"""How much memory a GPU has for cells, and how they lie there."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse

from ..errors import DeviceMemoryError
from ..words import word, written

# dense expression above this many bytes stays sparse in the computer's memory
CPU_DENSE_LIMIT = 512 * 2**20
# fractions of a GPU's free memory that cells may take, the rest being for the steps: dense cells,
# which are faster, if there is plenty of it
DENSE_FRACTION, SPARSE_FRACTION = 0.5, 0.75

Place = Literal["dense", "sparse", "blocks"]


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that tensors can still take."""
    free, _ = torch.cuda.mem_get_info(device)
    # torch keeps what tensors no longer need
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)


def needed_memory(x: Any, storage: Literal["dense", "sparse"]) -> int:
    """Bytes of expression (cells x genes) on a GPU."""
    n_cells, n_genes = x.shape
    if storage == "dense":
        return 4 * n_cells * n_genes
    n_values = x.nnz if sparse.issparse(x) else np.count_nonzero(x)
    # value and column of each, and where each cell begins
    return int(8 * n_values + 8 * (n_cells + 1))


def choose_storage(x: Any, device: torch.device) -> Place:
    """How cells lie on a device: dense, else sparse, else block by block, as memory allows."""
    dense = needed_memory(x, "dense")
    if device.type == "cuda":
        free = free_memory(device)
        if dense < DENSE_FRACTION * free:
            return "dense"
        return "sparse" if needed_memory(x, "sparse") < SPARSE_FRACTION * free else "blocks"
    if not sparse.issparse(x):
        return "dense"
    return "dense" if dense < CPU_DENSE_LIMIT else "sparse"


def require_room(x: Any, storage: Literal["dense", "sparse"], device: torch.device) -> None:
    """Refuse what cannot be on a GPU, before it is tried.

    Raises
    ------
    DeviceMemoryError
        With what is needed, what there is, and what helps.
    """
    if device.type != "cuda":
        return
    needed, free = needed_memory(x, storage), free_memory(device)
    if needed > free:
        raise DeviceMemoryError(
            f"{written('storage', storage)} takes {in_words(needed)} of the GPU's memory, of which "
            f"{in_words(free)} are free. Use {written('storage', 'auto')}, which takes less, or "
            f"{written('accelerator', 'cpu')}."
        )


def too_large(x: Any, device: torch.device) -> DeviceMemoryError:
    """What to say of cells that have to be on a GPU as a whole and cannot."""
    return DeviceMemoryError(
        f"{x.shape[0]} cells x {x.shape[1]} genes take {in_words(needed_memory(x, 'sparse'))} of the GPU's "
        f"memory, sparse as they are, of which {in_words(free_memory(device))} are free. Choose fewer genes "
        f"with {word('n_top_genes of species')}, end other programs on this GPU, or use "
        f"{written('accelerator', 'cpu')}."
    )


def in_words(n_bytes: float) -> str:
    """A number of bytes as a person reads it."""
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**29 else f"{n_bytes / 2**20:.1f} MiB"
