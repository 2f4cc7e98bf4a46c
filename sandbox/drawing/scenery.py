"""Building blocks of backgrounds: daylight, skies, hills, trees, houses, rain and snow.

Lengths are shares of the canvas (0 to 1) unless a name says otherwise. `indoors.py` and `outdoors.py` combine them.
"""

import math
import random
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sandbox.drawing.characters import Colour, mix
from sandbox.drawing.paint import INK, WHITE, Canvas, Outline, ellipse, polygon, smooth, stroke

PARTY: tuple[Colour, ...] = ((240, 96, 104), (250, 196, 80), (96, 186, 214), (150, 204, 120), (200, 140, 214))


class Hour(StrEnum):
    DAWN = "dawn"
    DAY = "day"
    SUNSET = "sunset"
    NIGHT = "night"


class Weather(StrEnum):
    CLEAR = "clear"
    RAIN = "rain"
    SNOW = "snow"


SKIES: dict[Hour, tuple[Colour, Colour, Colour]] = {
    Hour.DAWN: ((150, 176, 226), (238, 204, 214), (255, 232, 202)),
    Hour.DAY: ((104, 178, 236), (170, 216, 246), (228, 244, 250)),
    Hour.SUNSET: ((98, 92, 168), (240, 138, 120), (255, 214, 150)),
    Hour.NIGHT: ((22, 28, 68), (46, 58, 116), (92, 102, 162)),
}
_VEILS: dict[Hour, tuple[Colour, float]] = {
    Hour.DAWN: ((255, 214, 206), 0.16),
    Hour.DAY: (WHITE, 0.0),
    Hour.SUNSET: ((226, 110, 92), 0.24),
    Hour.NIGHT: ((30, 38, 92), 0.52),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything a background is made from.

    Args:
        accent: the colour the prompt names for the surroundings, if it does.
    """

    canvas: Canvas
    rng: random.Random
    hour: Hour
    weather: Weather
    accent: Colour | None = None

    def lit(self, colour: Colour) -> Colour:
        """The colour as it looks at this hour."""
        veil, share = _VEILS[self.hour]
        return mix(colour, veil, share)

    def own(self, colour: Colour) -> Colour:
        """The prompt's accent if there is one, else `colour`, both as they look at this hour."""
        return self.lit(self.accent or colour)

    def x(self, share: float) -> float:
        return share * self.canvas.width

    def y(self, share: float) -> float:
        return share * self.canvas.height

    @property
    def unit(self) -> float:
        """Pixels of the shorter side: things keep their shape on wide and tall pictures."""
        return min(self.canvas.width, self.canvas.height)

    def at(self, x: float, y: float, outline: Outline) -> Outline:
        """An outline in units of the shorter side, placed with its origin at (x, y)."""
        return outline * self.unit + (self.x(x), self.y(y))


def sky(setting: Setting, *, horizon: float = 0.75, clouds: int = 3) -> None:
    """Gradient, sun or moon, stars and clouds down to the horizon."""
    canvas, rng, unit = setting.canvas, setting.rng, setting.unit
    high, middle, low = SKIES[setting.hour]
    if setting.weather is not Weather.CLEAR:
        high, middle, low = (mix(colour, (150, 158, 176), 0.5) for colour in (high, middle, low))
    canvas.sky(((0.0, high), (0.55, middle), (1.0, low)), bottom=setting.y(horizon) + 2)
    x, y = setting.x(rng.choice((0.16, 0.84)) + rng.uniform(-0.05, 0.05)), setting.y(rng.uniform(0.12, 0.22))
    if setting.hour is Hour.NIGHT:
        stars(setting, count=34, bottom=horizon)
        canvas.glow(x, y, unit * 0.24, colour=(214, 222, 255), alpha=0.5)
        canvas.shape(ellipse(x, y, unit * 0.06), (248, 244, 222), shade=0.1)
        canvas.shape(ellipse(x + unit * 0.028, y - unit * 0.012, unit * 0.052), mix(high, middle, 0.3), shade=0.0)
    elif setting.weather is Weather.CLEAR:
        y = setting.y(horizon - 0.12) if setting.hour is Hour.SUNSET else y
        canvas.glow(x, y, unit * 0.34, colour=(255, 244, 206), alpha=0.85)
        canvas.shape(ellipse(x, y, unit * 0.062), (255, 246, 214), shade=0.05)
    for _ in range(clouds):
        cloud(setting, rng.uniform(0.0, 1.0), rng.uniform(0.06, 0.36), size=rng.uniform(0.07, 0.13))


def cloud(setting: Setting, x: float, y: float, *, size: float) -> None:
    """A soft pile of puffs, `size` of the shorter side half wide."""
    colour = mix(SKIES[setting.hour][2], WHITE, 0.2 if setting.hour is Hour.NIGHT else 0.7)
    alpha = 0.35 if setting.hour is Hour.NIGHT else 0.85
    for dx, dy, reach in ((-0.8, 0.1, 0.6), (0.75, 0.12, 0.62), (-0.2, -0.2, 0.8), (0.35, -0.1, 0.7), (0.0, 0.2, 0.95)):
        px, py = setting.x(x) + dx * size * setting.unit, setting.y(y) + dy * size * setting.unit
        setting.canvas.glow(
            px, py, reach * size * setting.unit * 1.25, reach * size * setting.unit * 0.85, colour=colour, alpha=alpha
        )


def stars(setting: Setting, *, count: int, bottom: float) -> None:
    for _ in range(count):
        x, y, size = setting.rng.random(), setting.rng.random() * bottom, setting.rng.uniform(0.003, 0.008)
        setting.canvas.glow(setting.x(x), setting.y(y), setting.unit * size * 2.4, colour=WHITE, alpha=1.0)


def ridge(setting: Setting, y: float, colour: Colour, *, rise: float, waves: float = 2.0, shade: float = 0.12) -> None:
    """Rolling ground from `y` (its mean height) down to the lower edge, up and down by `rise`."""
    phase = setting.rng.uniform(0, 2 * math.pi)
    xs = np.linspace(-0.02, 1.02, 40)
    ys = y + rise * (0.65 * np.sin(xs * waves * math.pi + phase) + 0.35 * np.sin(xs * waves * 5.1 + phase * 2))
    top = np.stack([xs * setting.canvas.width, ys * setting.canvas.height], axis=1)
    corner = np.asarray([[setting.x(1.02), setting.y(1.02)], [setting.x(-0.02), setting.y(1.02)]])
    setting.canvas.shape(np.concatenate([top, corner]), setting.lit(colour), shade=shade)


def ground(setting: Setting, y: float, near: Colour, far: Colour) -> None:
    """Flat ground, `far` at the horizon `y`, `near` at the lower edge."""
    setting.canvas.sky(((0.0, setting.lit(far)), (1.0, setting.lit(near))), top=setting.y(y))


def tree(setting: Setting, x: float, y: float, *, size: float, leaves: Colour) -> None:
    """A round tree standing at (x, y)."""
    paint = setting.canvas.shape
    paint(
        setting.at(x, y, polygon([(-0.12 * size, 0), (-0.08 * size, -size), (0.08 * size, -size), (0.12 * size, 0)])),
        setting.lit((124, 92, 72)),
    )
    for dx, dy, reach in ((-0.28, -1.0, 0.36), (0.28, -1.02, 0.36), (0.0, -1.3, 0.46), (0.0, -0.95, 0.4)):
        paint(setting.at(x, y, ellipse(dx * size, dy * size, reach * size)), setting.lit(leaves), shade=0.22)


def pine(setting: Setting, x: float, y: float, *, size: float, leaves: Colour, snowy: bool = False) -> None:
    """A fir of three tiers standing at (x, y)."""
    trunk = polygon([(-0.06 * size, 0), (-0.06 * size, -0.4 * size), (0.06 * size, -0.4 * size), (0.06 * size, 0)])
    setting.canvas.shape(setting.at(x, y, trunk), setting.lit((112, 84, 70)))
    for bottom, top, wide in ((-0.14, -0.9, 0.46), (-0.5, -1.25, 0.37), (-0.9, -1.6, 0.27)):
        tier = smooth(
            (0, top * size), (wide * size, bottom * size), (0, (bottom + 0.08) * size), (-wide * size, bottom * size)
        )
        setting.canvas.shape(setting.at(x, y, tier), setting.lit(leaves), shade=0.3)
        if snowy:
            middle, low = (top + bottom) / 2 * size, (top * 0.6 + bottom * 0.4) * size
            cap = smooth((0, top * size), (wide * 0.5 * size, middle), (0, low), (-wide * 0.5 * size, middle))
            setting.canvas.shape(setting.at(x, y, cap), setting.lit((246, 250, 255)), shade=0.08)


def house(setting: Setting, x: float, y: float, *, wide: float, high: float, wall: Colour) -> None:
    """A block of flats with lit windows, its lower left corner at (x, y); sizes are of the shorter side."""
    box = polygon([(0, 0), (0, -high), (wide, -high), (wide, 0)])
    setting.canvas.shape(setting.at(x, y, box), setting.lit(wall), shade=0.2)
    dark = setting.hour in {Hour.NIGHT, Hour.SUNSET}
    columns, rows = max(1, round(wide / 0.045)), max(1, round(high / 0.06))
    for column in range(columns):
        for row in range(rows):
            glowing = setting.rng.random() < (0.6 if dark else 0.3)
            pane = (
                (255, 226, 140)
                if glowing and dark
                else mix(setting.lit(wall), (230, 244, 255) if glowing else INK, 0.45)
            )
            left, top = (column + 0.28) * wide / columns, -high + (row + 0.3) * high / rows
            window = polygon([(left, top), (left + 0.02, top), (left + 0.02, top + 0.03), (left, top + 0.03)])
            setting.canvas.shape(setting.at(x, y, window), pane, shade=0.0)


def tuft(setting: Setting, x: float, y: float, *, size: float, colour: Colour) -> None:
    """A tuft of grass."""
    for lean in (-0.5, -0.15, 0.2, 0.55):
        blade = stroke(
            [(lean * 0.2 * size, 0), (lean * 0.5 * size, -0.6 * size), (lean * size, -size)], 0.16 * size, tip=0.01
        )
        setting.canvas.shape(setting.at(x, y, blade), setting.lit(colour), shade=0.0)


def blossom(setting: Setting, x: float, y: float, *, size: float, colour: Colour) -> None:
    """A flower seen from the front."""
    for step in range(5):
        angle = step * 2 * math.pi / 5
        petal = ellipse(math.cos(angle) * size, math.sin(angle) * size, size * 0.7)
        setting.canvas.shape(setting.at(x, y, petal), setting.lit(colour), shade=0.1)
    setting.canvas.shape(setting.at(x, y, ellipse(0, 0, size * 0.55)), setting.lit((252, 220, 110)), shade=0.1)


def falling(setting: Setting) -> None:
    """Rain or snow in front of everything."""
    canvas, rng = setting.canvas, setting.rng
    if setting.weather is Weather.RAIN:
        for _ in range(46):
            x, y, length = rng.random(), rng.random(), rng.uniform(0.03, 0.06)
            drop = stroke([(0, 0), (-0.25 * length, length)], 0.005)
            canvas.shape(setting.at(x, y, drop), (226, 238, 252), shade=0.0, alpha=0.55)
    elif setting.weather is Weather.SNOW:
        for _ in range(46):
            size = setting.unit * rng.uniform(0.006, 0.02)
            canvas.glow(setting.x(rng.random()), setting.y(rng.random()), size, colour=WHITE, alpha=0.95)


def bokeh(setting: Setting, *, count: int, colours: tuple[Colour, ...], top: float, bottom: float) -> None:
    """Soft discs of light out of focus."""
    for _ in range(count):
        x, y, size = setting.rng.random(), setting.rng.uniform(top, bottom), setting.rng.uniform(0.012, 0.04)
        disc = ellipse(setting.x(x), setting.y(y), setting.unit * size)
        setting.canvas.shape(disc, setting.rng.choice(colours), shade=0.0, alpha=0.45)
