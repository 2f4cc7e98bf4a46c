"""The style score on drawings: it hears a change of technique, and cares less for who is drawn than the core score.

On the sandbox's own small CLIP and drawings, because they are at hand; what it means for larger weights is said, with
the figures, in docs/decisions/0005-style-score.md.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from sandbox.characters import Likeness, invent
from sandbox.drawing import paint
from tests.integration.scoring_pictures import saved
from validation.base import Detail, Reference
from validation.clip import ClipScorer
from validation.pixels import model_input
from validation.specimens import specimens

pytestmark = pytest.mark.slow  # draws some thirty pictures

SMALL_CLIP = Path(__file__).parents[2] / "sandbox" / "clip"
SCENES = [
    "in a kitchen",
    "in the snow at night",
    "on a beach",
    "in a forest",
    "in a library",
    "in a garden",
    "at a market",
]


@pytest.fixture(scope="module")
def scorer() -> Iterator[ClipScorer]:
    with ClipScorer.load(str(SMALL_CLIP), device="cpu") as loaded:
        yield loaded


def drawing(likeness: Likeness, scene: str, *, seed: int) -> Image.Image:
    return paint(f"a character {scene}", likeness, seed=seed, variation=seed % 4, size=(192, 192)).convert("RGB")


def pencil(image: Image.Image) -> Image.Image:
    return ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES)).convert("RGB")


def ink(image: Image.Image) -> Image.Image:
    return (
        image.convert("L").filter(ImageFilter.MedianFilter(5)).point(lambda value: 255 * (value > 128)).convert("RGB")
    )


def halftone(image: Image.Image) -> Image.Image:
    y, x = np.mgrid[0 : image.height, 0 : image.width]
    dots = (np.sin(x * 0.7) * np.sin(y * 0.7) + 1) / 2
    ink_or_paper = np.where(np.asarray(image.convert("L")) / 255 > dots, 255, 60).astype(np.uint8)
    return Image.fromarray(ink_or_paper).convert("RGB")


@pytest.fixture(scope="module")
def details(scorer: ClipScorer) -> dict[str, list[Detail]]:
    """Readings of three characters in five scenes against two other scenes of the same character."""
    dice = random.Random(5)
    found: dict[str, list[Detail]] = {}
    for character in range(3):
        own, other = invent(dice), invent(dice)
        contents = [saved(drawing(own, scene, seed=90 + n + character), "PNG") for n, scene in enumerate(SCENES[:2])]
        references = [Reference(sha256=hashlib.sha256(each).hexdigest(), content=each) for each in contents]
        drawn = [drawing(own, scene, seed=10 * character + n) for n, scene in enumerate(SCENES[2:])]
        others = [drawing(other, scene, seed=10 * character + n) for n, scene in enumerate(SCENES[2:])]
        looks: dict[str, Callable[[Image.Image], Image.Image]] = {"pencil": pencil, "ink": ink, "halftone": halftone}
        sets = {"own": drawn, "other": others, **{name: [make(each) for each in drawn] for name, make in looks.items()}}
        for name, images in sets.items():
            scored = scorer.score([model_input(image, scorer.recipe) for image in images], references)
            found.setdefault(name, []).extend(each.detail for each in scored if each.detail is not None)
    return found


def style(details: list[Detail]) -> NDArray[np.float64]:
    return np.array([detail.style_corrected for detail in details])


def above(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """Area under the ROC curve."""
    return float((positives[:, None] > negatives[None, :]).mean())


@pytest.mark.parametrize("look", ["pencil", "ink", "halftone"])
def test_a_change_of_technique_is_heard(look: str, details: dict[str, list[Detail]]) -> None:
    assert above(style(details["own"]), style(details[look])) >= 0.75


def test_the_style_score_is_not_the_identity_score_again(details: dict[str, list[Detail]]) -> None:
    """Another character drawn the same way: plain to the core score, hardly to the style score."""
    core = {name: np.array([detail.core_raw for detail in details[name]]) for name in ("own", "other")}
    lost_core = core["own"].mean() - core["other"].mean()
    lost_style = style(details["own"]).mean() - style(details["other"]).mean()
    assert above(core["own"], core["other"]) > 0.95
    assert lost_style < lost_core / 3


def test_unrelated_styles_lie_near_zero(scorer: ClipScorer) -> None:
    """Between the six ways of drawing of the generated pictures."""
    pictures = [model_input(Image.fromarray(each), scorer.recipe) for each in specimens(scorer.recipe.size)]
    unrelated = []
    for way in range(6):
        content = saved(Image.fromarray(specimens(scorer.recipe.size)[4 * way]), "PNG")
        reference = Reference(sha256=hashlib.sha256(content).hexdigest(), content=content)
        scored = scorer.score(pictures, [reference])
        assert scored[4 * way].scores.style == pytest.approx(1, abs=1e-4)
        unrelated += [each.scores.style for at, each in enumerate(scored) if at // 4 != way]
    assert abs(np.mean(unrelated)) < 0.1
