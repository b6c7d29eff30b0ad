"""Whether two sets of cells are the same: fingerprints of what a result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from .disk import DiskMatrix

# stored values that are hashed together, to bound memory
VALUES = 2**21
# rows of a dense matrix that fit into the cache together
ROWS = 64


def row_hashes(matrix) -> np.ndarray:
    """A number for the values of every row, n (uint64).

    The bits of the values in single precision, which is what models see, are multiplied by a
    pseudo-random number for each column and added up, all modulo 2^64. Zeros add nothing, so that
    a row has the same number whether it is stored dense, sparse by rows or by columns, with its
    entries in any order or with explicit zeros. Another value, or two values exchanged, give
    another number but for about one in 2^40. It is a check against accidents, not against
    somebody who looks for two rows with the same number. (An entry that a sparse matrix stores in
    two parts counts as both parts, not as their sum.)
    """
    if isinstance(matrix, DiskMatrix):
        parts = [row_hashes(block) for _, block in matrix.blocks()]
        return np.concatenate(parts or [np.zeros(0, np.uint64)])
    weight = _weights(matrix.shape[1])
    if not sparse.issparse(matrix):
        dense, parts = np.asarray(matrix), [np.zeros(0, np.uint64)]
        for start in range(0, len(dense), ROWS):
            parts.append((_bits(dense[start : start + ROWS]) * weight).sum(axis=1))
        return np.concatenate(parts)
    if matrix.format not in ("csr", "csc"):
        matrix = matrix.tocsr()
    by_row = matrix.format == "csr"
    total = np.zeros(matrix.shape[0], np.uint64)
    for part in _parts(matrix):
        start, stop = matrix.indptr[part.start], matrix.indptr[part.stop]
        bits = _bits(matrix.data[start:stop])
        pointers = matrix.indptr[part.start : part.stop + 1] - start
        shape = (part.stop - part.start, matrix.shape[1])
        shape = shape if by_row else (matrix.shape[0], shape[0])
        block = type(matrix)((bits, matrix.indices[start:stop], pointers), shape=shape)
        if by_row:
            total[part] = block @ weight
        else:
            total += block @ weight[part]
    return total


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A short text that changes when any of ``facts`` does: arrays, and what JSON can hold."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(facts):
        value = facts[name]
        if isinstance(value, np.ndarray):
            head = f"{name}:{value.dtype.str}{value.shape}:"
            content = np.ascontiguousarray(value).tobytes()
        else:
            head, content = f"{name}:", json.dumps(value, sort_keys=True).encode()
        digest.update(f"{head}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _bits(values: np.ndarray) -> np.ndarray:
    """Bits of the values in single precision, as unsigned integers of 64 bits."""
    # values that single precision does not hold are refused by others
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    # adding zero makes zeros of minus zeros
    return (single + np.float32(0)).view(np.uint32).astype(np.uint64)


def _weights(n: int) -> np.ndarray:
    """Pseudo-random numbers, the same ones always (splitmix64)."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _parts(matrix) -> list[slice]:
    """Ranges of rows (CSR) or columns (CSC) that hold about `VALUES` values each."""
    n = len(matrix.indptr) - 1
    steps = np.arange(VALUES, max(int(matrix.indptr[-1]), 1), VALUES)
    cuts = np.unique([0, *np.searchsorted(matrix.indptr, steps), n])
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]
