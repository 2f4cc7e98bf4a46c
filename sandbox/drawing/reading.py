"""Read a character from the pixels of a reference picture.

Analysis by synthesis: colours are sampled where a figure would have them, then each feature takes the value whose
drawing is nearest. A picture that no drawing matches, such as a photo, gives a character in its dominant colours with
features chosen by its statistics.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from sandbox.drawing.characters import EARS_OF, LULU, Accessory, Colour, Eyes, Likeness, Pattern, Species
from sandbox.drawing.faces import HEAD_Y
from sandbox.drawing.figure import COMPOSITIONS, Pose, paint_figure, paint_shadow, standing
from sandbox.drawing.paint import Canvas, Frame

Pixels: TypeAlias = npt.NDArray[np.float32]
Points: TypeAlias = tuple[tuple[float, float], ...]

_T = TypeVar("_T")
_SIDE = 128
# Shares of what the ground alone leaves unexplained. Up to the first a sketch may show a portrait, worth a closer look
# (measured: portraits 0.09 to 0.7, scenes and photos from 0.80); up to the second the closer look has found one; up to
# the third, a figure in a scene counts as found (scenes 0.56 to 0.79, photos and empty places from 0.85).
_MAYBE = 0.85
_PORTRAIT = 0.45
_PARTLY = 0.82

_BODY: Points = (
    (-0.14, HEAD_Y - 0.28),
    (0.15, HEAD_Y - 0.28),
    (-0.44, HEAD_Y - 0.16),
    (0.44, HEAD_Y - 0.16),
    (-0.36, 0.66),
    (0.36, 0.66),
    (0.20, HEAD_Y + 0.37),
)
_BELLY: Points = ((0.0, 0.50), (-0.10, 0.58), (0.10, 0.58), (0.0, 0.66))
_CHEEK: Points = ((-0.38, HEAD_Y + 0.18), (0.38, HEAD_Y + 0.18))
# Several places for each, since an accessory may hide one.
_MARKING: dict[Pattern, Points] = {
    Pattern.PATCH: ((0.28, HEAD_Y - 0.30), (0.53, HEAD_Y - 0.14), (0.53, HEAD_Y - 0.08)),
    Pattern.STRIPES: ((0.0, HEAD_Y - 0.40), (0.0, HEAD_Y - 0.32)),
    Pattern.SPOTS: ((-0.30, HEAD_Y - 0.36), (0.50, HEAD_Y + 0.06), (0.34, HEAD_Y - 0.30)),
    Pattern.BLAZE: ((0.0, HEAD_Y - 0.36), (0.0, HEAD_Y - 0.18), (0.0, HEAD_Y - 0.13)),
}
_TRIM: dict[Accessory, Points] = {
    Accessory.SCARF: ((-0.10, 0.17), (0.10, 0.17), (0.24, 0.16)),
    Accessory.BOW: ((0.24, HEAD_Y - 0.46), (0.56, HEAD_Y - 0.42)),
    Accessory.BEANIE: ((-0.15, HEAD_Y - 0.54), (0.15, HEAD_Y - 0.54), (0.0, HEAD_Y - 0.56)),
    Accessory.COLLAR: ((-0.22, 0.12), (0.22, 0.12)),
    Accessory.FLOWER: ((0.38, HEAD_Y - 0.56), (0.51, HEAD_Y - 0.46), (0.25, HEAD_Y - 0.46)),
    Accessory.GLASSES: ((0.27, HEAD_Y - 0.24), (-0.27, HEAD_Y - 0.24), (0.27, HEAD_Y + 0.14)),
}


class UnreadableReferenceError(ValueError):
    """The bytes are no picture that can be decoded."""


def read_likeness(reference: bytes) -> Likeness:
    """The character that a reference picture shows.

    Args:
        reference: an encoded picture of any format and size that PIL reads.

    Raises:
        UnreadableReferenceError: it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(reference)) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as broken:
        raise UnreadableReferenceError("the reference is not a picture that can be decoded") from broken
    square = ImageOps.fit(picture, (_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(square, dtype=np.float32)
    ground = _ground(pixels)
    nothing = float(np.abs(np.asarray(ground, dtype=np.float32) - pixels).mean())
    fit = _Fit(seen=pixels, pose=standing(_SIDE), ground=ground)
    if fit.error(fit.sketch()) <= _MAYBE * nothing:
        likeness = fit.explain()
        if fit.error(likeness) <= _PORTRAIT * nothing:
            return likeness
    fit = _found(pixels, ground)
    likeness = fit.explain()
    return likeness if fit.error(likeness) <= _PARTLY * nothing else _from_statistics(square)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A picture held against drawings in one pose; `ground` is what it seems to show behind the figure."""

    seen: Pixels
    pose: Pose
    ground: Image.Image

    def explain(self, *, rounds: int = 2) -> Likeness:
        """The likeness whose drawing comes nearest, feature by feature; in the second round choices help each other."""
        guess = self.sketch()
        for _ in range(rounds):
            guess = self._best(replace(guess, species=kind, ears=ears) for kind in Species for ears in EARS_OF[kind])
            guess = self._best(self._accessories(guess))
            guess = self._best(self._patterns(guess))
            guess = self._best(replace(guess, eyes=eyes) for eyes in Eyes)
            guess = self._recoloured(self._recoloured(guess))
        return guess

    def sketch(self) -> Likeness:
        """The colours alone, on the species that suits them best."""
        plain = replace(
            LULU,
            pattern=Pattern.PLAIN,
            accessory=Accessory.NOTHING,
            body=self._colour(self.seen, _BODY),
            belly=self._colour(self.seen, _BELLY),
            cheek=self._colour(self.seen, _CHEEK),
        )
        return self._best(replace(plain, species=kind, ears=EARS_OF[kind][0]) for kind in Species)

    def error(self, likeness: Likeness) -> float:
        """Mean absolute difference of a channel between the picture and the drawing."""
        return float(np.abs(self._drawn(likeness) - self.seen).mean())

    def _best(self, candidates: Iterable[Likeness]) -> Likeness:
        return min(candidates, key=self.error)

    def _accessories(self, guess: Likeness) -> Iterable[Likeness]:
        # Also without the pattern found so far: it may have been the accessory, badly explained.
        for pattern in dict.fromkeys((guess.pattern, Pattern.PLAIN)):
            for accessory in Accessory:
                points = _TRIM.get(accessory)
                trim = self._colour(self.seen, points) if points else guess.trim
                yield replace(guess, pattern=pattern, accessory=accessory, trim=trim)

    def _patterns(self, guess: Likeness) -> Iterable[Likeness]:
        yield replace(guess, pattern=Pattern.PLAIN)
        for pattern, points in _MARKING.items():
            for point in points:
                yield replace(guess, pattern=pattern, marking=self._colour(self.seen, (point,)))

    def _recoloured(self, guess: Likeness) -> Likeness:
        """Each colour moved by what the drawing lacks at its points: light and shade cancel out."""
        drawn = self._drawn(guess)

        def better(own: Colour, points: Points | None) -> Colour:
            if points is None:
                return own
            lacking = np.median(self._means(self.seen, points) - self._means(drawn, points), axis=0)
            return _rounded(np.asarray(own) + lacking)

        return replace(
            guess,
            body=better(guess.body, _BODY),
            belly=better(guess.belly, _BELLY),
            cheek=better(guess.cheek, _CHEEK),
            marking=better(guess.marking, _MARKING.get(guess.pattern)),
            trim=better(guess.trim, _TRIM.get(guess.accessory)),
        )

    def _drawn(self, likeness: Likeness) -> Pixels:
        canvas = Canvas((_SIDE, _SIDE))
        canvas.image.paste(self.ground)
        paint_shadow(canvas, self.pose)
        paint_figure(canvas, likeness, self.pose)
        return np.asarray(canvas.image, dtype=np.float32)

    def _colour(self, pixels: Pixels, points: Points) -> Colour:
        """The median over the points."""
        return _rounded(np.median(self._means(pixels, points), axis=0))

    def _means(self, pixels: Pixels, points: Points) -> Pixels:
        """(points, 3): the mean of the 3x3 pixels around each."""
        places = self.pose.frame.place(np.asarray(points)).round().astype(int).clip(1, _SIDE - 2)
        return np.stack([pixels[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1)) for x, y in places])


def _rounded(channels: npt.NDArray[np.floating]) -> Colour:
    red, green, blue = (round(float(value)) for value in np.clip(channels, 0, 255))
    return red, green, blue


def _found(pixels: Pixels, ground: Image.Image) -> _Fit:
    """The pose, of those a drawing takes, in which a figure explains most; nudged until it explains no more."""

    def left(fit: _Fit) -> float:
        return fit.error(fit.sketch())

    poses = [
        Pose(frame=Frame(x=x * _SIDE, y=y * _SIDE, unit=size * _SIDE, turn=lean, flip=flip))
        for x, y, size, lean in COMPOSITIONS
        for flip in (False, True)
    ]
    best = min((_Fit(seen=pixels, pose=pose, ground=ground) for pose in poses), key=left)
    likeness = best.sketch()
    for reach in (1.0, 0.5):
        nudged = [replace(best, pose=pose) for pose in _nudges(best.pose, reach)]
        best = min([best, *nudged], key=lambda fit: fit.error(likeness))
        likeness = best.explain(rounds=1)
    return best


def _nudges(pose: Pose, reach: float) -> Iterable[Pose]:
    """The pose moved, scaled, turned and looking a little otherwise in each direction and combination of two."""
    frame, step = pose.frame, 0.02 * _SIDE * reach
    for dx in (-step, 0.0, step):
        for dy in (-step, 0.0, step):
            for scale in (1 - 0.04 * reach, 1.0, 1 + 0.04 * reach):
                moved = replace(frame, x=frame.x + dx, y=frame.y + dy, unit=frame.unit * scale)
                yield replace(pose, frame=moved)
    for tilt in (-5.0, 5.0):
        for look in (-0.7, 0.7):
            yield replace(pose, tilt=pose.tilt + tilt * reach, look=pose.look + look * reach)


def _ground(pixels: Pixels) -> Image.Image:
    """Each row blended from its left to its right edge: what is behind the figure, as far as the edges tell."""
    left, right = pixels[:, :5].mean(axis=1)[:, None], pixels[:, -5:].mean(axis=1)[:, None]
    share = np.linspace(0, 1, _SIDE, dtype=np.float32)[None, :, None]
    return Image.fromarray((left * (1 - share) + right * share).round().astype(np.uint8), "RGB")


def _from_statistics(picture: Image.Image) -> Likeness:
    """A character for a picture of anything: its main colours, and features picked by how it is lit and structured."""
    counted = picture.quantize(8, Image.Quantize.MEDIANCUT).convert("RGB").getcolors(_SIDE * _SIDE) or []
    palette: list[Colour] = [colour for _, colour in sorted(counted, reverse=True) if isinstance(colour, tuple)]
    pixels = np.asarray(picture, dtype=np.float32)
    grey = pixels.mean(axis=2)
    figures = [
        *pixels.mean(axis=(0, 1)),
        grey.std(),
        np.abs(np.diff(grey, axis=0)).mean() * 16,
        np.abs(np.diff(grey, axis=1)).mean() * 16,
    ]

    def choose(options: Sequence[_T], turn: int) -> _T:
        # Neighbouring options for neighbouring pictures: a coarse step of one figure moves the choice by one.
        return options[int(sum(figures[: turn + 1]) // 24) % len(options)]

    species = choose(tuple(Species), 2)
    return Likeness(
        species=species,
        body=_extreme(palette, _saturation),
        belly=_extreme(palette, sum),
        cheek=_extreme(palette, lambda colour: colour[0] - colour[1]),
        marking=_extreme(palette, lambda colour: -sum(colour)),
        trim=_extreme(palette, lambda colour: abs(colour[2] - colour[0])),
        ears=choose(EARS_OF[species], 3),
        eyes=choose(tuple(Eyes), 4),
        pattern=choose(tuple(Pattern), 5),
        accessory=choose(tuple(Accessory), 3),
    )


def _saturation(colour: Colour) -> int:
    return max(colour) - min(colour)


def _extreme(palette: list[Colour], measure: Callable[[Colour], int]) -> Colour:
    """The colour of the five commonest with the highest measure."""
    return max(palette[:5], key=measure)
