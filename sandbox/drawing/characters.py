"""Parameters of a drawn character: invent one, vary it, merge several.

A `Likeness` has everything that the drawing needs of a character; equal likenesses are the same character. `figure.py`
paints it, and `reading.py` reads it back from pixels.
"""

import colorsys
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, TypeVar

Colour: TypeAlias = tuple[int, int, int]

_Feature = TypeVar("_Feature", bound=StrEnum)


class Species(StrEnum):
    PIG = "pig"
    CAT = "cat"
    DOG = "dog"
    BEAR = "bear"
    RABBIT = "rabbit"
    FOX = "fox"
    MOUSE = "mouse"
    FROG = "frog"


class Ears(StrEnum):
    POINTED = "pointed"
    ROUND = "round"
    FLOPPY = "floppy"
    FOLDED = "folded"
    LONG = "long"


class Eyes(StrEnum):
    ROUND = "round"
    TALL = "tall"
    BUTTON = "button"
    BLUE = "blue"
    GREEN = "green"
    AMBER = "amber"


class Pattern(StrEnum):
    PLAIN = "plain"
    PATCH = "patch"
    STRIPES = "stripes"
    SPOTS = "spots"
    BLAZE = "blaze"


class Accessory(StrEnum):
    NOTHING = "nothing"
    SCARF = "scarf"
    BOW = "bow"
    BEANIE = "beanie"
    COLLAR = "collar"
    FLOWER = "flower"
    GLASSES = "glasses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """The constant features of a character, independent of clothes, pose and place.

    Args:
        body: the coat; belly: muzzle and tummy; cheek: blush, inner ears and snout.
        marking: the colour of the pattern; trim: the colour of the accessory.
    """

    species: Species
    body: Colour
    belly: Colour
    cheek: Colour
    marking: Colour
    trim: Colour
    ears: Ears
    eyes: Eyes
    pattern: Pattern
    accessory: Accessory


# The example character of `examples/lulu-pig/`.
LULU = Likeness(
    species=Species.PIG,
    body=(246, 172, 186),
    belly=(255, 232, 224),
    cheek=(240, 118, 128),
    marking=(196, 112, 120),
    trim=(58, 158, 156),
    ears=Ears.FOLDED,
    eyes=Eyes.ROUND,
    pattern=Pattern.PATCH,
    accessory=Accessory.SCARF,
)

EARS_OF: dict[Species, tuple[Ears, ...]] = {
    Species.PIG: (Ears.FOLDED, Ears.POINTED, Ears.FLOPPY),
    Species.CAT: (Ears.POINTED, Ears.FOLDED, Ears.ROUND),
    Species.DOG: (Ears.FLOPPY, Ears.FOLDED, Ears.POINTED),
    Species.BEAR: (Ears.ROUND, Ears.FOLDED),
    Species.RABBIT: (Ears.LONG, Ears.FLOPPY),
    Species.FOX: (Ears.POINTED, Ears.ROUND),
    Species.MOUSE: (Ears.ROUND, Ears.POINTED),
    Species.FROG: (Ears.ROUND,),
}

# Coats people expect of a species, beside which any colour may be drawn.
COATS: dict[Species, tuple[Colour, ...]] = {
    Species.PIG: ((244, 170, 182), (236, 190, 170), (120, 96, 100)),
    Species.CAT: ((238, 160, 84), (120, 124, 138), (236, 226, 210), (74, 70, 84)),
    Species.DOG: ((196, 144, 92), (232, 204, 160), (126, 92, 72), (220, 220, 224)),
    Species.BEAR: ((150, 104, 72), (232, 228, 222), (92, 74, 68), (206, 164, 110)),
    Species.RABBIT: ((232, 222, 212), (176, 160, 150), (206, 188, 220), (140, 150, 170)),
    Species.FOX: ((228, 118, 54), (200, 90, 60), (220, 224, 230), (110, 104, 116)),
    Species.MOUSE: ((160, 164, 174), (206, 184, 164), (226, 222, 226), (128, 116, 122)),
    Species.FROG: ((120, 184, 84), (88, 160, 120), (172, 196, 70), (80, 150, 170)),
}

COLOUR_WORDS: dict[str, Colour] = {
    "red": (214, 62, 62),
    "orange": (238, 140, 56),
    "yellow": (246, 204, 72),
    "green": (96, 168, 92),
    "mint": (150, 214, 184),
    "teal": (52, 150, 152),
    "blue": (74, 126, 204),
    "navy": (48, 62, 112),
    "purple": (140, 98, 186),
    "lavender": (190, 172, 226),
    "pink": (242, 164, 186),
    "brown": (146, 102, 72),
    "cream": (246, 232, 206),
    "white": (244, 244, 246),
    "grey": (150, 154, 162),
    "black": (60, 58, 66),
    "gold": (226, 178, 64),
    "coral": (244, 128, 108),
    "lilac": (200, 168, 216),
    "turquoise": (72, 190, 196),
}


def colour_name(colour: Colour) -> str:
    """The nearest of `COLOUR_WORDS`, by a weighted distance that cares most for what eyes do: green, then red."""

    def distance(word: str) -> int:
        red, green, blue = (a - b for a, b in zip(colour, COLOUR_WORDS[word], strict=True))
        return 3 * red * red + 4 * green * green + 2 * blue * blue

    return min(COLOUR_WORDS, key=distance)


def invent(rng: random.Random, *, species: Species | None = None, coat: Colour | None = None) -> Likeness:
    """A random new character, of the given species and coat."""
    kind = species or rng.choice(tuple(Species))
    body = coat or (_any_coat(rng) if rng.random() < 0.5 else _near(rng.choice(COATS[kind]), rng, spread=0.05))
    light = rng.random() < 0.88
    return Likeness(
        species=kind,
        body=body,
        belly=mix(body, (255, 250, 240), rng.uniform(0.55, 0.85)) if light else _any_coat(rng),
        cheek=_near((242, 132, 132), rng, spread=0.06) if rng.random() < 0.7 else _any_coat(rng),
        marking=mix(body, (70, 50, 50), rng.uniform(0.35, 0.6)) if rng.random() < 0.6 else _any_coat(rng),
        trim=_near(rng.choice(tuple(COLOUR_WORDS.values())), rng, spread=0.03),
        ears=rng.choice(EARS_OF[kind]),
        eyes=rng.choice(tuple(Eyes)),
        pattern=rng.choice(tuple(Pattern)),
        accessory=rng.choice(tuple(Accessory)),
    )


def drift(likeness: Likeness, nearness: float, rng: random.Random, *, asked: Species | None = None) -> Likeness:
    """A character that follows `likeness` only partly, as image models do.

    Args:
        nearness: 1 gives the character itself, 0 a random one; in between, colours shift, and features are lost with a
            probability that grows with the distance.
        asked: the species in the prompt, which is always kept.
    """
    missing = 1.0 - min(max(nearness, 0.0), 1.0)
    if missing == 0.0:
        return likeness
    keeps_species = rng.random() > 0.6 * missing**2
    stranger = invent(rng, species=asked or (likeness.species if keeps_species else None))
    lost = min(1.0, 1.25 * missing**1.2)

    def colour(own: Colour, other: Colour) -> Colour:
        return (
            mix(own, other, missing * rng.uniform(0.35, 1.0)) if rng.random() < min(1.0, 0.2 + 1.2 * missing) else own
        )

    def feature(own: _Feature, other: _Feature) -> _Feature:
        return other if rng.random() < lost else own

    drifted = replace(
        likeness,
        species=stranger.species,
        body=colour(likeness.body, stranger.body),
        belly=colour(likeness.belly, stranger.belly),
        cheek=colour(likeness.cheek, stranger.cheek),
        marking=colour(likeness.marking, stranger.marking),
        trim=colour(likeness.trim, stranger.trim),
        ears=feature(likeness.ears, stranger.ears),
        eyes=feature(likeness.eyes, stranger.eyes),
        pattern=feature(likeness.pattern, stranger.pattern),
        accessory=feature(likeness.accessory, stranger.accessory),
    )
    return drifted if drifted.ears in EARS_OF[drifted.species] else replace(drifted, ears=stranger.ears)


def approach(likeness: Likeness, goal: Likeness, rng: random.Random, *, share: float) -> Likeness:
    """Move a character towards another, as for a variation that still uses the references.

    Args:
        share: how far colours move to `goal`, and the probability of each feature to become the goal's.
    """

    def feature(own: _Feature, wanted: _Feature) -> _Feature:
        return wanted if rng.random() < share else own

    varied = Likeness(
        species=feature(likeness.species, goal.species),
        body=mix(likeness.body, goal.body, share),
        belly=mix(likeness.belly, goal.belly, share),
        cheek=mix(likeness.cheek, goal.cheek, share),
        marking=mix(likeness.marking, goal.marking, share),
        trim=mix(likeness.trim, goal.trim, share),
        ears=feature(likeness.ears, goal.ears),
        eyes=feature(likeness.eyes, goal.eyes),
        pattern=feature(likeness.pattern, goal.pattern),
        accessory=feature(likeness.accessory, goal.accessory),
    )
    return varied if varied.ears in EARS_OF[varied.species] else replace(varied, ears=EARS_OF[varied.species][0])


def merge(references: Sequence[Likeness]) -> Likeness:
    """Combine several references: the most frequent features, and the colours of the first."""
    first = max(references, key=lambda one: sum(one.species == other.species for other in references))
    return replace(
        first,
        ears=_commonest([one.ears for one in references if one.species == first.species]),
        eyes=_commonest([one.eyes for one in references]),
        pattern=_commonest([one.pattern for one in references]),
        accessory=_commonest([one.accessory for one in references]),
    )


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0 to 1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _commonest(values: list[_Feature]) -> _Feature:
    return max(values, key=values.count)


def _any_coat(rng: random.Random) -> Colour:
    return _from_hsv(rng.random(), rng.uniform(0.18, 0.62), rng.uniform(0.45, 0.96))


def _near(colour: Colour, rng: random.Random, *, spread: float) -> Colour:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    return _from_hsv(
        (hue + rng.gauss(0, spread / 2)) % 1.0,
        min(max(saturation + rng.gauss(0, spread), 0.0), 1.0),
        min(max(value + rng.gauss(0, spread), 0.2), 0.98),
    )


def _from_hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(channel * 255) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
