"""Training pictures: families of similar characters, drawn in the same scenes and stored in one file.

A family is a character, two variants of it and another of its species. All four appear in the same scenes, so that only
the character tells them apart.
"""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sandbox.clip.captions import scene, sentence
from sandbox.drawing.characters import Likeness, drift, invent
from sandbox.drawing.picture import paint, portrait

MEMBERS = 4
SCENES = 6
SIDE = 96
_DRAWN = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What a model learns from.

    Args:
        pixels: (families, MEMBERS, SCENES, SIDE, SIDE, 3) uint8; scene 0 is a reference picture on plain ground.
        sentences: for each picture, in the same order.
    """

    pixels: npt.NDArray[np.uint8]
    sentences: list[list[list[str]]]


def render(path: Path, *, families: int, seed: int, processes: int) -> Pictures:
    """Draw all pictures into the file at `path`, outside the repository: it is large and can be made again."""
    shape = (families, MEMBERS, SCENES, SIDE, SIDE, 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    sentences = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for index, (drawn, said) in enumerate(pool.map(partial(_family, seed), range(families), chunksize=8)):
            pixels[index] = drawn
            sentences.append(said)
    path.with_suffix(".json").write_text(json.dumps(sentences), encoding="utf-8")
    return Pictures(pixels=pixels, sentences=sentences)


def reopen(path: Path) -> Pictures:
    """What `render` left at `path`."""
    sentences = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Pictures(pixels=np.load(path, mmap_mode="r"), sentences=sentences)


def small(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """As CLIP prepares a picture: the shorter side to SIDE by a bicubic filter, then the middle."""
    scale = SIDE / min(picture.size)
    resized = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = (resized.width - SIDE) // 2, (resized.height - SIDE) // 2
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


def _members(rng: random.Random) -> Iterator[Likeness]:
    first = invent(rng)
    yield first
    yield drift(first, rng.uniform(0.55, 0.85), rng, asked=first.species)
    yield drift(first, rng.uniform(0.1, 0.55), rng, asked=first.species)
    yield invent(rng, species=first.species)


def _family(seed: int, index: int) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    rng = random.Random(f"family/{seed}/{index}")
    scenes = [scene(rng) for _ in range(SCENES)]
    pixels, sentences = np.empty((MEMBERS, SCENES, SIDE, SIDE, 3), np.uint8), []
    for member, likeness in enumerate(_members(rng)):
        pixels[member, 0] = small(portrait(likeness, seed=rng.randrange(100), size=_DRAWN))
        said = [sentence(likeness, "in a plain studio portrait", rng)]
        for step in range(1, SCENES):
            drawn = paint(scenes[step], likeness, seed=index, variation=rng.randrange(4), size=(_DRAWN, _DRAWN))
            pixels[member, step] = small(drawn)
            said.append(sentence(likeness, scenes[step], rng))
        sentences.append(said)
    return pixels, sentences
