"""Draw a picture from a prompt, references and a weight; deterministic.

`python -m sandbox.drawing.picture --help` draws from the command line. Parameters of characters are in `characters.py`,
reading them back from pixels in `reading.py`, painting in `figure.py` and `places.py`.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sandbox.drawing.characters import LULU, Likeness, approach, drift, invent, merge
from sandbox.drawing.faces import Mood
from sandbox.drawing.figure import COMPOSITIONS, Pose, paint_figure, paint_shadow, standing
from sandbox.drawing.outfits import Held
from sandbox.drawing.paint import Canvas, Frame
from sandbox.drawing.places import Place, paint_foreground, paint_place
from sandbox.drawing.prompt_words import Brief, read_prompt
from sandbox.drawing.reading import read_likeness
from sandbox.drawing.scenery import Hour, Setting, Weather, falling

__all__ = ["Likeness", "draw", "paint", "portrait", "read_likeness"]

# One picture in ten is off model even at full weight, as with real services.
_OFF_MODEL = 0.10
# Of the way from a picture to its references that a variation of it goes, and how near it stays to where that leads.
_SEEN_AGAIN = 0.2
_VARIED_NEARNESS = 0.98


def draw(
    prompt: str,
    *,
    references: Sequence[Likeness],
    weight: float,
    seed: int,
    variation: int,
    size: tuple[int, int],
    ancestry: Sequence[tuple[int, int]] = (),
) -> Image.Image:
    """Draw one of the pictures that a prompt asks for.

    Args:
        weight: 0 to 1, how closely the character follows the references: 1 is the character itself but for an
            off-model attempt in ten; a weak reference is ignored now and then; 0 (or no reference) is a character
            invented from the prompt's words and the seed.
        variation: 0 to 3, pictures of one job, with different pose, composition and expression; four more is the
            same composition again.
        size: width and height in pixels.
        ancestry: (seed, variation) of the pictures that this one is a variation of, the first one first.

    Returns:
        An RGB picture.
    """
    likeness = pick_likeness(
        prompt, references=references, weight=weight, seed=seed, variation=variation, ancestry=ancestry
    )
    place_seed = ancestry[0][0] if ancestry else seed
    return paint(prompt, likeness, seed=seed, variation=variation, size=size, place_seed=place_seed)


def paint(
    prompt: str,
    likeness: Likeness,
    *,
    seed: int,
    variation: int,
    size: tuple[int, int],
    place_seed: int | None = None,
) -> Image.Image:
    """Draw exactly this character in the scene that the prompt asks for; the rest as in `draw`."""
    return paint_posed(prompt, likeness, seed=seed, variation=variation, size=size, place_seed=place_seed)[0]


def paint_posed(
    prompt: str,
    likeness: Likeness,
    *,
    seed: int,
    variation: int,
    size: tuple[int, int],
    place_seed: int | None = None,
) -> tuple[Image.Image, Pose]:
    """The picture of `paint`, and how the character stands in it."""
    brief = read_prompt(prompt)
    rng = _dice("scene", prompt, seed, variation)
    dice = _dice("place", prompt, seed if place_seed is None else place_seed)
    place = brief.place or dice.choice(tuple(Place)[:-1])
    canvas = Canvas(size)
    setting = Setting(canvas=canvas, rng=rng, hour=_hour(brief, place, rng), weather=brief.weather, accent=brief.accent)
    paint_place(setting, place)
    pose = _pose(brief, size=size, variation=variation, rng=rng)
    paint_shadow(canvas, pose)
    paint_figure(canvas, likeness, pose, outfit=brief.outfit)
    paint_foreground(setting, place)
    falling(setting)
    _finish(setting)
    return canvas.image, pose


def portrait(likeness: Likeness, *, seed: int, size: int) -> Image.Image:
    """A square reference picture: the character alone, from the front, on a plain ground of the seed's."""
    rng = _dice("portrait", seed)
    canvas = Canvas((size, size))
    ground = rng.choice(((214, 224, 236), (236, 224, 210), (218, 234, 220), (232, 220, 236)))
    paint_place(Setting(canvas=canvas, rng=rng, hour=Hour.DAY, weather=Weather.CLEAR, accent=ground), Place.STUDIO)
    pose = standing(size)
    paint_shadow(canvas, pose)
    paint_figure(canvas, likeness, pose)
    return canvas.image


def _hour(brief: Brief, place: Place, rng: random.Random) -> Hour:
    if brief.hour is not None:
        return brief.hour
    return Hour.NIGHT if place is Place.SPACE else rng.choice((Hour.DAY, Hour.DAY, Hour.DAY, Hour.DAWN, Hour.SUNSET))


def pick_likeness(
    prompt: str,
    *,
    references: Sequence[Likeness],
    weight: float,
    seed: int,
    variation: int,
    ancestry: Sequence[tuple[int, int]] = (),
) -> Likeness:
    """Choose the character to draw; arguments as in `draw`.

    A variation resembles the picture it was made from, moved a little towards the references.
    """
    first, *later = [*ancestry, (seed, variation)]
    likeness = _pick_likeness(prompt, references=references, weight=weight, seed=first[0], variation=first[1])
    for step in later:
        own = _dice("varied", prompt, *step)
        if references:
            likeness = approach(likeness, merge(references), own, share=_SEEN_AGAIN * min(weight, 1.0))
        likeness = drift(likeness, own.uniform(_VARIED_NEARNESS, 1.0), own)
    return likeness


def _pick_likeness(
    prompt: str, *, references: Sequence[Likeness], weight: float, seed: int, variation: int
) -> Likeness:
    """The references' character, followed as closely as weight and chance decide, or a new one."""
    brief = read_prompt(prompt)
    job, own = _dice("job", prompt, seed), _dice("cast", prompt, seed, variation)
    ignored = job.random() < (1.0 - min(max(weight, 0.0), 1.0)) ** 2
    if not references or ignored:
        someone = invent(job, species=brief.species, coat=brief.coat)
        return drift(someone, 0.8, own, asked=brief.species)
    # A weak reference is followed less than its number says.
    nearness = min(weight, 1.0) ** 1.5
    if job.random() < _OFF_MODEL:
        nearness *= job.uniform(0.25, 0.5)
    if nearness < 1.0 or own.random() < 0.15:
        nearness *= own.uniform(0.85, 1.0)
    return drift(merge(references), nearness, own, asked=brief.species)


def _pose(brief: Brief, *, size: tuple[int, int], variation: int, rng: random.Random) -> Pose:
    x, y, scale, lean = COMPOSITIONS[variation % len(COMPOSITIONS)]
    side = min(size)
    frame = Frame(
        x=size[0] / 2 + (x - 0.5 + rng.uniform(-0.02, 0.02)) * side,
        y=size[1] - (1 - y + rng.uniform(-0.01, 0.01)) * side,
        unit=side * scale * rng.uniform(0.95, 1.05),
        turn=lean + rng.uniform(-2, 2),
        flip=rng.random() < 0.5,
    )
    gestures = ((24.0, 30.0), (32.0, 148.0), (70.0, 60.0), (24.0, 110.0), (140.0, 138.0))
    arms = brief.arms if brief.arms and variation % 2 == 0 else rng.choice(gestures)
    moods = (Mood.SMILE, Mood.LAUGH, Mood.WINK, Mood.WONDER)
    if brief.outfit.held:
        arms = (arms[0], 78.0 if brief.outfit.held is Held.UMBRELLA else 62.0)
    return Pose(
        frame=frame,
        mood=brief.mood if brief.mood and variation % 2 == 0 else moods[(variation + rng.randrange(2)) % 4],
        tilt=rng.uniform(-7, 7),
        look=rng.uniform(-1, 1),
        arms=(arms[0] + rng.uniform(-8, 8), arms[1] + rng.uniform(-8, 8)),
        seated=brief.seated if brief.seated is not None else rng.random() < 0.3,
    )


def _finish(setting: Setting) -> None:
    """Apply the light of the hour, and slightly darker corners."""
    canvas = setting.canvas
    if setting.hour is not Hour.DAY:
        veil = {Hour.DAWN: (255, 222, 206), Hour.SUNSET: (255, 150, 110), Hour.NIGHT: (40, 48, 110)}[setting.hour]
        canvas.tint(veil, 0.10 if setting.hour is Hour.NIGHT else 0.07)
    for x, y in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        canvas.glow(setting.x(x), setting.y(y), setting.unit * 0.42, colour=(30, 20, 40), alpha=0.22)


def _dice(*about: str | int) -> random.Random:
    """A separate random generator per purpose, so that another draw for the sky does not change the character."""
    return random.Random("/".join(map(str, about)))


def main() -> None:
    """Draw a portrait of a likeness read from a picture, or pictures for a prompt."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.drawing.picture", description=main.__doc__)
    parser.add_argument("out", type=Path, help="where the picture goes, a .png file")
    parser.add_argument("--lulu", action="store_true", help="a portrait of Lulu Pig, the example character")
    parser.add_argument("--prompt", default="", help="draw for this prompt instead of a portrait")
    parser.add_argument(
        "--reference", type=Path, action="append", default=[], help="a picture to follow; may be repeated"
    )
    parser.add_argument("--weight", type=float, default=1.0, help="0 to 1, how closely")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variation", type=int, default=0)
    parser.add_argument("--size", type=int, default=512, help="pixels of the side")
    asked = parser.parse_args()
    references = [LULU] if asked.lulu else [read_likeness(path.read_bytes()) for path in asked.reference]
    if asked.prompt or not references:
        side = (asked.size, asked.size)
        picture = draw(
            asked.prompt,
            references=references,
            weight=asked.weight,
            seed=asked.seed,
            variation=asked.variation,
            size=side,
        )
    else:
        picture = portrait(references[0], seed=asked.seed, size=asked.size)
    picture.save(asked.out, optimize=True)


if __name__ == "__main__":
    main()
