"""Arrays of a saved model, each checked to be what the model's description says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from ...errors import ModelFileError


class Arrays:
    """Tensors of one species by name.

    Parameters
    ----------
    tensors
        All tensors of the folder.
    start
        Beginning of the names of this species' tensors.
    dir_path
        The folder, for messages.
    """

    def __init__(self, tensors: dict[str, Tensor], start: str, dir_path: Path):
        self._tensors, self._start, self._dir_path = tensors, start, dir_path

    def __contains__(self, name: str) -> bool:
        return f"{self._start}{name}" in self._tensors

    def numbers(self, name: str, *shape: int | None) -> np.ndarray:
        """Real numbers; ``None`` in ``shape`` stands for any length."""
        return self._of_kind(name, "f", shape)

    def flags(self, name: str, *shape: int | None) -> np.ndarray:
        """Yes and no."""
        return self._of_kind(name, "b", shape)

    def codes(self, name: str, n: int, *shape: int | None) -> np.ndarray:
        """Whole numbers from 0 to ``n - 1``."""
        found = self._of_kind(name, "i", shape)
        if found.size and not (found.min() >= 0 and found.max() < n):
            raise self.wrong(name, f"whole numbers from 0 to {n - 1}")
        return found

    def wrong(self, name: str, expected: str) -> ModelFileError:
        """The error for an array that is not as expected."""
        tensor = self._tensors.get(f"{self._start}{name}")
        found = "missing" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"
        return ModelFileError(
            f"The array {self._start}{name} in {self._dir_path} is {found}. Expected {expected}, as model.json has "
            "it: an unchanged folder as it was saved."
        )

    def _of_kind(self, name: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
        tensor = self._tensors.get(f"{self._start}{name}")
        expected = {"f": "numbers", "i": "whole numbers", "b": "yes or no"}[kind]
        expected += f" of shape {tuple('any' if n is None else n for n in shape)}"
        if tensor is None or tensor.dim() != len(shape):
            raise self.wrong(name, expected)
        fits = all(n in (None, m) for n, m in zip(shape, tensor.shape, strict=True))
        try:
            array = tensor.numpy()
        except TypeError:  # of a type that numpy does not have
            array = None
        if not fits or array is None or array.dtype.kind != kind:
            raise self.wrong(name, expected)
        return array
