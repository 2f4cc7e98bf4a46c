"""A fixed set of generated pictures, identical on every machine, for measuring a model at start.

A scorer uses them to compare fast precisions with float32, and to measure the frame of the model's embeddings
(`validation.similarity.Frame`). They combine drawing styles (flat, soft, striped, dotted, grainy, inked) with palettes.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float64]

# Dark, middle and light colour of each palette, RGB in 0..1.
_PALETTES = (
    ((0.10, 0.10, 0.12), (0.55, 0.53, 0.50), (0.97, 0.96, 0.94)),  # paper and ink
    ((0.15, 0.05, 0.30), (0.90, 0.30, 0.35), (1.00, 0.85, 0.45)),  # evening
    ((0.02, 0.18, 0.22), (0.20, 0.55, 0.45), (0.85, 0.95, 0.80)),  # forest
    ((0.30, 0.15, 0.10), (0.95, 0.65, 0.75), (0.80, 0.92, 1.00)),  # pastel
)


def specimens(size: int) -> NDArray[np.uint8]:
    """(24, size, size, 3) uint8: six ways of drawing, each in four palettes and at four places."""
    down, across = np.mgrid[0:size, 0:size] / size  # (S, S) each, 0..1
    pictures = [
        _coloured(way(across + 0.13 * turn, down + 0.29 * turn, 1.0 + 0.6 * turn), palette)
        for way in _WAYS
        for turn, palette in enumerate(_PALETTES)
    ]
    return np.stack(pictures)


def _coloured(grey: Grey, palette: tuple[tuple[float, float, float], ...]) -> NDArray[np.uint8]:
    """(S, S, 3) uint8: `grey` in 0..1 runs from the dark through the middle to the light colour."""
    channels = [np.interp(grey, (0.0, 0.5, 1.0), stops) for stops in zip(*palette, strict=True)]  # 3 of (S, S)
    picture: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1) * 255).astype(np.uint8)  # (S, S, 3)
    return picture


def _shape(x: Grey, y: Grey, pace: float) -> Grey:
    """Rounded blots in -1..1: the common content of all styles."""
    return np.sin(5.1 * pace * x + 2.0 * np.sin(3.3 * y)) * np.cos(4.3 * pace * y + 1.5 * np.sin(2.7 * x))


def _flat(x: Grey, y: Grey, pace: float) -> Grey:
    return np.digitize(_shape(x, y, pace), (-0.4, 0.3)) / 2


def _soft(x: Grey, y: Grey, pace: float) -> Grey:
    return 0.5 + 0.5 * _shape(x, y, pace * 0.6)


def _striped(x: Grey, y: Grey, pace: float) -> Grey:
    return np.where(_shape(x, y, pace) > 0, np.sin(60 * (x + y)) > 0, np.sin(60 * (x - y)) > 0.6).astype(np.float64)


def _dotted(x: Grey, y: Grey, pace: float) -> Grey:
    dots = np.sin(90 * x) * np.sin(90 * y)
    return (dots > -_shape(x, y, pace)).astype(np.float64)


def _grainy(x: Grey, y: Grey, pace: float) -> Grey:
    # The fractional part of a large sine: looks random, and is the same wherever IEEE doubles are.
    grain = np.modf(np.abs(np.sin(np.floor(x * 113) * 12.9898 + np.floor(y * 113) * 78.233)) * 43758.5453)[0]
    return np.clip(0.5 + 0.35 * _shape(x, y, pace) + 0.5 * (grain - 0.5), 0, 1)


def _inked(x: Grey, y: Grey, pace: float) -> Grey:
    return (np.abs(_shape(x, y, pace)) > 0.12).astype(np.float64)


_WAYS: tuple[Callable[[Grey, Grey, float], Grey], ...] = (_flat, _soft, _striped, _dotted, _grainy, _inked)
