"""Drawing primitives: soft-shaded, antialiased shapes, gradients and glows on a PIL picture.

Units are pixels of the canvas; `Frame` maps a figure's own coordinates to them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from sandbox.drawing.characters import Colour, mix

Outline: TypeAlias = npt.NDArray[np.float64]

WHITE: Colour = (255, 255, 255)
INK: Colour = (52, 36, 44)


def ellipse(x: float, y: float, rx: float, ry: float | None = None, *, turn: float = 0.0) -> Outline:
    """An ellipse around (x, y), turned clockwise by `turn` degrees; shape (points, 2)."""
    points = _circle() * (rx, rx if ry is None else ry)
    return np.add(_turned(points, turn) if turn else points, (x, y))


def squircle(x: float, y: float, rx: float, ry: float, *, power: float = 2.5) -> Outline:
    """An ellipse with fuller corners as `power` grows above 2."""
    circle = _circle()
    return np.sign(circle) * np.abs(circle) ** (2 / power) * (rx, ry) + (x, y)


def polygon(points: Sequence[tuple[float, float]]) -> Outline:
    """Straight lines between the points."""
    return np.asarray(points, dtype=np.float64)


def smooth(*points: tuple[float, float]) -> Outline:
    """A closed curve through the points, which stand in order around it (Catmull-Rom)."""
    p1 = np.asarray(points, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, axis=0), np.roll(p1, -1, axis=0), np.roll(p1, -2, axis=0)
    t = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (2 * p1, p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3))
    curve: Outline = (0.5 * (a + b * t + c * t**2 + d * t**3)).reshape(-1, 2)
    return curve


def stroke(points: Sequence[tuple[float, float]], width: float, *, tip: float | None = None) -> Outline:
    """An open line as an outline `width` wide at its start and `tip` (default: the same) wide at its end."""
    line = np.asarray(points, dtype=np.float64)
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(width, width if tip is None else tip, len(line))[:, None] / 2
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def limb(x0: float, y0: float, x1: float, y1: float, width: float, *, tip: float | None = None) -> Outline:
    """A limb from one point to another with round ends, `width` thick at the start and `tip` at the end."""
    angle = math.atan2(y1 - y0, x1 - x0)
    end = width if tip is None else tip
    around = np.linspace(math.pi / 2, 3 * math.pi / 2, 14) + angle
    arc = np.stack([np.cos(around), np.sin(around)], axis=1)
    return np.concatenate([arc * width / 2 + (x0, y0), -arc * end / 2 + (x1, y1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A figure's own coordinates: origin at (x, y), one unit is `unit` pixels, y down.

    Args:
        turn: degrees clockwise. flip: the figure looks the other way.
    """

    x: float
    y: float
    unit: float
    turn: float = 0.0
    flip: bool = False

    def place(self, outline: Outline) -> Outline:
        points = outline * (-1, 1) if self.flip else outline
        points = _turned(points, self.turn) if self.turn else points
        return points * self.unit + (self.x, self.y)

    def find(self, points: Outline) -> Outline:
        """Where pixels lie in the figure's own coordinates; undoes `place`."""
        outline = (points - (self.x, self.y)) / self.unit
        outline = _turned(outline, -self.turn) if self.turn else outline
        return outline * (-1, 1) if self.flip else outline

    def tilted(self, turn: float, *, about: tuple[float, float]) -> "Frame":
        """The same frame turned about one of its own points: a tilted head on an upright body."""
        pivot = self.place(np.asarray([about]))[0]
        origin = _turned(np.asarray([[self.x, self.y]]) - pivot, turn)[0] + pivot
        return Frame(x=origin[0], y=origin[1], unit=self.unit, turn=self.turn + turn, flip=self.flip)


class Canvas:
    """A picture being painted, back to front."""

    def __init__(self, size: tuple[int, int], colour: Colour = WHITE) -> None:
        self.image = Image.new("RGB", size, colour)
        self.width, self.height = size

    def sky(self, stops: Sequence[tuple[float, Colour]], *, top: float = 0, bottom: float | None = None) -> None:
        """A vertical gradient through `stops` (0 at `top`, 1 at `bottom`, both in pixels)."""
        y0 = round(top)
        y1 = self.height if bottom is None else min(round(bottom), self.height)
        if y1 > y0:
            ramp = Image.linear_gradient("L").resize((1, y1 - y0), Image.Resampling.BILINEAR)
            self.image.paste(_coloured(ramp, tuple(stops)).resize((self.width, y1 - y0)), (0, y0))

    def shape(
        self, outline: Outline, colour: Colour, *, shade: float = 0.2, alpha: float = 1.0, within: Outline | None = None
    ) -> None:
        """Fill an outline, lit from the upper left.

        Args:
            shade: how much darker the lower right edge is; 0 paints flat.
            within: paint only where this second outline covers too.
        """
        box = self._box(outline)
        if box is None:
            return
        mask = _mask(outline, box)
        if within is not None:
            mask = ImageChops.multiply(mask, _mask(within, box))
        if alpha < 1.0:
            mask = Image.fromarray(_ramp(alpha)[np.asarray(mask)])
        if shade == 0.0:
            self.image.paste(colour, box, mask)
            return
        self.image.paste(_lit(outline, box, colour=colour, shade=shade), box, mask)

    def outlined(self, outline: Outline, colour: Colour, *, line: float, shade: float = 0.2) -> None:
        """A shape with a soft contour `line` pixels thick in a deeper tone of its own colour."""
        self.shape(_grown(outline, line), mix(colour, INK, 0.45), shade=0.0)
        self.shape(outline, colour, shade=shade)

    def glow(self, x: float, y: float, rx: float, ry: float | None = None, *, colour: Colour, alpha: float) -> None:
        """Light (or shadow) that fades from the middle of an ellipse to its edge."""
        ry = rx if ry is None else ry
        box = (round(x - rx), round(y - ry), round(x + rx), round(y + ry))
        if box[2] - box[0] < 2 or box[3] - box[1] < 2:
            return
        mask = _fade(round(alpha * 100)).resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR)
        self.image.paste(colour, box, mask)

    def line(self, points: Outline, width: float, colour: Colour, *, alpha: float = 1.0) -> None:
        """A line of even width through the points."""
        self.shape(stroke([(x, y) for x, y in points], width), colour, shade=0.0, alpha=alpha)

    def tint(self, colour: Colour, share: float) -> None:
        """Lay a thin veil of one colour over everything."""
        self.image = Image.blend(self.image, Image.new("RGB", self.image.size, colour), share)

    def _box(self, outline: Outline) -> tuple[int, int, int, int] | None:
        (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
        x0, y0 = max(math.floor(left) - 1, 0), max(math.floor(top) - 1, 0)
        x1, y1 = min(math.ceil(right) + 1, self.width), min(math.ceil(bottom) + 1, self.height)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brush:
    """A canvas seen from a figure's own coordinates; `line` is the contour's width in them."""

    canvas: Canvas
    frame: Frame
    line: float = 0.018

    def part(self, outline: Outline, colour: Colour, *, shade: float = 0.22) -> None:
        """A shaded part with a contour."""
        self.canvas.outlined(self.frame.place(outline), colour, line=self.line * self.frame.unit, shade=shade)

    def fill(
        self, outline: Outline, colour: Colour, *, shade: float = 0.0, alpha: float = 1.0, within: Outline | None = None
    ) -> None:
        """A part without a contour, kept inside another outline where one is given."""
        inside = None if within is None else self.frame.place(within)
        self.canvas.shape(self.frame.place(outline), colour, shade=shade, alpha=alpha, within=inside)

    def line_through(
        self, *points: tuple[float, float], width: float, colour: Colour = INK, alpha: float = 1.0
    ) -> None:
        """A rounded line through the points."""
        self.fill(stroke(points, width), colour, alpha=alpha)

    def glow(self, x: float, y: float, rx: float, ry: float, *, colour: Colour, alpha: float) -> None:
        (px, py), unit = self.frame.place(np.asarray([[x, y]]))[0], self.frame.unit
        self.canvas.glow(px, py, rx * unit, ry * unit, colour=colour, alpha=alpha)

    def tilted(self, turn: float, *, about: tuple[float, float]) -> "Brush":
        return Brush(canvas=self.canvas, frame=self.frame.tilted(turn, about=about), line=self.line)


@lru_cache(maxsize=1)
def _circle() -> Outline:
    angle = np.linspace(0, 2 * math.pi, 44, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _turned(points: Outline, degrees: float) -> Outline:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: Outline = points @ np.asarray([[cos, sin], [-sin, cos]])
    return turned


def _grown(outline: Outline, by: float) -> Outline:
    """The outline moved outwards along its normals; what a contour needs, not an exact offset."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1)
    x, y = outline[:, 0], outline[:, 1]
    clockwise = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) > 0
    return outline + normal * (by if clockwise else -by)


def _mask(outline: Outline, box: tuple[int, int, int, int]) -> Image.Image:
    """Coverage of each pixel of the box by the outline, 0 to 255, from 2x2 or 4x4 samples."""
    width, height = box[2] - box[0], box[3] - box[1]
    samples = 4 if width * height < 40_000 else 2
    mask = Image.new("L", (width * samples, height * samples))
    points = (outline - (box[0], box[1])) * samples - 0.5
    ImageDraw.Draw(mask).polygon(points.ravel().tolist(), fill=255)
    return mask.reduce(samples)


def _lit(outline: Outline, box: tuple[int, int, int, int], *, colour: Colour, shade: float) -> Image.Image:
    """The box filled with `colour`, brighter towards the upper left of the whole outline, darker to the lower right."""
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    reach_x, reach_y = (right - left) * 0.95 + 1, (bottom - top) * 0.95 + 1
    x, y = left + (right - left) * 0.36, top + (bottom - top) * 0.28
    # The gradient is 256 wide around its middle; this is the part of it that the box sees.
    seen = (
        (box[0] - x + reach_x) * 128 / reach_x,
        (box[1] - y + reach_y) * 128 / reach_y,
        (box[2] - x + reach_x) * 128 / reach_x,
        (box[3] - y + reach_y) * 128 / reach_y,
    )
    size = (box[2] - box[0], box[3] - box[1])
    seen = (max(seen[0], 0.0), max(seen[1], 0.0), min(seen[2], 256.0), min(seen[3], 256.0))
    distance = _distance().resize(size, Image.Resampling.BILINEAR, box=seen)
    stops = ((0.0, mix(colour, WHITE, shade * 0.55)), (0.35, colour), (1.0, mix(colour, INK, shade * 1.3)))
    return _coloured(distance, stops)


@lru_cache(maxsize=1)
def _distance() -> Image.Image:
    return Image.radial_gradient("L")


@lru_cache(maxsize=128)
def _fade(percent: int) -> Image.Image:
    """Full strength in the middle of a 128-pixel square, smoothly nothing at its inscribed circle."""
    near = [max(0.0, 1 - value / 180) for value in range(256)]
    table = [round(255 * percent / 100 * (share * share * (3 - 2 * share))) for share in near]
    return _distance().point(table).resize((128, 128), Image.Resampling.BILINEAR)


# `Image.point` rounds its table anew at every call, which costs more than a small shape: arrays and palettes are kept.
@lru_cache(maxsize=64)
def _ramp(alpha: float) -> npt.NDArray[np.uint8]:
    return np.asarray([round(value * alpha) for value in range(256)], dtype=np.uint8)


@lru_cache(maxsize=512)
def _palette(stops: tuple[tuple[float, Colour], ...]) -> bytes:
    at = [255 * stop for stop, _ in stops]
    channels = [np.interp(np.arange(256), at, [colour[i] for _, colour in stops]) for i in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()


def _coloured(values: Image.Image, stops: tuple[tuple[float, Colour], ...]) -> Image.Image:
    indices = values.copy()
    indices.putpalette(_palette(stops))
    return indices.convert("RGB")
