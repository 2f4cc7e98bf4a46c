"""The colours of a picture, measured from its pixels in OKLab and named from a published list.

OKLab is a space in which equal distances look equally different. What touches the picture's edges is taken for the
ground, so that the colours are those of what stands in the middle. No model is asked.

Source: Ottosson 2020, "A perceptual color space for image processing".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from validation.colour_names import NAMES

Vectors: TypeAlias = npt.NDArray[np.float64]

_SIDE: Final = 96
_CLUSTERS: Final = 10
_ROUNDS: Final = 12
#: Two clusters nearer than this look like one colour in light and shade.
_ALIKE: Final = 0.06
#: Lightness counts less than hue there: a fold is darker, and the same cloth.
_LIGHTNESS: Final = 0.6
#: A cluster of which the edges hold at least this much more than the middle is ground.
_GROUND: Final = 1.2
_LEAST_SHARE: Final = 0.02

_TO_CONE: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """One colour of a picture.

    Args:
        rgb: sRGB, 0 to 255.
        name: the nearest of the list.
        share: of what stands in the middle, 0 to 1.
        name_distance: from the named colour in OKLab, times 100.
    """

    rgb: tuple[int, int, int]
    name: str
    share: float
    name_distance: float

    @property
    def hex(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.rgb)


def oklab(rgb: Vectors) -> Vectors:
    """(N, 3) OKLab of (N, 3) sRGB from 0 to 255."""
    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    lab: Vectors = np.cbrt(linear @ _TO_CONE.T) @ _TO_LAB.T
    return lab


def difference(one: Sequence[int], other: Sequence[int]) -> float:
    """How different two sRGB colours look: their distance in OKLab, times 100; about 2 can just be seen."""
    both = oklab(np.array([one, other], dtype=np.float64))
    return float(np.linalg.norm(both[0] - both[1]) * 100)


def name_of(rgb: Sequence[int]) -> tuple[str, float]:
    """The nearest name, and its distance in OKLab, times 100."""
    names, labs = _named()
    distances = np.linalg.norm(labs - oklab(np.array([rgb], dtype=np.float64)), axis=1)
    nearest = int(distances.argmin())
    return names[nearest], float(distances[nearest] * 100)


@cache
def _named() -> tuple[list[str], Vectors]:
    values = [[int(code[at : at + 2], 16) for at in (1, 3, 5)] for code in NAMES.values()]
    return list(NAMES), oklab(np.array(values, dtype=np.float64))


def colours_of(image: Image.Image, *, most: int = 5) -> list[Colour]:
    """The colours of what stands in the middle of a picture, the largest first; at least one.

    Args:
        image: mode RGB.
    """
    pixels = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64).reshape(-1, 3)
    labs = oklab(pixels)
    middle, edge = _weights()
    labels = _clustered(labs)
    found = []
    for label in range(labels.max() + 1):
        own = labels == label
        if not own.any():
            continue
        inside, outside = float(middle[own].sum()), float(edge[own].sum())
        rgb = np.median(pixels[own], axis=0)
        found.append((inside, outside, rgb))
    figures = [one for one in found if one[1] <= _GROUND * one[0]] or found
    total = sum(inside for inside, _, _ in figures) or 1.0
    made: list[Colour] = []
    for inside, _, rgb in sorted(figures, key=lambda one: -one[0])[:most]:
        if made and inside / total < _LEAST_SHARE:
            break
        red, green, blue = (round(value) for value in rgb)
        name, distance = name_of((red, green, blue))
        made.append(Colour(rgb=(red, green, blue), name=name, share=inside / total, name_distance=distance))
    return made


@cache
def _weights() -> tuple[Vectors, Vectors]:
    """How much each pixel is in the middle, and how much at the edges; each sums to 1."""
    along = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    across, down = np.meshgrid(along, along)
    middle = np.exp(-((across / 0.45) ** 2 + ((down - 0.1) / 0.6) ** 2)).ravel()
    edge = (np.maximum(np.abs(across), np.abs(down)) > 0.86).astype(np.float64).ravel()
    return middle / middle.sum(), edge / edge.sum()


def _clustered(labs: Vectors) -> npt.NDArray[np.intp]:
    """A label for each pixel: k-means from a fixed start, then clusters that look alike as one."""
    scaled = labs * np.array([_LIGHTNESS, 1.0, 1.0])
    centres = scaled[[int(np.argsort(scaled[:, 0])[len(scaled) // 2])]]
    while len(centres) < _CLUSTERS:
        nearest = np.linalg.norm(scaled[:, None] - centres[None], axis=2).min(axis=1)
        centres = np.vstack([centres, scaled[int(nearest.argmax())]])
    labels = np.zeros(len(scaled), dtype=np.intp)
    for _ in range(_ROUNDS):
        labels = np.linalg.norm(scaled[:, None] - centres[None], axis=2).argmin(axis=1)
        centres = np.array(
            [scaled[labels == at].mean(axis=0) if (labels == at).any() else centres[at] for at in range(_CLUSTERS)]
        )
    joined = list(range(_CLUSTERS))
    for at in range(_CLUSTERS):
        for before in range(at):
            if np.linalg.norm(centres[at] - centres[before]) < _ALIKE:
                joined[at] = joined[before]
                break
    return np.array(joined, dtype=np.intp)[labels]
