"""Clothes, hats and held things of one prompt, which do not change the character.

In the figure's coordinates (see `figure.py`). The character's own accessory is in `faces.py`.
"""

from dataclasses import dataclass
from enum import StrEnum

from sandbox.drawing.characters import Colour, Species, mix
from sandbox.drawing.faces import HEAD_OF, HEAD_Y
from sandbox.drawing.paint import INK, WHITE, Brush, Outline, ellipse, limb, polygon, smooth, squircle


class Garment(StrEnum):
    RAINCOAT = "raincoat"
    SPACESUIT = "spacesuit"
    SWEATER = "sweater"
    APRON = "apron"
    DRESS = "dress"
    OVERALLS = "overalls"
    KIMONO = "kimono"
    CAPE = "cape"


class Hat(StrEnum):
    CROWN = "crown"
    CHEF = "chef"
    PARTY = "party"
    STRAW = "straw"
    WIZARD = "wizard"
    HOOD = "hood"
    HELMET = "helmet"


class Held(StrEnum):
    UMBRELLA = "umbrella"
    BALLOON = "balloon"
    BOOK = "book"
    LANTERN = "lantern"
    ICE_CREAM = "ice cream"
    FLOWER = "flower"
    CUP = "cup"
    STAR = "star"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What is worn and held, each with its colour; None is nothing."""

    garment: Garment | None = None
    garment_colour: Colour = (246, 204, 72)
    hat: Hat | None = None
    hat_colour: Colour = (240, 196, 80)
    held: Held | None = None
    held_colour: Colour = (222, 84, 90)


BARE = Outfit()


def paint_behind(brush: Brush, outfit: Outfit) -> None:
    """What shows behind the body: the cape."""
    if outfit.garment is Garment.CAPE:
        brush.part(
            smooth(
                (-0.26, -0.02),
                (0.26, -0.02),
                (0.58, 0.50),
                (0.66, 0.84),
                (0.22, 0.76),
                (-0.22, 0.80),
                (-0.66, 0.84),
                (-0.58, 0.50),
            ),
            outfit.garment_colour,
            shade=0.35,
        )


def sleeve(outfit: Outfit) -> Colour | None:
    """The colour of the sleeves; None leaves the arms bare."""
    bare = {None, Garment.APRON, Garment.DRESS, Garment.OVERALLS, Garment.CAPE}
    return None if outfit.garment in bare else mix(outfit.garment_colour, WHITE, 0.06)


def paint_clothes(brush: Brush, outfit: Outfit, *, body: Outline) -> None:
    """What covers the tummy, cut to the outline of the body."""
    garment, colour = outfit.garment, outfit.garment_colour
    if garment is None or garment is Garment.CAPE:
        return
    if garment in {Garment.APRON, Garment.OVERALLS}:
        _bib(brush, colour, width=0.34 if garment is Garment.APRON else 0.50, body=body)
    elif garment is Garment.DRESS:
        _dress(brush, colour)
    else:
        coat = _coat(long=garment is not Garment.SWEATER)
        brush.part(coat, colour)
        _trimmings(brush, garment, colour=colour, body=coat)


def _bib(brush: Brush, colour: Colour, *, width: float, body: Outline) -> None:
    """With its two straps and a pocket."""
    dark, light = mix(colour, INK, 0.28), mix(colour, WHITE, 0.4)
    brush.fill(squircle(0, 0.52, width, 0.34, power=4), colour, shade=0.2, within=body)
    for side in (-1, 1):
        brush.fill(limb(side * 0.20, 0.02, side * 0.20, 0.26, 0.08), dark, within=body)
    brush.fill(squircle(0, 0.52, 0.14, 0.10, power=4), light, within=body)


def _dress(brush: Brush, colour: Colour) -> None:
    """With its dots."""
    right = ((0.26, 0.10), (0.40, 0.48), (0.58, 0.80))
    left = ((-0.58, 0.80), (-0.40, 0.48))
    brush.part(smooth((-0.26, 0.10), (0, 0.06), *right, (0, 0.87), *left), colour)
    dots = ((-0.34, 0.68), (-0.12, 0.72), (0.12, 0.72), (0.34, 0.68), (-0.2, 0.48), (0.02, 0.50), (0.22, 0.48))
    for x, y in dots:
        brush.fill(ellipse(x, y, 0.035), mix(colour, WHITE, 0.4))


def _coat(*, long: bool) -> Outline:
    hem = 0.80 if long else 0.66
    return smooth(
        (-0.27, 0.04),
        (0, 0.0),
        (0.27, 0.04),
        (0.44, 0.36),
        (0.48, hem - 0.04),
        (0, hem + 0.04),
        (-0.48, hem - 0.04),
        (-0.44, 0.36),
    )


def _trimmings(brush: Brush, garment: Garment, *, colour: Colour, body: Outline) -> None:
    dark, light = mix(colour, INK, 0.28), mix(colour, WHITE, 0.45)
    if garment is Garment.RAINCOAT:
        brush.line_through((0, 0.06), (0, 0.80), width=0.03, colour=dark)
        for y in (0.26, 0.44, 0.62):
            brush.fill(ellipse(0.07, y, 0.036), WHITE, shade=0.2)
        for side in (-1, 1):
            brush.fill(squircle(side * 0.26, 0.58, 0.10, 0.07, power=4), dark, alpha=0.6)
    elif garment is Garment.SPACESUIT:
        brush.fill(squircle(0, 0.38, 0.19, 0.14, power=4), light, shade=0.15)
        for x, lamp in ((-0.09, (228, 84, 84)), (0.0, (240, 190, 70)), (0.09, (90, 176, 226))):
            brush.fill(ellipse(x, 0.36, 0.034), lamp)
        brush.fill(limb(-0.5, 0.64, 0.5, 0.64, 0.07), dark, within=body)
    elif garment is Garment.KIMONO:
        for side in (-1, 1):
            brush.fill(limb(side * 0.22, 0.02, -side * 0.06, 0.46, 0.08), light, within=body)
        brush.fill(limb(-0.6, 0.50, 0.6, 0.50, 0.17), mix(dark, (214, 62, 62), 0.35), within=body)
        for x, y in ((-0.3, 0.70), (0.1, 0.72), (0.32, 0.32), (-0.32, 0.30)):
            brush.fill(ellipse(x, y, 0.05), light, within=body)
    else:
        for y in (0.24, 0.42, 0.60):
            brush.fill(limb(-0.6, y, 0.6, y, 0.06), light, within=body)


def paint_hat(brush: Brush, outfit: Outfit, *, species: Species) -> None:
    """What sits on the head, in front of the ears."""
    if outfit.hat is None:
        return
    # A frog's eyes stand where others' hats begin.
    top, rx = HEAD_Y - HEAD_OF[species][1] - (0.08 if species is Species.FROG else 0.0), HEAD_OF[species][0]
    _HATS[outfit.hat](brush, outfit.hat_colour, top=top, rx=rx)


def _crown(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    peaks = [(-0.30, -0.17), (-0.16, 0.0), (0.0, -0.24), (0.16, 0.0), (0.30, -0.17)]
    points = [(-0.27, top + 0.12), *((x, top + y) for x, y in peaks), (0.27, top + 0.12)]
    brush.part(limb(-0.24, top + 0.10, 0.24, top + 0.10, 0.12), colour)
    brush.part(polygon(points), colour, shade=0.3)
    for x, y in ((-0.30, -0.17), (0.0, -0.24), (0.30, -0.17)):
        brush.fill(ellipse(x * rx / 0.6, top + y, 0.045), (226, 74, 96), shade=0.2)


def _chef(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    white = mix(colour, WHITE, 0.9)
    for x, y, size in ((-0.20, -0.20, 0.17), (0.20, -0.20, 0.17), (0.0, -0.28, 0.20)):
        brush.part(ellipse(x, top + y, size), white, shade=0.12)
    brush.part(squircle(0, top, rx * 0.46, 0.15, power=4), white, shade=0.12)


def _party(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    cone = polygon([(-rx * 0.38, top + 0.08), (0.04, top - 0.46), (rx * 0.38, top + 0.08)])
    brush.part(cone, colour)
    for y in (-0.04, -0.20):
        brush.fill(limb(-0.4, top + y, 0.4, top + y - 0.08, 0.06), WHITE, alpha=0.85, within=cone)
    brush.part(ellipse(0.04, top - 0.46, 0.075), (250, 222, 110))


def _straw(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    brush.part(ellipse(0, top + 0.12, rx * 1.22, 0.13), colour)
    brush.part(
        smooth(
            (-rx * 0.58, top + 0.10),
            (-rx * 0.46, top - 0.18),
            (0, top - 0.24),
            (rx * 0.46, top - 0.18),
            (rx * 0.58, top + 0.10),
        ),
        colour,
    )
    brush.fill(limb(-rx * 0.54, top + 0.05, rx * 0.54, top + 0.05, 0.08), (204, 78, 78))


def _wizard(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    brush.part(
        smooth(
            (-rx * 0.55, top + 0.08),
            (-0.14, top - 0.34),
            (0.10, top - 0.56),
            (0.22, top - 0.44),
            (0.20, top - 0.26),
            (rx * 0.55, top + 0.08),
        ),
        colour,
    )
    brush.part(ellipse(0, top + 0.10, rx * 1.05, 0.10), colour)
    for x, y in ((-0.12, -0.06), (0.10, -0.22), (0.16, 0.0)):
        brush.fill(ellipse(x, top + y, 0.035), (250, 222, 110))


def _hood(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    brush.part(
        smooth(
            (-rx * 1.0, top + 0.46),
            (-rx * 0.88, top + 0.14),
            (-rx * 0.4, top - 0.07),
            (rx * 0.4, top - 0.07),
            (rx * 0.88, top + 0.14),
            (rx * 1.0, top + 0.46),
            (rx * 0.80, top + 0.28),
            (rx * 0.40, top + 0.13),
            (-rx * 0.40, top + 0.13),
            (-rx * 0.80, top + 0.28),
        ),
        colour,
    )


def _helmet(brush: Brush, colour: Colour, *, top: float, rx: float) -> None:
    ring = [(x, y) for x, y in ellipse(0, HEAD_Y - 0.04, rx * 1.26, 0.72)]
    brush.fill(ellipse(0, HEAD_Y - 0.04, rx * 1.26, 0.72), (206, 232, 250), alpha=0.16)
    brush.line_through(*ring, ring[0], ring[1], width=0.05, colour=mix(colour, WHITE, 0.5))
    brush.fill(ellipse(-rx * 0.72, top + 0.20, 0.07, 0.2, turn=34), WHITE, alpha=0.55)


_HATS = {
    Hat.CROWN: _crown,
    Hat.CHEF: _chef,
    Hat.PARTY: _party,
    Hat.STRAW: _straw,
    Hat.WIZARD: _wizard,
    Hat.HOOD: _hood,
    Hat.HELMET: _helmet,
}


def paint_held(brush: Brush, outfit: Outfit, *, hand: tuple[float, float]) -> None:
    """What the character holds, in front of its hand."""
    if outfit.held is not None:
        _HELD[outfit.held](brush, outfit.held_colour, x=hand[0], y=hand[1])


def _umbrella(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    brush.line_through((x, y + 0.16), (x, y - 1.0), width=0.04, colour=(110, 84, 76))
    dome = smooth(
        (x - 0.62, y - 0.88),
        (x - 0.42, y - 1.22),
        (x, y - 1.36),
        (x + 0.42, y - 1.22),
        (x + 0.62, y - 0.88),
        (x + 0.3, y - 0.93),
        (x, y - 0.90),
        (x - 0.3, y - 0.93),
    )
    brush.part(dome, colour)
    brush.fill(ellipse(x, y - 0.95, 0.22, 0.42), mix(colour, WHITE, 0.4), within=dome)


def _balloon(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    brush.line_through((x, y), (x + 0.05, y - 0.35), (x + 0.02, y - 0.7), width=0.02, colour=(130, 110, 112))
    brush.part(ellipse(x + 0.02, y - 1.0, 0.27, 0.33), colour, shade=0.3)
    brush.fill(ellipse(x - 0.07, y - 1.12, 0.05, 0.09, turn=24), WHITE, alpha=0.7)


def _book(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    for side in (-1, 1):
        brush.part(
            polygon([(x, y - 0.10), (x + side * 0.27, y - 0.17), (x + side * 0.27, y + 0.14), (x, y + 0.21)]), colour
        )
        brush.fill(
            polygon([(x, y - 0.12), (x + side * 0.24, y - 0.18), (x + side * 0.24, y - 0.13), (x, y - 0.06)]), WHITE
        )


def _lantern(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    brush.glow(x, y + 0.22, 0.62, 0.62, colour=(255, 214, 120), alpha=0.65)
    brush.line_through((x, y), (x, y + 0.08), width=0.03, colour=(90, 70, 66))
    brush.part(squircle(x, y + 0.24, 0.16, 0.18), colour, shade=0.1)
    brush.fill(ellipse(x, y + 0.25, 0.09, 0.12), (255, 238, 170))


def _ice_cream(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    brush.part(polygon([(x - 0.11, y - 0.12), (x + 0.11, y - 0.12), (x, y + 0.18)]), (224, 172, 104))
    brush.part(ellipse(x, y - 0.20, 0.15), colour)
    brush.part(ellipse(x, y - 0.38, 0.12), mix(colour, WHITE, 0.6))


def _flower(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    brush.line_through((x, y + 0.14), (x + 0.02, y - 0.26), width=0.035, colour=(90, 150, 80))
    for dx, dy in ((0.0, -0.12), (0.115, -0.04), (0.07, 0.1), (-0.07, 0.1), (-0.115, -0.04)):
        brush.part(ellipse(x + dx, y - 0.36 + dy, 0.075), colour, shade=0.1)
    brush.fill(ellipse(x, y - 0.36, 0.065), (250, 222, 110))


def _cup(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    brush.glow(x, y - 0.26, 0.14, 0.24, colour=WHITE, alpha=0.6)
    brush.part(squircle(x, y, 0.13, 0.13, power=4), colour)
    brush.fill(ellipse(x, y - 0.10, 0.11, 0.03), mix(colour, INK, 0.5))


def _star(brush: Brush, colour: Colour, *, x: float, y: float) -> None:
    y -= 0.28
    brush.glow(x, y, 0.5, 0.5, colour=(255, 240, 170), alpha=0.7)
    tips = (
        (0, -0.24),
        (0.06, -0.08),
        (0.23, -0.07),
        (0.10, 0.04),
        (0.14, 0.20),
        (0, 0.11),
        (-0.14, 0.20),
        (-0.10, 0.04),
        (-0.23, -0.07),
        (-0.06, -0.08),
    )
    brush.part(polygon([(x + dx, y + dy) for dx, dy in tips]), mix(colour, (255, 226, 110), 0.8))


_HELD = {
    Held.UMBRELLA: _umbrella,
    Held.BALLOON: _balloon,
    Held.BOOK: _book,
    Held.LANTERN: _lantern,
    Held.ICE_CREAM: _ice_cream,
    Held.FLOWER: _flower,
    Held.CUP: _cup,
    Held.STAR: _star,
}
