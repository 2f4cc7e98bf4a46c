"""Training pictures of characters in clothes, and the sentences that tell them apart, attribute by attribute.

What a drawing shows is read from its prompt by the same code that paints it, so that no label can be wrong.
"""

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from sandbox.clip.captions import GARMENTS, HATS, HOURS, PLACES, THINGS
from sandbox.clip.dataset import SIDE, small
from sandbox.drawing.characters import COLOUR_WORDS, Species, invent
from sandbox.drawing.faces import HEAD_OF, HEAD_Y
from sandbox.drawing.outfits import Garment
from sandbox.drawing.paint import Frame
from sandbox.drawing.picture import paint_posed
from sandbox.drawing.places import Place
from sandbox.drawing.prompt_words import Brief, read_prompt

NO_CLOTHES: Final = "no clothes"
NO_HAT: Final = "no hat"
#: Pixels of the side of a patch, in pictures of SIDE.
PATCH: Final = 16
_DRAWN: Final = (192, 192)
_SPECIES: Final = tuple(kind.value for kind in Species)
_SLEEVES: Final = MappingProxyType(
    dict.fromkeys(Garment, "no sleeves")
    | dict.fromkeys((Garment.RAINCOAT, Garment.SWEATER, Garment.KIMONO, Garment.SPACESUIT), "long sleeves")
)
_PATTERNS: Final = MappingProxyType(
    dict.fromkeys(Garment, "solid")
    | {Garment.SWEATER: "striped", Garment.DRESS: "polka dot", Garment.KIMONO: "polka dot"}
)


@cache
def phrases() -> Mapping[Place, Sequence[str]]:
    """How captions name each place."""
    named: dict[Place, list[str]] = {}
    for phrase in PLACES:
        if (place := read_prompt(phrase).place) is not None:
            named.setdefault(place, []).append(phrase)
    return named


@cache
def hats() -> Mapping[str, str]:
    """By the painter's name of a hat, how captions name it."""
    return {str(read_prompt(f"a pig with {phrase}").outfit.hat): phrase for phrase in HATS}


@cache
def classes() -> Mapping[str, Sequence[str]]:
    """By attribute, all that it can be."""
    return {
        "species": _SPECIES,
        "place": tuple(str(place) for place in phrases()),
        "garment": (*GARMENTS, NO_CLOTHES),
        "hat": (*hats().values(), NO_HAT),
        "sleeves": ("long sleeves", "no sleeves"),
        "pattern": ("solid", "striped", "polka dot"),
    }


def shown(brief: Brief, species: Species) -> dict[str, str | None]:
    """By attribute, what a drawing of the brief shows; None where the question has no sense."""
    garment, hat = brief.outfit.garment, brief.outfit.hat
    return {
        "species": species.value,
        "place": None if brief.place is None else str(brief.place),
        "garment": NO_CLOTHES if garment is None else str(garment),
        "hat": NO_HAT if hat is None else hats().get(str(hat)),
        "sleeves": None if garment is None else _SLEEVES[garment],
        "pattern": None if garment is None else _PATTERNS[garment],
    }


def sentences(attribute: str, rng: random.Random) -> list[str]:
    """One sentence for each class of the attribute, the same but for that."""
    who = f"a {rng.choice(('', rng.choice(tuple(COLOUR_WORDS)) + ' '))}{rng.choice(_SPECIES)}"
    colour = rng.choice(("", rng.choice(tuple(COLOUR_WORDS)) + " "))
    form = {
        "species": rng.choice(("a {}", "a drawing of a {}")),
        "place": f"{who} {{}}",
        "garment": rng.choice((f"{who} in a {colour}{{}}", f"{who} wearing {{}}")),
        "hat": rng.choice((f"{who} with {{}}", f"{who} wearing {{}}")),
        "sleeves": rng.choice((f"{who} in a garment with {{}}", "a garment with {}")),
        "pattern": rng.choice((f"{who} in a {{}} garment", "{} cloth")),
    }[attribute]
    if attribute == "place":
        return [form.format(rng.choice(named)) for named in phrases().values()]
    return [form.format(one) for one in classes()[attribute]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawings:
    """What the model learns from.

    Args:
        pixels: (N, SIDE, SIDE, 3) uint8.
        labels: by attribute, (N,) the place of what is shown among `classes()`; -1 where the question has no sense.
        parts: (N, SIDE // PATCH, SIDE // PATCH) where in `classes()` the attribute stands that a patch shows most of.
    """

    pixels: npt.NDArray[np.uint8]
    labels: Mapping[str, npt.NDArray[np.int64]]
    parts: npt.NDArray[np.int64]


def render(count: int, *, seed: int, processes: int) -> Drawings:
    """Draw `count` pictures, in memory."""
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    labels = {name: np.full(count, -1, np.int64) for name in classes()}
    parts = np.empty((count, SIDE // PATCH, SIDE // PATCH), np.int64)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for index, (drawn, said, shown_in) in enumerate(pool.map(partial(_drawing, seed), range(count), chunksize=64)):
            pixels[index], parts[index] = drawn, shown_in
            for name, value in said.items():
                if value in classes()[name]:
                    labels[name][index] = classes()[name].index(value)
    return Drawings(pixels=pixels, labels=labels, parts=parts)


def _drawing(seed: int, index: int) -> tuple[npt.NDArray[np.uint8], dict[str, str | None], npt.NDArray[np.int64]]:
    rng = random.Random(f"clothes/{seed}/{index}")
    likeness = invent(rng)
    prompt = _prompt(likeness.species, rng)
    drawn, pose = paint_posed(prompt, likeness, seed=index, variation=rng.randrange(4), size=_DRAWN)
    return small(drawn), shown(read_prompt(prompt), likeness.species), _parts(pose.frame, likeness.species)


def _parts(frame: Frame, species: Species) -> npt.NDArray[np.int64]:
    """Which attribute each patch shows most of: the hat over the head, the garment on the body, else face or place."""
    middles = (np.arange(SIDE // PATCH) + 0.5) * PATCH * _DRAWN[0] / SIDE
    x, y = frame.find(np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)).T
    top = HEAD_Y - HEAD_OF[species][1]
    names = tuple(classes())
    found = np.full(len(x), names.index("place"))
    found[np.hypot(x / 0.7, (y - HEAD_Y) / 0.6) < 1] = names.index("species")
    found[np.hypot(x / 0.55, (y - 0.42) / 0.5) < 1] = names.index("garment")
    found[(np.abs(x) < 0.6) & (y > top - 0.5) & (y < top + 0.15)] = names.index("hat")
    return found.reshape(SIDE // PATCH, SIDE // PATCH)


def _prompt(species: Species, rng: random.Random) -> str:
    parts = [f"a {species.value}"]
    if rng.random() < 0.9:
        parts.append(f"in a {rng.choice(tuple(COLOUR_WORDS))} {rng.choice(GARMENTS)}")
    if rng.random() < 0.8:
        parts.append(f"with {rng.choice(HATS)}")
    parts.append(rng.choice(phrases()[rng.choice(tuple(phrases()))]))
    if rng.random() < 0.2:
        parts.append(rng.choice(THINGS))
    if rng.random() < 0.5:
        parts.append(rng.choice(HOURS))
    return " ".join(parts)
