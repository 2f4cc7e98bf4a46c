"""Does the style score hear how a picture is drawn, and does it care who is drawn?

Question: a character's drawings in five scenes, against references in two other scenes or against two portraits: does
its own drawing score above the same drawing in another technique (it should), and above another character drawn the
same way (it should not)? As the area under the ROC curve within each character, and as d', the distance of the means in
standard deviations: both have no unit, so that scores of different spread can be compared.
Hypothesis: style tells technique with scenes as references and hardly with portraits, and tells characters apart too.
Controls: the core score on the same pictures; the same drawing saved as JPEG, cropped, made half as large or darker,
which nobody would call another technique. Beside the product's score a candidate that is read from the pixels alone.
Characters: 8 of each seed. The candidate was chosen, among some forty statistics, with seeds 3 and 77 in sight; 501 was
drawn afterwards. The product's own score was chosen long before, on other characters.
Run: python benchmarks/bench_style.py [MODEL] (the sandbox's small CLIP by default); appends a line per seed and kind of
references to results/style.jsonl.
"""

import io
import json
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import sandbox
from sandbox.drawing.characters import Likeness, invent
from sandbox.drawing.picture import paint, portrait
from validation.clip import ClipScorer
from validation.pixels import model_input
from validation.similarity import cosines, frame_of, standard, unpack
from validation.specimens import specimens

RESULTS = Path(__file__).parent / "results" / "style.jsonl"
SMALL_CLIP = str(Path(sandbox.__file__).parent / "clip")
SEEDS = (3, 77, 501)
CHARACTERS = 8
SIDE = 192
_REFERENCE_SCENES = ("in a kitchen", "in the snow at night")
_SCENES = ("on a beach", "in a forest", "in a library", "in a garden", "at a market")
_QUANTILES = (25, 50, 75, 90, 95)

Rows = NDArray[np.float32]
Make = Callable[[Image.Image], Image.Image]


def pencil(image: Image.Image) -> Image.Image:
    return ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES))


def ink(image: Image.Image) -> Image.Image:
    return image.convert("L").filter(ImageFilter.MedianFilter(5)).point(lambda value: 255 * (value > 128))


def halftone(image: Image.Image) -> Image.Image:
    y, x = np.mgrid[0 : image.height, 0 : image.width]
    dots = (np.sin(x * 0.7) * np.sin(y * 0.7) + 1) / 2
    return Image.fromarray(np.where(np.asarray(image.convert("L")) / 255 > dots, 255, 60).astype(np.uint8))


def grain(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 14, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=60)
    return Image.open(content)


def halved(image: Image.Image) -> Image.Image:
    return image.resize((SIDE // 2, SIDE // 2)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def cropped(image: Image.Image) -> Image.Image:
    edge = SIDE // 10
    return image.crop((edge, edge, SIDE - edge, SIDE - edge)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


TECHNIQUES: Mapping[str, Make] = {
    "pencil": pencil,
    "ink": ink,
    "halftone": halftone,
    "poster": lambda image: ImageOps.posterize(image, 2),
    "oil": lambda image: image.filter(ImageFilter.ModeFilter(7)),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "grain": grain,
}
SAME_TECHNIQUE: Mapping[str, Make] = {
    "jpeg": jpeg,
    "cropped": cropped,
    "halved": halved,
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
}


def pixel_statistics(pixels: NDArray[np.uint8]) -> Rows:
    """(N, 20) how the brightness changes from pixel to pixel and from scale to scale, and how colourful it is.

    Args:
        pixels: (N, S, S, 3), as the model sees them.
    """
    colours = pixels.astype(np.float32) / 255
    grey = colours @ np.array([0.299, 0.587, 0.114], np.float32)  # (N, S, S)
    steps = [np.abs(np.diff(grey, axis=axis)).reshape(len(grey), -1) for axis in (2, 1)]
    found = [np.percentile(step, quantile, axis=1) for quantile in _QUANTILES for step in steps]
    rest = grey
    for _ in range(4):
        even = rest[:, : rest.shape[1] // 2 * 2, : rest.shape[2] // 2 * 2]
        rest = (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
        detail = even - rest.repeat(2, axis=1).repeat(2, axis=2)
        variance = detail.var(axis=(1, 2))
        found.append(np.log(np.sqrt(variance) + 1e-3))
        found.append(((detail**4).mean(axis=(1, 2)) / (variance**2 + 1e-9)) ** 0.25)
    saturation = colours.max(axis=-1) - colours.min(axis=-1)
    found += [saturation.mean(axis=(1, 2)), saturation.std(axis=(1, 2))]
    return np.stack(found, axis=1).astype(np.float32)


class Eyes:
    """Three ways to look at pictures: the nearest of the references, by core, by style and by the pixels alone."""

    def __init__(self, scorer: ClipScorer) -> None:
        self._scorer = scorer
        given = pixel_statistics(specimens(scorer.recipe.size))
        self._pixels = frame_of(given, given)

    def seen(self, images: list[Image.Image]) -> dict[str, Rows]:
        inputs = [model_input(image.convert("RGB"), self._scorer.recipe) for image in images]
        cores, styles = unpack([one for one in self._scorer.embed(inputs) if not isinstance(one, Exception)])
        size = self._scorer.recipe.size
        pixels = np.stack([np.frombuffer(one.pixels, np.uint8).reshape(size, size, 3) for one in inputs])
        return {
            "core": cores,
            "style": standard(styles, self._scorer.frame),
            "pixels": standard(pixel_statistics(pixels), self._pixels),
        }


def drawing(likeness: Likeness, scene: str, *, seed: int) -> Image.Image:
    return paint(f"a character {scene}", likeness, seed=seed, variation=seed % 4, size=(SIDE, SIDE)).convert("RGB")


def pictures(seed: int) -> list[dict[str, list[Image.Image]]]:
    """For each character its own drawings, what is made of them, others in the same scenes, and its references."""
    dice = random.Random(seed)
    found = []
    for number in range(CHARACTERS):
        own, other = invent(dice), invent(dice)
        alike = invent(dice, species=own.species)
        scenes = [(scene, 10 * number + place) for place, scene in enumerate(_SCENES)]
        drawn, others, near = (
            [drawing(who, scene, seed=place) for scene, place in scenes] for who in (own, other, alike)
        )
        references = [drawing(own, scene, seed=90 + at + number) for at, scene in enumerate(_REFERENCE_SCENES)]
        made = {name: [make(one) for one in drawn] for name, make in {**TECHNIQUES, **SAME_TECHNIQUE}.items()}
        found.append(
            {
                "own": drawn,
                "another character": others,
                "another of its species": near,
                **made,
                "scenes": references,
                "portraits": [portrait(own, seed=at, size=SIDE) for at in (1, 2)],
            }
        )
    return found


def area(above: Rows, below: Rows) -> float:
    return float(((above[:, None] > below) + (above[:, None] == below) / 2).mean())


def distance(above: Rows, below: Rows) -> float:
    return float((above.mean() - below.mean()) / np.sqrt((above.var() + below.var()) / 2))


def measured(seen: list[dict[str, dict[str, Rows]]], *, references: str) -> dict[str, dict[str, object]]:
    """By score: AUC and d' of the own drawings over each other set, on average, and the correlation with core."""
    scores = [
        {
            name: {eye: cosines(rows[eye], one[references][eye]).max(axis=1) for eye in rows}
            for name, rows in one.items()
        }
        for one in seen
    ]
    others = [name for name in seen[0] if name not in {"own", "scenes", "portraits"}]
    found: dict[str, dict[str, object]] = {}
    for eye in ("core", "style", "pixels"):
        by = [[one[name][eye] for one in scores for name in ("own", "another character")] for eye in ("core", eye)]
        pairs = {name: [(one["own"][eye], one[name][eye]) for one in scores] for name in others}
        found[eye] = {
            "auc": {name: round(float(np.mean([area(*pair) for pair in both])), 2) for name, both in pairs.items()},
            "d": {name: round(float(np.mean([distance(*pair) for pair in both])), 1) for name, both in pairs.items()},
            "correlation_with_core": round(float(np.corrcoef(*map(np.concatenate, by))[0, 1]), 2),
        }
    return found


def main() -> None:
    torch.set_num_threads(1)
    model = sys.argv[1] if len(sys.argv) > 1 else SMALL_CLIP
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    with ClipScorer.load(model, device="cpu", dtype="float32") as scorer:
        eyes = Eyes(scorer)
        about = {
            "model": "/".join(Path(model).parts[-2:]),
            "size": scorer.recipe.size,
            "characters": CHARACTERS,
            "scenes": len(_SCENES),
            "commit": commit.stdout.strip(),
            "machine": platform.machine(),
        }
        for seed in SEEDS:
            seen = [{name: eyes.seen(images) for name, images in one.items()} for one in pictures(seed)]
            for references in ("scenes", "portraits"):
                record = {**about, "seed": seed, "references": references, **measured(seen, references=references)}
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(json.dumps(record))


if __name__ == "__main__":
    main()
