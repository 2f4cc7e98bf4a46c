"""The local analyser on drawings whose attributes are known: what does it read, and how sure may it be?

Question: of the scene, the garment and the hat of a drawing, which does CLIP zero-shot read above chance with the small
weights of the sandbox, is its confidence as right as it says, and how near are measured colours to the painted ones?
Hypothesis: the weights were trained for likeness, so what changes from picture to picture of a character is lost to
them, but for the scene.
Control: chance, one in the number of words; and for the warmth, drawings of other seeds than those that are measured.
Run: python benchmarks/bench_analysis.py [DRAWINGS]; appends a line to results/analysis.jsonl.
"""

import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from domain.garments import Attribute
from pipeline.preparing.local_analysis import shares_of
from pipeline.preparing.vocabulary import Vocabulary, vocabulary_of
from sandbox.drawing.characters import COLOUR_WORDS
from sandbox.drawing.picture import draw
from validation.clip import ClipScorer
from validation.colours import colours_of, difference
from validation.pixels import decode

ROOT = Path(__file__).resolve().parent.parent
CLIP = str(ROOT / "sandbox" / "clip")
RESULTS = Path(__file__).parent / "results" / "analysis.jsonl"
SPECIES = ("pig", "cat", "dog", "bear", "fox")
GARMENTS = ("raincoat", "sweater", "dress", "overalls", "kimono", "cape", "apron", "spacesuit")
HATS = ("a gold crown", "a straw sunhat", "a chef hat", "a wizard hat")
COLOURS = ("red", "yellow", "green", "blue", "purple", "white", "orange", "mint", "pink", "teal")
#: Colours within this distance in OKLab, times 100, are plainly the same colour in light and shade.
NEAR = 10.0


class Drawing:
    """A drawing and what was asked of it."""

    def __init__(self, seed: int, scenes: Sequence[str]) -> None:
        rng = random.Random(seed)
        self.scene, self.garment = rng.choice(scenes), rng.choice(GARMENTS)
        self.hat, self.colour = rng.choice(HATS), rng.choice(COLOURS)
        prompt = f"a {rng.choice(SPECIES)} in a {self.colour} {self.garment} with {self.hat} {self.scene}"
        picture = draw(prompt, references=[], weight=0, seed=seed, variation=seed % 4, size=(384, 384))
        file = BytesIO()
        picture.convert("RGB").save(file, format="PNG")
        self.content = file.getvalue()
        self._vector: npt.NDArray[np.float64] | None = None

    def vector(self, scorer: ClipScorer) -> npt.NDArray[np.float64]:
        if self._vector is None:
            core = scorer.embed_picture(self.content).core
            self._vector = np.frombuffer(core, dtype="<f4").astype(np.float64)
        return self._vector


def asked(words: Sequence[str], templates: Sequence[str], warmth: float) -> Vocabulary:
    sentences = {Attribute.SCENE: {word: [template.format(word) for template in templates] for word in words}}
    return Vocabulary(sentences=sentences, warmth=warmth, calibrated=False, source="this benchmark")


def shares(scorer: ClipScorer, drawings: Sequence[Drawing], vocabulary: Vocabulary) -> list[dict[str, float]]:
    return [
        shares_of(Attribute.SCENE, drawing.vector(scorer), scorer=scorer, vocabulary=vocabulary) for drawing in drawings
    ]


def accuracy(found: Sequence[dict[str, float]], truth: Sequence[str]) -> float:
    return round(
        float(np.mean([max(one, key=one.__getitem__) == true for one, true in zip(found, truth, strict=True)])), 3
    )


def off(found: Sequence[dict[str, float]], truth: Sequence[str]) -> float:
    """Mean confidence of the first word less the share of right ones: 0 is calibrated."""
    confidence = float(np.mean([max(one.values()) for one in found]))
    return round(confidence - accuracy(found, truth), 3)


def fitted(scorer: ClipScorer, drawings: Sequence[Drawing], words: Sequence[str], templates: Sequence[str]) -> float:
    """The warmth of the smallest log loss."""

    def loss(warmth: float) -> float:
        found = shares(scorer, drawings, asked(words, templates, warmth))
        return float(
            -np.mean([np.log(one[drawing.scene] + 1e-9) for one, drawing in zip(found, drawings, strict=True)])
        )

    return min((0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2), key=loss)


def colour_figures(drawings: Sequence[Drawing]) -> dict[str, float]:
    distances = [
        min(difference(one.rgb, COLOUR_WORDS[drawing.colour]) for one in colours_of(decode(drawing.content).image))
        for drawing in drawings
    ]
    return {
        "garment_colour_found": round(float(np.mean([one <= NEAR for one in distances])), 3),
        "within": NEAR,
        "median_distance": round(median(distances), 2),
        "p90_distance": round(float(np.quantile(distances, 0.9)), 2),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    vocabulary = vocabulary_of(CLIP)
    scenes = list(vocabulary.sentences[Attribute.SCENE])
    templates = ["a pig {}", "a brown cat {}"]
    measured = [Drawing(10_000 + at, scenes) for at in range(count)]
    with ClipScorer.load(CLIP, device="cpu", threads=1) as scorer:
        warmth = fitted(scorer, [Drawing(at, scenes) for at in range(count)], scenes, templates)
        by_scene = shares(scorer, measured, asked(scenes, templates, warmth))
        garments = shares(scorer, measured, asked(GARMENTS, ["a pig in a red {}", "a cat in a blue {}"], warmth))
        hats = shares(scorer, measured, asked(HATS, ["a pig with {}", "a cat with {} in the city"], warmth))
    line = {
        "drawings": count,
        "scene": {"accuracy": accuracy(by_scene, [one.scene for one in measured]), "chance": 1 / len(scenes)},
        "garment": {"accuracy": accuracy(garments, [one.garment for one in measured]), "chance": 1 / len(GARMENTS)},
        "hat": {"accuracy": accuracy(hats, [one.hat for one in measured]), "chance": 1 / len(HATS)},
        "warmth": warmth,
        "scene_confidence_less_accuracy": off(by_scene, [one.scene for one in measured]),
        "colours": colour_figures(measured),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


if __name__ == "__main__":
    main()
