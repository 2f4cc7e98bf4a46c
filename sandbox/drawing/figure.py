"""Paint a whole character: tail, legs, body, arms and head, in any pose and outfit.

A figure's own coordinates: the head's middle at (0, -0.40), the tummy's at (0, 0.38), the soles at 0.92, one unit
about half the figure's height. Heads are in `faces.py`, clothes in `outfits.py`.
"""

import math
from dataclasses import dataclass

from sandbox.drawing.characters import Accessory, Likeness, Pattern, Species, mix
from sandbox.drawing.faces import HEAD_Y, Mood, paint_accessory, paint_head
from sandbox.drawing.outfits import BARE, Held, Outfit, paint_behind, paint_clothes, paint_hat, paint_held, sleeve
from sandbox.drawing.paint import INK, WHITE, Brush, Canvas, Frame, Outline, ellipse, limb, squircle, stroke

# Where a figure stands in each of the four variations: x, y and size as shares of the shorter side, and its lean.
COMPOSITIONS = ((0.50, 0.60, 0.345, 0.0), (0.42, 0.63, 0.365, -3.0), (0.58, 0.60, 0.325, 3.0), (0.50, 0.68, 0.42, 0.0))
_ARM = 0.36


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How a character stands in a picture.

    Args:
        frame: where, how large, leaning how far and looking which way.
        tilt: of the head, degrees. look: of the face to a side, -1 to 1.
        arms: degrees of the two arms, 0 hanging down, 90 stretched out, 160 up.
        seated: the feet point forwards.
    """

    frame: Frame
    mood: Mood = Mood.SMILE
    tilt: float = 0.0
    look: float = 0.0
    arms: tuple[float, float] = (28.0, 28.0)
    seated: bool = False


def paint_figure(canvas: Canvas, likeness: Likeness, pose: Pose, *, outfit: Outfit = BARE) -> None:
    """Paint the character onto the canvas, without its shadow on the ground."""
    brush = Brush(canvas=canvas, frame=pose.frame)
    head = brush.tilted(pose.tilt, about=(0, 0.0))
    _tail(brush, likeness)
    paint_behind(brush, outfit)
    _legs(brush, likeness, seated=pose.seated)
    body = squircle(0, 0.38, 0.43, 0.45, power=2.3)
    brush.part(body, likeness.body)
    brush.fill(ellipse(0, 0.46, 0.29, 0.33), likeness.belly, shade=0.12, within=body)
    _body_marks(brush, likeness, within=body)
    paint_clothes(brush, outfit, body=body)
    brush.glow(0, 0.06, 0.44, 0.16, colour=mix(likeness.body, INK, 0.6), alpha=0.35)
    hand = _arms(brush, likeness, outfit, pose=pose)
    _neck(brush, likeness)
    tall = outfit.held is Held.UMBRELLA or outfit.held is Held.BALLOON
    if tall:
        paint_held(brush, outfit, hand=hand)
    paint_head(head, likeness, mood=pose.mood, look=pose.look)
    paint_hat(head, outfit, species=likeness.species)
    paint_accessory(head, likeness, covered=outfit.hat is not None)
    if not tall:
        paint_held(brush, outfit, hand=hand)


def standing(size: int) -> Pose:
    """The pose of a reference picture `size` pixels wide and high."""
    return Pose(frame=Frame(x=size / 2, y=size * 0.58, unit=size * 0.40))


def paint_shadow(canvas: Canvas, pose: Pose) -> None:
    """The soft shadow on the ground, painted before the figure."""
    brush = Brush(canvas=canvas, frame=pose.frame)
    brush.glow(0.04, 0.92, 0.62, 0.13, colour=(34, 24, 44), alpha=0.5)


def _tail(brush: Brush, likeness: Likeness) -> None:
    coat, species = likeness.body, likeness.species
    if species is Species.PIG:
        curl = [(0.40 + 0.028 * t + 0.07 * math.sin(t * 0.75), 0.58 - 0.09 * math.cos(t * 0.75)) for t in range(11)]
        brush.part(stroke(curl, 0.075, tip=0.05), mix(coat, likeness.cheek, 0.3))
    elif species is Species.CAT or species is Species.MOUSE:
        curve = [(0.34 + 0.075 * t, 0.66 - 0.012 * t * t + 0.03 * math.sin(t)) for t in range(8)]
        width = 0.13 if species is Species.CAT else 0.07
        brush.part(ellipse(*curve[-1], width * 0.48), coat)
        brush.part(stroke(curve, width, tip=width * 0.8), coat)
    elif species is Species.FOX:
        brush.part(ellipse(0.62, 0.46, 0.22, 0.42, turn=34), coat)
        brush.fill(
            ellipse(0.84, 0.14, 0.20, 0.24, turn=34), likeness.belly, within=ellipse(0.62, 0.46, 0.22, 0.42, turn=34)
        )
    elif species is Species.DOG:
        brush.part(limb(0.36, 0.58, 0.70, 0.26, 0.16, tip=0.09), coat)
    elif species is Species.RABBIT or species is Species.BEAR:
        brush.part(ellipse(0.44, 0.62, 0.15), mix(coat, WHITE, 0.35) if species is Species.RABBIT else coat)


def _legs(brush: Brush, likeness: Likeness, *, seated: bool) -> None:
    for side in (-1, 1):
        if seated:
            brush.part(ellipse(side * 0.34, 0.76, 0.19, 0.17, turn=-side * 12), likeness.body)
            brush.fill(ellipse(side * 0.36, 0.77, 0.11, 0.10), mix(likeness.cheek, likeness.body, 0.35), shade=0.1)
        else:
            brush.part(squircle(side * 0.21, 0.80, 0.165, 0.125), mix(likeness.body, INK, 0.06))


def _body_marks(brush: Brush, likeness: Likeness, *, within: Outline) -> None:
    if likeness.pattern is Pattern.STRIPES:
        for side in (-1, 1):
            for y in (0.24, 0.40, 0.56):
                brush.fill(limb(side * 0.48, y, side * 0.32, y + 0.02, 0.08, tip=0.03), likeness.marking, within=within)
    elif likeness.pattern is Pattern.SPOTS:
        for x, y, size in ((-0.36, 0.30, 0.07), (0.36, 0.44, 0.08), (-0.34, 0.60, 0.06)):
            brush.fill(ellipse(x, y, size), likeness.marking, shade=0.1, within=within)


def _arms(brush: Brush, likeness: Likeness, outfit: Outfit, *, pose: Pose) -> tuple[float, float]:
    """Paint both arms; the right one's hand is returned, for what it holds."""
    cloth = sleeve(outfit)
    hand = (0.0, 0.0)
    for side, degrees in ((-1, pose.arms[0]), (1, pose.arms[1])):
        angle = math.radians(degrees)
        shoulder = (side * 0.33, 0.16)
        hand = (shoulder[0] + side * _ARM * math.sin(angle), shoulder[1] + _ARM * math.cos(angle))
        brush.part(limb(*shoulder, *hand, 0.17, tip=0.18), likeness.body)
        if cloth is not None:
            wrist = (shoulder[0] + (hand[0] - shoulder[0]) * 0.72, shoulder[1] + (hand[1] - shoulder[1]) * 0.72)
            brush.part(limb(*shoulder, *wrist, 0.20, tip=0.20), cloth)
        if likeness.species is Species.FOX or likeness.species is Species.PIG:
            brush.fill(
                ellipse(*hand, 0.075),
                mix(likeness.body, INK, 0.35)
                if likeness.species is Species.FOX
                else mix(likeness.cheek, likeness.body, 0.4),
            )
    return hand


def _neck(brush: Brush, likeness: Likeness) -> None:
    """A scarf or a collar, over any clothes, under the chin."""
    trim = likeness.trim
    if likeness.accessory is Accessory.SCARF:
        brush.part(limb(-0.20, 0.22, -0.26, 0.52, 0.17, tip=0.2), mix(trim, INK, 0.08))
        for y in (0.40, 0.48):
            brush.fill(limb(-0.32, y, -0.16, y + 0.02, 0.03), mix(trim, WHITE, 0.55))
        brush.part(_scarf(), trim)
    elif likeness.accessory is Accessory.COLLAR:
        brush.part(limb(-0.32, 0.11, 0.32, 0.11, 0.10), trim)
        brush.part(ellipse(0, 0.20, 0.085), (246, 206, 88), shade=0.35)
        brush.fill(ellipse(0, 0.225, 0.022), INK)


def _scarf() -> Outline:
    """The scarf's winding around the neck."""
    return squircle(0, HEAD_Y + 0.52, 0.46, 0.135, power=2.8)
