"""Paint outdoor places, and the sea floor, from the blocks of `scenery.py`, back to front."""

import math

from sandbox.drawing.characters import Colour, mix
from sandbox.drawing.paint import INK, WHITE, ellipse, limb, polygon, smooth, squircle, stroke
from sandbox.drawing.scenery import PARTY, Hour, Setting, Weather, blossom, ground, house, pine, ridge, sky, stars, tree

_HAZE: Colour = (206, 216, 232)


def meadow(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.7)
    ridge(setting, 0.60, (150, 192, 176), rise=0.05)
    ridge(setting, 0.66, (142, 194, 120), rise=0.04, waves=1.5)
    for x in (rng.uniform(0, 0.2), rng.uniform(0.8, 1.0)):
        tree(setting, x, 0.72, size=rng.uniform(0.13, 0.18), leaves=setting.accent or (96, 164, 88))
    ridge(setting, 0.76, (126, 188, 96), rise=0.02, waves=1)
    for _ in range(14):
        x, y = rng.random(), rng.uniform(0.8, 0.97)
        blossom(setting, x, y, size=0.008 + 0.01 * (y - 0.8), colour=rng.choice(PARTY))


def garden(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.7, clouds=2)
    ridge(setting, 0.58, (118, 178, 112), rise=0.03, waves=6)
    for step in range(11):
        fence = polygon([(0, 0), (0, -0.15), (0.025, -0.18), (0.05, -0.15), (0.05, 0)])
        setting.canvas.shape(setting.at(step / 10 - 0.03, 0.72, fence), setting.lit((248, 244, 236)), shade=0.1)
    ridge(setting, 0.72, (134, 194, 102), rise=0.01)
    for _ in range(22):
        x, y = rng.random(), rng.uniform(0.72, 0.86)
        setting.canvas.shape(
            setting.at(x, y, stroke([(0, 0), (0.004, 0.05)], 0.008)), setting.lit((84, 148, 76)), shade=0.0
        )
        blossom(
            setting,
            x,
            y,
            size=0.017,
            colour=setting.accent if setting.accent and rng.random() < 0.7 else rng.choice(PARTY),
        )


def beach(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.56)
    setting.canvas.sky(
        ((0.0, setting.lit((70, 150, 200))), (1.0, setting.lit((126, 212, 214)))),
        top=setting.y(0.54),
        bottom=setting.y(0.74),
    )
    for _ in range(9):
        x, y, wide = rng.random(), rng.uniform(0.57, 0.70), rng.uniform(0.03, 0.08)
        setting.canvas.shape(setting.at(x, y, ellipse(0, 0, wide, 0.004)), WHITE, shade=0.0, alpha=0.5)
    ridge(setting, 0.725, (250, 250, 246), rise=0.008, waves=4, shade=0.0)
    ridge(setting, 0.74, (242, 214, 160), rise=0.008, waves=4)
    x = rng.choice((0.12, 0.88))
    _parasol(setting, x, 0.80, colour=setting.accent or (236, 92, 92))
    for _ in range(5):
        sx, sy = rng.random(), rng.uniform(0.82, 0.97)
        setting.canvas.shape(
            setting.at(sx, sy, ellipse(0, 0, 0.016, 0.012)), setting.lit(rng.choice(((250, 190, 170), (252, 236, 214))))
        )


def _parasol(setting: Setting, x: float, y: float, *, colour: Colour) -> None:
    paint = setting.canvas.shape
    paint(setting.at(x, y, limb(0, 0, 0.02, -0.40, 0.014)), setting.lit((236, 226, 210)))
    dome = smooth((-0.2, -0.30), (-0.13, -0.41), (0.02, -0.46), (0.17, -0.41), (0.24, -0.30), (0.02, -0.32))
    paint(setting.at(x, y, dome), setting.lit(colour))
    for dx in (-0.1, 0.14):
        stripe = ellipse(dx, -0.36, 0.035, 0.12, turn=dx * 160)
        paint(setting.at(x, y, stripe), setting.lit(WHITE), shade=0.1, within=setting.at(x, y, dome))


def snow(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.72, clouds=2)
    for x in (-0.05, 0.32, 0.68):
        peak = rng.uniform(0.34, 0.44)
        mountain = polygon(
            [
                (setting.x(x), setting.y(0.72)),
                (setting.x(x + 0.22), setting.y(peak)),
                (setting.x(x + 0.46), setting.y(0.72)),
            ]
        )
        setting.canvas.shape(mountain, setting.lit((158, 178, 208)), shade=0.25)
        cap = ellipse(setting.x(x + 0.22), setting.y(peak), setting.x(0.11), setting.y(0.11))
        setting.canvas.shape(cap, setting.lit((246, 250, 255)), shade=0.1, within=mountain)
    ridge(setting, 0.66, (218, 230, 244), rise=0.03)
    for x in (0.04, 0.17, 0.84, 0.97):
        pine(
            setting,
            x,
            rng.uniform(0.73, 0.78),
            size=rng.uniform(0.13, 0.19),
            leaves=setting.accent or (72, 128, 116),
            snowy=True,
        )
    ridge(setting, 0.78, (240, 246, 253), rise=0.015)


def forest(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.8, clouds=0)
    leaves = setting.accent or (84, 146, 84)
    for depth, (y, size) in enumerate(((0.66, 0.2), (0.71, 0.26), (0.77, 0.34))):
        tone = mix(leaves, (206, 226, 206), 0.55 - 0.25 * depth)
        ridge(setting, y, mix(tone, (120, 150, 90), 0.3), rise=0.012)
        for step in range(6 - depth):
            x = step / (5 - depth) + rng.uniform(-0.06, 0.06)
            if depth < 2 or not 0.25 < x < 0.75:
                grow = pine if (step + depth) % 2 else tree
                grow(setting, x, y + 0.02, size=size * rng.uniform(0.8, 1.1) * 0.8, leaves=tone)
    ground(setting, 0.80, (98, 138, 72), (132, 168, 92))
    for x in (0.14, 0.87):
        _mushroom(setting, x + rng.uniform(-0.05, 0.05), rng.uniform(0.86, 0.93))


def _mushroom(setting: Setting, x: float, y: float) -> None:
    setting.canvas.shape(setting.at(x, y, squircle(0, 0, 0.018, 0.03)), setting.lit((246, 236, 220)))
    cap = smooth((-0.05, -0.02), (-0.03, -0.055), (0, -0.068), (0.03, -0.055), (0.05, -0.02), (0, -0.012))
    setting.canvas.shape(setting.at(x, y, cap), setting.lit((222, 78, 70)))
    for dx, dy in ((-0.02, -0.04), (0.012, -0.05), (0.026, -0.03)):
        setting.canvas.shape(setting.at(x, y, ellipse(dx, dy, 0.007)), setting.lit(WHITE), shade=0.0)


def city(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.8, clouds=2)
    wall = setting.accent or (206, 150, 130)
    for depth, (y, tall) in enumerate(((0.76, 0.42), (0.82, 0.30))):
        x = -0.04
        while x < 1.0:
            wide = rng.uniform(0.12, 0.2)
            tone = mix(rng.choice((wall, (150, 166, 196), (226, 206, 178), (168, 142, 170))), _HAZE, 0.5 - 0.4 * depth)
            house(setting, x, y, wide=wide, high=tall * rng.uniform(0.6, 1.0), wall=tone)
            x += (wide + 0.012) * setting.unit / setting.canvas.width
    wet = setting.weather is Weather.RAIN
    ground(
        setting, 0.80, (128, 134, 152) if not wet else (96, 108, 138), (178, 180, 190) if not wet else (140, 150, 176)
    )
    for x in (0.1, 0.9):
        _lamp(setting, x, 0.84)
    if wet:
        for _ in range(6):
            puddle = ellipse(
                setting.x(rng.random()),
                setting.y(rng.uniform(0.86, 0.97)),
                setting.x(rng.uniform(0.05, 0.1)),
                setting.y(0.012),
            )
            setting.canvas.shape(puddle, setting.lit((186, 206, 232)), shade=0.2, alpha=0.7)


def _lamp(setting: Setting, x: float, y: float) -> None:
    setting.canvas.shape(setting.at(x, y, limb(0, 0, 0, -0.40, 0.014)), setting.lit((82, 84, 98)))
    shining = setting.hour in {Hour.NIGHT, Hour.SUNSET}
    if shining:
        setting.canvas.glow(
            setting.x(x), setting.y(y) - 0.42 * setting.unit, 0.2 * setting.unit, colour=(255, 226, 150), alpha=0.75
        )
    setting.canvas.shape(
        setting.at(x, y, ellipse(0, -0.42, 0.03)), (255, 236, 180) if shining else setting.lit((244, 240, 226))
    )


def space(setting: Setting) -> None:
    canvas, rng = setting.canvas, setting.rng
    deep = mix(setting.accent, INK, 0.7) if setting.accent else (24, 20, 58)
    canvas.sky(((0.0, deep), (0.6, mix(deep, (104, 66, 140), 0.5)), (1.0, (96, 74, 150))))
    for _ in range(4):
        reach = setting.unit * rng.uniform(0.3, 0.5)
        canvas.glow(
            setting.x(rng.random()),
            setting.y(rng.random() * 0.7),
            reach,
            reach * 0.6,
            colour=rng.choice(((186, 92, 176), (74, 130, 206))),
            alpha=0.4,
        )
    stars(setting, count=60, bottom=0.9)
    x, y, size = rng.choice((0.17, 0.83)), rng.uniform(0.16, 0.28), rng.uniform(0.08, 0.11)
    tone = setting.accent or rng.choice(((240, 176, 110), (120, 196, 206), (224, 132, 150)))
    canvas.shape(setting.at(x, y, ellipse(0, 0, size)), tone, shade=0.4)
    canvas.shape(
        setting.at(x, y, ellipse(0, 0, size * 1.7, size * 0.3, turn=-18)), mix(tone, WHITE, 0.5), shade=0.1, alpha=0.55
    )
    ridge(setting, 0.80, (170, 164, 192), rise=0.02, waves=2, shade=0.25)
    for _ in range(6):
        cx, cy, wide = rng.random(), rng.uniform(0.85, 0.97), rng.uniform(0.03, 0.06)
        canvas.shape(setting.at(cx, cy, ellipse(0, 0, wide, wide * 0.32)), (140, 134, 166), shade=0.2)


def undersea(setting: Setting) -> None:
    canvas, rng = setting.canvas, setting.rng
    top = setting.accent or (96, 206, 222)
    canvas.sky(
        (
            (0.0, setting.lit(mix(top, WHITE, 0.25))),
            (0.5, setting.lit(mix(top, (28, 92, 170), 0.5))),
            (1.0, setting.lit((26, 74, 140))),
        )
    )
    for x in (0.1, 0.36, 0.62, 0.86):
        ray = polygon(
            [
                (setting.x(x), 0),
                (setting.x(x + 0.09), 0),
                (setting.x(x - 0.06), setting.y(0.85)),
                (setting.x(x - 0.22), setting.y(0.85)),
            ]
        )
        canvas.shape(ray, WHITE, shade=0.0, alpha=0.09)
    ridge(setting, 0.84, (222, 204, 160), rise=0.02)
    for _ in range(7):
        x, size = rng.choice((rng.uniform(0, 0.25), rng.uniform(0.75, 1))), rng.uniform(0.14, 0.28)
        weed = stroke([(0.02 * math.sin(t * 0.9), -size * t / 9) for t in range(10)], 0.03, tip=0.006)
        canvas.shape(
            setting.at(x, 0.9, weed), setting.lit(rng.choice(((64, 160, 124), (236, 120, 130), (150, 110, 190))))
        )
    for _ in range(5):
        x, y, tone = rng.random(), rng.uniform(0.12, 0.6), rng.choice(PARTY)
        way = rng.choice((-1, 1))
        canvas.shape(setting.at(x, y, polygon([(-way * 0.025, 0), (-way * 0.06, -0.025), (-way * 0.06, 0.025)])), tone)
        canvas.shape(setting.at(x, y, ellipse(0, 0, 0.04, 0.026)), tone)
        canvas.shape(setting.at(x, y, ellipse(way * 0.02, -0.006, 0.006)), INK, shade=0.0)


def desert(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.72, clouds=1)
    sand = setting.accent or (236, 184, 120)
    ridge(setting, 0.62, mix(sand, (200, 120, 110), 0.4), rise=0.06, waves=1.4, shade=0.25)
    ridge(setting, 0.70, mix(sand, (216, 140, 110), 0.2), rise=0.04, waves=1.1, shade=0.2)
    for x in (rng.uniform(0.04, 0.2), rng.uniform(0.8, 0.96)):
        for part in (
            limb(0, 0, 0, -0.24, 0.06),
            limb(0, -0.09, 0.07, -0.09, 0.035),
            limb(0.07, -0.09, 0.07, -0.17, 0.035),
            limb(-0.06, -0.13, 0, -0.13, 0.03),
            limb(-0.06, -0.13, -0.06, -0.19, 0.03),
        ):
            setting.canvas.shape(setting.at(x, 0.78, part), setting.lit((98, 156, 104)))
    ridge(setting, 0.79, sand, rise=0.015, waves=2)
