"""The places that a prompt can name, with the painters of their background and foreground."""

from collections.abc import Callable
from enum import StrEnum

from sandbox.drawing import indoors, outdoors
from sandbox.drawing.paint import WHITE, ellipse, squircle
from sandbox.drawing.scenery import PARTY, Setting, blossom, ridge, tuft


class Place(StrEnum):
    MEADOW = "meadow"
    GARDEN = "garden"
    BEACH = "beach"
    SNOW = "snow"
    FOREST = "forest"
    CITY = "city"
    SPACE = "space"
    KITCHEN = "kitchen"
    FESTIVAL = "festival"
    LIBRARY = "library"
    UNDERSEA = "undersea"
    DESERT = "desert"
    BEDROOM = "bedroom"
    STUDIO = "studio"


def paint_place(setting: Setting, place: Place) -> None:
    """Paint everything behind the character."""
    _PLACES[place](setting)


def paint_foreground(setting: Setting, place: Place) -> None:
    """Paint what stands before the character at the lower edge, and nothing above its knees."""
    rng = setting.rng
    if place in {Place.MEADOW, Place.GARDEN, Place.FOREST}:
        for step in range(9):
            tuft(setting, step / 8 + rng.uniform(-0.04, 0.04), 1.02, size=rng.uniform(0.06, 0.11), colour=(74, 132, 70))
        for _ in range(5 if place is Place.GARDEN else 2):
            colour = setting.accent or rng.choice(PARTY)
            blossom(
                setting,
                rng.choice((rng.uniform(0, 0.22), rng.uniform(0.78, 1))),
                rng.uniform(0.88, 0.97),
                size=0.018,
                colour=colour,
            )
    elif place is Place.SNOW:
        ridge(setting, 0.98, (238, 244, 252), rise=0.02, waves=3)
    elif place is Place.UNDERSEA:
        for _ in range(14):
            size = setting.unit * rng.uniform(0.006, 0.018)
            bubble = ellipse(setting.x(rng.random()), setting.y(rng.random()), size)
            setting.canvas.shape(bubble, WHITE, shade=0.0, alpha=0.35)
    elif place is Place.FESTIVAL:
        for _ in range(30):
            x, y, size = rng.random(), rng.random(), rng.uniform(0.006, 0.012)
            setting.canvas.shape(
                setting.at(x, y, squircle(0, 0, size, size * 0.6, power=4)), rng.choice(PARTY), shade=0.0
            )


_PLACES: dict[Place, Callable[[Setting], None]] = {
    Place.MEADOW: outdoors.meadow,
    Place.GARDEN: outdoors.garden,
    Place.BEACH: outdoors.beach,
    Place.SNOW: outdoors.snow,
    Place.FOREST: outdoors.forest,
    Place.CITY: outdoors.city,
    Place.SPACE: outdoors.space,
    Place.KITCHEN: indoors.kitchen,
    Place.FESTIVAL: indoors.festival,
    Place.LIBRARY: indoors.library,
    Place.UNDERSEA: outdoors.undersea,
    Place.DESERT: outdoors.desert,
    Place.BEDROOM: indoors.bedroom,
    Place.STUDIO: indoors.studio,
}
