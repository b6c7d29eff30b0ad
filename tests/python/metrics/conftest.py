from dataclasses import dataclass

import numpy as np
import pytest


@dataclass
class Cells:
    embedding: np.ndarray
    labels: np.ndarray
    systems: np.ndarray


@pytest.fixture(scope="session")
def cells():
    """Four cell types in two systems that are shifted against each other; one type of one."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c", "own"], [160, 120, 50, 30])
    systems = np.where(rng.random(len(labels)) < 0.6, "human", "mouse")
    systems[labels == "own"] = "human"
    centers = dict(zip(["a", "b", "c", "own"], rng.normal(0, 3, (4, 6)), strict=True))
    embedding = np.array([centers[label] for label in labels]) + rng.normal(0, 1, (360, 6))
    embedding[systems == "mouse"] += 0.6
    return Cells(embedding.astype(np.float32), labels, systems)
