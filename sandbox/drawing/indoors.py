"""Paint indoor places, and the festival, from the blocks of `scenery.py`, back to front."""

from sandbox.drawing.characters import Colour, mix
from sandbox.drawing.paint import INK, WHITE, ellipse, limb, polygon, smooth, squircle, stroke
from sandbox.drawing.scenery import PARTY, Hour, Setting, bokeh, ground, ridge, sky


def _room(setting: Setting, *, wall: Colour, floor: Colour, paper: Colour) -> None:
    """Walls with a striped paper, a skirting board and a floor, with light from a window."""
    canvas = setting.canvas
    canvas.sky(
        ((0.0, setting.lit(mix(wall, INK, 0.08))), (1.0, setting.lit(mix(wall, WHITE, 0.2)))), bottom=setting.y(0.78)
    )
    for step in range(12):
        left = setting.x(step / 12 + 0.02)
        stripe = polygon(
            [
                (left, 0),
                (left + setting.x(0.035), 0),
                (left + setting.x(0.035), setting.y(0.75)),
                (left, setting.y(0.75)),
            ]
        )
        canvas.shape(stripe, setting.lit(paper), shade=0.0, alpha=0.35)
    ground(setting, 0.77, floor, mix(floor, INK, 0.2))
    canvas.sky(
        ((0.0, setting.lit(WHITE)), (1.0, setting.lit(mix(wall, WHITE, 0.6)))),
        top=setting.y(0.755),
        bottom=setting.y(0.78),
    )


def _window(setting: Setting, x: float, y: float) -> None:
    frame = polygon([(-0.13, -0.16), (0.13, -0.16), (0.13, 0.16), (-0.13, 0.16)])
    setting.canvas.shape(setting.at(x, y, frame * 1.12), setting.lit((250, 246, 238)), shade=0.08)
    view = {
        Hour.NIGHT: (36, 46, 98),
        Hour.SUNSET: (244, 158, 122),
        Hour.DAWN: (246, 214, 206),
        Hour.DAY: (166, 216, 246),
    }[setting.hour]
    setting.canvas.shape(setting.at(x, y, frame), view, shade=0.2)
    for bar in (stroke([(0, -0.16), (0, 0.16)], 0.014), stroke([(-0.13, 0), (0.13, 0)], 0.014)):
        setting.canvas.shape(setting.at(x, y, bar), setting.lit((250, 246, 238)), shade=0.0)


def kitchen(setting: Setting) -> None:
    rng = setting.rng
    _room(setting, wall=setting.accent or (250, 226, 184), floor=(206, 156, 116), paper=(255, 250, 236))
    side = rng.choice((0.2, 0.8))
    _window(setting, side, 0.30)
    shelf = 1 - side
    setting.canvas.shape(setting.at(shelf, 0.36, limb(-0.17, 0, 0.17, 0, 0.024)), setting.lit((170, 118, 84)))
    for step in range(5):
        jar = squircle(-0.14 + step * 0.07, -0.045, 0.026, rng.uniform(0.03, 0.04), power=4)
        setting.canvas.shape(setting.at(shelf, 0.36, jar), setting.lit(rng.choice(PARTY)))
    counter = polygon(
        [(0, setting.y(0.66)), (setting.x(1), setting.y(0.66)), (setting.x(1), setting.y(0.80)), (0, setting.y(0.80))]
    )
    setting.canvas.shape(counter, setting.lit((232, 236, 232)), shade=0.15)
    setting.canvas.shape(setting.at(0.5, 0.66, limb(-1.5, 0, 1.5, 0, 0.03)), setting.lit((176, 124, 90)), shade=0.0)
    for x in (side - 0.06, shelf):
        setting.canvas.shape(
            setting.at(x, 0.645, smooth((-0.07, -0.05), (0.07, -0.05), (0.05, 0.0), (-0.05, 0.0))),
            setting.lit((120, 170, 196)),
        )
        setting.canvas.glow(setting.x(x), setting.y(0.56), setting.unit * 0.05, colour=WHITE, alpha=0.5)


def library(setting: Setting) -> None:
    rng = setting.rng
    _room(setting, wall=setting.accent or (190, 150, 120), floor=(150, 104, 82), paper=(206, 170, 138))
    for x in (0.0, 0.70):
        for shelf in range(4):
            y = 0.19 + shelf * 0.18
            left = x
            while left < x + 0.28:
                wide, high = rng.uniform(0.018, 0.032), rng.uniform(0.09, 0.14)
                book = polygon([(0, 0), (0, -high), (wide, -high), (wide, 0)])
                setting.canvas.shape(
                    setting.at(left, y, book), setting.lit(mix(rng.choice(PARTY), (120, 84, 76), 0.35)), shade=0.15
                )
                left += (wide + 0.002) * setting.unit / setting.canvas.width
            board = polygon([(0, 0), (0.31, 0), (0.31, 0.02), (0, 0.02)]) * (setting.canvas.width / setting.unit, 1)
            setting.canvas.shape(setting.at(x, y, board), setting.lit((104, 70, 58)), shade=0.1)
    setting.canvas.glow(setting.x(0.5), setting.y(0.12), setting.unit * 0.4, colour=(255, 230, 170), alpha=0.6)


def bedroom(setting: Setting) -> None:
    rng = setting.rng
    _room(setting, wall=setting.accent or (206, 196, 232), floor=(198, 158, 130), paper=(232, 226, 246))
    side = rng.choice((0.22, 0.78))
    _window(setting, side, 0.30)
    bed = 1 - side
    paint = setting.canvas.shape
    paint(setting.at(bed, 0.74, squircle(0, -0.16, 0.24, 0.2, power=5)), setting.lit((150, 106, 88)))
    paint(setting.at(bed, 0.74, squircle(0, -0.10, 0.2, 0.09, power=3)), setting.lit((250, 248, 244)), shade=0.12)
    paint(
        setting.at(bed, 0.74, squircle(0, 0.05, 0.26, 0.13, power=4)),
        setting.lit(setting.own((150, 170, 222))),
        shade=0.2,
    )
    rug = ellipse(setting.x(0.5), setting.y(0.93), setting.x(0.42), setting.y(0.08))
    paint(rug, setting.lit((244, 198, 190)), shade=0.1)
    for _ in range(8):
        setting.canvas.glow(
            setting.x(rng.random()),
            setting.y(rng.uniform(0.05, 0.14)),
            setting.unit * 0.03,
            colour=(255, 232, 170),
            alpha=0.9,
        )


def studio(setting: Setting) -> None:
    tone = setting.accent or (214, 224, 236)
    setting.canvas.sky(((0.0, mix(tone, WHITE, 0.35)), (0.7, mix(tone, WHITE, 0.55)), (1.0, mix(tone, INK, 0.08))))
    setting.canvas.glow(setting.x(0.5), setting.y(0.45), setting.unit * 0.62, colour=WHITE, alpha=0.5)


def festival(setting: Setting) -> None:
    rng = setting.rng
    sky(setting, horizon=0.78, clouds=1)
    ridge(setting, 0.64, (136, 118, 160), rise=0.03)
    bokeh(setting, count=16, colours=(*PARTY, (255, 236, 180)), top=0.4, bottom=0.74)
    for x in (0.0, 0.76):
        _stall(setting, x, 0.80, colour=setting.accent or rng.choice(PARTY))
    ground(setting, 0.79, (196, 160, 136), (166, 132, 124))
    for row, y in enumerate((0.07, 0.15)):
        for step in range(9):
            sag = y + 0.07 * (1 - (step / 4 - 1) ** 2)
            if row:
                flag = polygon([(-0.035, 0), (0.035, 0), (0, 0.065)])
                setting.canvas.shape(setting.at(step / 8, sag, flag), setting.lit(PARTY[step % 5]))
            else:
                setting.canvas.glow(
                    setting.x(step / 8), setting.y(sag), setting.unit * 0.075, colour=(255, 214, 130), alpha=0.6
                )
                lantern = squircle(0, 0, 0.028, 0.034)
                setting.canvas.shape(setting.at(step / 8, sag, lantern), mix(PARTY[(step * 2) % 5], WHITE, 0.25))


def _stall(setting: Setting, x: float, y: float, *, colour: Colour) -> None:
    paint = setting.canvas.shape
    paint(setting.at(x, y, polygon([(0.01, 0), (0.01, -0.3), (0.23, -0.3), (0.23, 0)])), setting.lit((120, 88, 84)))
    paint(setting.at(x, y, polygon([(0, 0), (0, -0.12), (0.24, -0.12), (0.24, 0)])), setting.lit((206, 160, 118)))
    for step in range(6):
        left = -0.01 + step * 0.043
        awning = smooth(
            (left, -0.36), (left + 0.043, -0.36), (left + 0.043, -0.28), (left + 0.021, -0.26), (left, -0.28)
        )
        paint(setting.at(x, y, awning), setting.lit(colour if step % 2 else WHITE), shade=0.12)
