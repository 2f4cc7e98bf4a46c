"""Vectors as rows keep them: embeddings of the check as float32, fitted weights as float64, both little endian."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def embedding(content: bytes) -> Vector:
    """The embedding in `content`, of unit length."""
    vector = np.frombuffer(content, "<f4").astype(np.float64)
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def embeddings(contents: Sequence[bytes]) -> Vector:
    """(N, D) the same of several by one model."""
    return np.stack([embedding(one) for one in contents])


def packed(weights: Vector) -> bytes:
    return weights.astype("<f8").tobytes()


def unpacked(content: bytes) -> Vector:
    return np.frombuffer(content, "<f8").astype(np.float64)
