"""Heads: ears, coat pattern, muzzle, eyes, mouth and the accessories worn on or under the head.

Coordinates are the figure's own (see `figure.py`); the brush is already tilted with the head.
"""

from collections.abc import Iterator
from enum import StrEnum

from sandbox.drawing.characters import Accessory, Colour, Ears, Eyes, Likeness, Pattern, Species, mix
from sandbox.drawing.paint import INK, WHITE, Brush, Outline, ellipse, limb, smooth, squircle

HEAD_Y = -0.40
HEAD_OF: dict[Species, tuple[float, float]] = {
    Species.PIG: (0.62, 0.53),
    Species.CAT: (0.63, 0.51),
    Species.DOG: (0.57, 0.54),
    Species.BEAR: (0.61, 0.54),
    Species.RABBIT: (0.55, 0.53),
    Species.FOX: (0.66, 0.49),
    Species.MOUSE: (0.55, 0.49),
    Species.FROG: (0.67, 0.47),
}
_IRIS: dict[Eyes, Colour] = {Eyes.BLUE: (86, 160, 226), Eyes.GREEN: (112, 184, 96), Eyes.AMBER: (232, 164, 56)}


class Mood(StrEnum):
    SMILE = "smile"
    LAUGH = "laugh"
    WINK = "wink"
    WONDER = "wonder"
    CALM = "calm"


def head_outline(species: Species) -> Outline:
    rx, ry = HEAD_OF[species]
    if species is Species.FOX:
        cheek = HEAD_Y + 0.2
        return smooth(
            (0, HEAD_Y - ry),
            (0.42, HEAD_Y - 0.36),
            (0.55, HEAD_Y - 0.02),
            (rx, cheek),
            (0.34, HEAD_Y + 0.42),
            (0, HEAD_Y + ry),
            (-0.34, HEAD_Y + 0.42),
            (-rx, cheek),
            (-0.55, HEAD_Y - 0.02),
            (-0.42, HEAD_Y - 0.36),
        )
    return squircle(0, HEAD_Y, rx, ry, power=2.5 if species in {Species.CAT, Species.FROG} else 2.3)


def paint_head(brush: Brush, likeness: Likeness, *, mood: Mood, look: float) -> None:
    """Ears, head, pattern and face; `look` from -1 to 1 turns the face to a side."""
    _ears(brush, likeness)
    outline = head_outline(likeness.species)
    brush.part(outline, likeness.body, shade=0.24)
    _pattern(brush, likeness, within=outline)
    if likeness.species is Species.FOX:
        for side in (-1, 1):
            brush.fill(ellipse(side * 0.46, HEAD_Y + 0.36, 0.44, 0.24, turn=-side * 24), likeness.belly, within=outline)
    shift = 0.07 * look
    for side in (-1, 1):
        brush.glow(side * 0.38 + shift, HEAD_Y + 0.17, 0.17, 0.12, colour=likeness.cheek, alpha=0.8)
    _muzzle(brush, likeness, mood=mood, x=shift * 1.3)
    _eyes(brush, likeness, mood=mood, x=shift)


def _ears(brush: Brush, likeness: Likeness) -> None:
    if likeness.species is Species.FROG:
        for side in (-1, 1):
            brush.part(ellipse(side * 0.34, HEAD_Y - 0.40, 0.21), likeness.body)
        return
    size = {Species.MOUSE: 1.35, Species.BEAR: 0.95, Species.PIG: 0.9}.get(likeness.species, 1.0)
    for side in (-1, 1):
        outer, inner = _EAR[likeness.ears](side, size)
        brush.part(outer, likeness.body)
        if inner is not None:
            brush.fill(inner, mix(likeness.cheek, likeness.body, 0.15), shade=0.15)
        if likeness.species is Species.FOX:
            tip = ellipse(side * 0.5, HEAD_Y - 0.74, 0.18)
            brush.fill(tip, mix(likeness.body, INK, 0.7), within=outer)


def _pointed(side: int, size: float) -> tuple[Outline, Outline | None]:
    top = HEAD_Y - 0.50 - 0.27 * size
    outer = smooth(
        (side * 0.14, HEAD_Y - 0.42),
        (side * 0.40, top + 0.06),
        (side * 0.50, top),
        (side * 0.56, top + 0.08),
        (side * 0.60, HEAD_Y - 0.14),
        (side * 0.36, HEAD_Y - 0.24),
    )
    inner = smooth(
        (side * 0.28, HEAD_Y - 0.44),
        (side * 0.46, top + 0.12),
        (side * 0.54, HEAD_Y - 0.28),
        (side * 0.40, HEAD_Y - 0.36),
    )
    return outer, inner


def _round(side: int, size: float) -> tuple[Outline, Outline | None]:
    x, y = side * 0.46, HEAD_Y - 0.40 - 0.06 * (size - 1)
    return ellipse(x, y, 0.22 * size), ellipse(x, y + 0.01, 0.135 * size)


def _floppy(side: int, size: float) -> tuple[Outline, Outline | None]:
    outer = smooth(
        (side * 0.30, HEAD_Y - 0.46),
        (side * 0.56, HEAD_Y - 0.40),
        (side * (0.66 + 0.1 * size), HEAD_Y - 0.04),
        (side * (0.66 + 0.08 * size), HEAD_Y + 0.30 * size),
        (side * 0.58, HEAD_Y + 0.26 * size),
        (side * 0.50, HEAD_Y - 0.10),
    )
    return outer, ellipse(side * (0.61 + 0.07 * size), HEAD_Y + 0.10, 0.06, 0.14, turn=-side * 6)


def _folded(side: int, size: float) -> tuple[Outline, Outline | None]:
    outer = smooth(
        (side * 0.16, HEAD_Y - 0.46),
        (side * 0.38, HEAD_Y - 0.50 - 0.16 * size),
        (side * 0.58, HEAD_Y - 0.46 - 0.14 * size),
        (side * 0.72, HEAD_Y - 0.30),
        (side * 0.60, HEAD_Y - 0.20),
        (side * 0.46, HEAD_Y - 0.30),
    )
    inner = smooth(
        (side * 0.42, HEAD_Y - 0.46),
        (side * 0.58, HEAD_Y - 0.50),
        (side * 0.70, HEAD_Y - 0.29),
        (side * 0.58, HEAD_Y - 0.27),
    )
    return outer, inner


def _long(side: int, size: float) -> tuple[Outline, Outline | None]:
    x, y = side * 0.27, HEAD_Y - 0.63
    return (ellipse(x, y, 0.155 * size, 0.36, turn=side * 10), ellipse(x, y, 0.085 * size, 0.26, turn=side * 10))


_EAR = {Ears.POINTED: _pointed, Ears.ROUND: _round, Ears.FLOPPY: _floppy, Ears.FOLDED: _folded, Ears.LONG: _long}


def _pattern(brush: Brush, likeness: Likeness, *, within: Outline) -> None:
    for outline in _marks(likeness.pattern):
        brush.fill(outline, likeness.marking, shade=0.16, within=within)


def _marks(pattern: Pattern) -> Iterator[Outline]:
    """The outlines of a pattern, in the order in which they are painted."""
    if pattern is Pattern.PATCH:
        yield _lifted((0.08, -0.30), (0.36, -0.46), (0.60, -0.18), (0.46, 0.14), (0.16, 0.08))
    elif pattern is Pattern.STRIPES:
        for x, length in ((-0.17, 0.15), (0.0, 0.24), (0.17, 0.15)):
            yield limb(x * 1.25, HEAD_Y - 0.56, x * 0.9, HEAD_Y - 0.50 + length, 0.1, tip=0.04)
        for side in (-1, 1):
            for y in (0.0, 0.14):
                yield limb(side * 0.68, HEAD_Y + y, side * 0.50, HEAD_Y + y + 0.02, 0.08, tip=0.03)
    elif pattern is Pattern.SPOTS:
        spots = (
            (-0.30, -0.36, 0.10),
            (-0.10, -0.43, 0.06),
            (0.33, -0.30, 0.08),
            (0.50, 0.06, 0.07),
            (-0.54, 0.0, 0.08),
        )
        for x, y, size in spots:
            yield ellipse(x, HEAD_Y + y, size, size * 0.85)
    elif pattern is Pattern.BLAZE:
        left = ((-0.20, 0.12), (-0.09, -0.12), (-0.15, -0.44))
        yield _lifted((0, -0.62), (0.15, -0.44), (0.09, -0.12), (0.20, 0.12), *left)


def _lifted(*points: tuple[float, float]) -> Outline:
    """A smooth outline around points that are given from the middle of the head."""
    return smooth(*((x, HEAD_Y + y) for x, y in points))


def _muzzle(brush: Brush, likeness: Likeness, *, mood: Mood, x: float) -> None:
    y = HEAD_Y + 0.16
    nose = mix(likeness.cheek, INK, 0.72)
    if likeness.species is Species.PIG:
        brush.part(squircle(x, y, 0.205, 0.145), mix(likeness.cheek, likeness.body, 0.25), shade=0.18)
        for side in (-1, 1):
            brush.fill(ellipse(x + side * 0.075, y, 0.032, 0.05), mix(likeness.cheek, INK, 0.6))
        _mouth(brush, mood=mood, x=x, y=y + 0.20, wide=0.10)
    elif likeness.species is Species.FROG:
        for side in (-1, 1):
            brush.fill(ellipse(x + side * 0.05, y - 0.10, 0.016, 0.022), mix(likeness.body, INK, 0.6))
        _mouth(brush, mood=mood, x=x, y=y + 0.05, wide=0.25)
    else:
        wide, high = {Species.BEAR: (0.23, 0.18), Species.DOG: (0.25, 0.20)}.get(likeness.species, (0.19, 0.14))
        brush.fill(ellipse(x, y + 0.06, wide, high), likeness.belly, shade=0.12)
        broad = 0.085 if likeness.species in {Species.BEAR, Species.DOG} else 0.055
        brush.fill(smooth((x - broad, y - 0.05), (x, y - 0.07), (x + broad, y - 0.05), (x, y + 0.03)), nose)
        brush.fill(ellipse(x - broad * 0.3, y - 0.04, broad * 0.25, 0.012), WHITE, alpha=0.6)
        brush.line_through((x, y + 0.02), (x, y + 0.075), width=0.018)
        _mouth(brush, mood=mood, x=x, y=y + 0.085, wide=0.12)
        if likeness.species is Species.RABBIT:
            brush.part(squircle(x, y + 0.15, 0.045, 0.045, power=4), WHITE, shade=0.05)
        if likeness.species in {Species.CAT, Species.MOUSE}:
            _whiskers(brush, x=x, y=y)


def _whiskers(brush: Brush, *, x: float, y: float) -> None:
    for side in (-1, 1):
        for rise in (-0.05, 0.01, 0.07):
            brush.line_through(
                (x + side * 0.26, y + 0.06 + rise * 0.5),
                (x + side * 0.54, y + 0.05 + rise * 1.5),
                width=0.013,
                colour=WHITE,
                alpha=0.85,
            )


def _mouth(brush: Brush, *, mood: Mood, x: float, y: float, wide: float) -> None:
    if mood is Mood.LAUGH:
        brush.fill(
            smooth(
                (x - wide, y), (x, y + 0.015), (x + wide, y), (x + wide * 0.6, y + 0.12), (x - wide * 0.6, y + 0.12)
            ),
            (110, 44, 56),
        )
        brush.fill(ellipse(x, y + 0.1, wide * 0.5, 0.035), (240, 130, 138))
    elif mood is Mood.WONDER:
        brush.fill(ellipse(x, y + 0.05, 0.042, 0.055), (110, 44, 56))
    else:
        bend = 0.05 if mood is not Mood.CALM else 0.03
        for side in (-1, 1):
            points = [(x + side * wide * t, y + bend * (1 - (2 * t - 1) ** 2)) for t in (0, 0.25, 0.5, 0.75, 1)]
            brush.line_through(*points, width=0.022)


def _eyes(brush: Brush, likeness: Likeness, *, mood: Mood, x: float) -> None:
    apart, y = (0.34, HEAD_Y - 0.40) if likeness.species is Species.FROG else (0.27, HEAD_Y - 0.05)
    dark = likeness.pattern is Pattern.PATCH and sum(likeness.marking) < 260
    for side in (-1, 1):
        if mood is Mood.CALM or (mood is Mood.WINK and side == 1):
            bend = -0.05 if mood is Mood.WINK else 0.05
            line = [(x + side * apart + 0.10 * t, y + bend * (1 - t * t)) for t in (-1, -0.5, 0, 0.5, 1)]
            brush.line_through(*line, width=0.03, colour=WHITE if dark and side == 1 else INK)
        else:
            _eye(brush, likeness.eyes, x=x + side * apart, y=y, big=1.15 if mood is Mood.WONDER else 1.0)


def _eye(brush: Brush, eyes: Eyes, *, x: float, y: float, big: float) -> None:
    if eyes is Eyes.BUTTON:
        brush.fill(ellipse(x, y, 0.066 * big), INK)
        brush.fill(ellipse(x - 0.02, y - 0.022, 0.02), WHITE)
        return
    rx, ry = (0.078 * big, 0.135 * big) if eyes is Eyes.TALL else (0.105 * big, 0.115 * big)
    if eyes in _IRIS:
        rx, ry = 0.125 * big, 0.135 * big
        brush.fill(ellipse(x, y, rx * 1.12, ry * 1.1), WHITE)
        brush.fill(ellipse(x, y, rx, ry), mix(_IRIS[eyes], INK, 0.25))
        brush.fill(ellipse(x, y + 0.03, rx * 0.86, ry * 0.76), _IRIS[eyes])
        brush.fill(ellipse(x, y + 0.005, rx * 0.52, ry * 0.6), INK)
    else:
        brush.fill(ellipse(x, y, rx * 1.1, ry * 1.08), WHITE, alpha=0.5)
        brush.fill(ellipse(x, y, rx, ry), INK)
        brush.fill(ellipse(x, y + ry * 0.52, rx * 0.62, ry * 0.34), (122, 84, 84), alpha=0.7)
    brush.fill(ellipse(x - rx * 0.34, y - ry * 0.36, rx * 0.34, ry * 0.30), WHITE)
    brush.fill(ellipse(x + rx * 0.36, y + ry * 0.36, rx * 0.16), WHITE, alpha=0.9)


def paint_accessory(brush: Brush, likeness: Likeness, *, covered: bool) -> None:
    """What the character always wears on its head; a hat (`covered`) takes the place of a beanie only."""
    trim, dark = likeness.trim, mix(likeness.trim, INK, 0.25)
    if likeness.accessory is Accessory.BOW:
        x, y = 0.40, HEAD_Y - 0.42
        for side in (-1, 1):
            brush.part(
                smooth((x, y), (x + side * 0.24, y - 0.16), (x + side * 0.27, y + 0.02), (x + side * 0.22, y + 0.15)),
                trim,
            )
        brush.part(ellipse(x, y, 0.07), dark)
    elif likeness.accessory is Accessory.FLOWER:
        x, y = 0.38, HEAD_Y - 0.42
        for dx, dy in ((0.0, -0.13), (0.125, -0.04), (0.08, 0.105), (-0.08, 0.105), (-0.125, -0.04)):
            brush.part(ellipse(x + dx, y + dy, 0.085), trim, shade=0.12)
        brush.fill(ellipse(x, y, 0.07), (250, 222, 110), shade=0.2)
    elif likeness.accessory is Accessory.BEANIE and not covered:
        rx = HEAD_OF[likeness.species][0]
        brush.part(
            smooth(
                (-rx * 0.80, HEAD_Y - 0.28),
                (-rx * 0.62, HEAD_Y - 0.56),
                (0, HEAD_Y - 0.70),
                (rx * 0.62, HEAD_Y - 0.56),
                (rx * 0.80, HEAD_Y - 0.28),
                (0, HEAD_Y - 0.36),
            ),
            trim,
        )
        brush.part(limb(-rx * 0.74, HEAD_Y - 0.29, rx * 0.74, HEAD_Y - 0.29, 0.15), mix(trim, WHITE, 0.25))
        brush.part(ellipse(0, HEAD_Y - 0.74, 0.11), WHITE)
    elif likeness.accessory is Accessory.GLASSES:
        apart, y = (0.34, HEAD_Y - 0.40) if likeness.species is Species.FROG else (0.27, HEAD_Y - 0.05)
        brush.line_through((-0.12, y), (0.12, y), width=0.04, colour=trim)
        for side in (-1, 1):
            ring = [(side * apart + cx, y + cy) for cx, cy in ellipse(0, 0, 0.19)]
            brush.line_through(*ring, ring[0], ring[1], width=0.045, colour=trim)
            brush.fill(ellipse(side * apart - 0.05, y - 0.06, 0.07, 0.04, turn=-30), WHITE, alpha=0.35)
