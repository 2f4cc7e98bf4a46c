"""The local analyser on drawings whose attributes are known: what does it read, and how sure may it be?

Question: of the scene, the garment and the hat of a drawing, which does CLIP zero-shot read above chance with the small
weights of the sandbox, is its confidence as right as it says, and how near are measured colours to the painted ones?
Hypothesis: the weights were trained for likeness, so what changes from picture to picture of a character is lost to
them, but for the scene.
Control: chance, one in the number of words; and for the warmth, drawings of other seeds than those that are measured.
Agreement: what both analysers say of the same drawings, by attribute, with Cohen's kappa: 0 is what two reach who guess
by their own habits, 1 is full agreement. The vision model is the sandbox's stand-in, asked by HTTP with the product's
own question. It looks at nothing and draws words by the digest of the file, so that kappa must be near 0 whatever the
local analyser is worth: this checks the measure. `WORDS_URL`, `WORDS_KEY` and `WORDS_MODEL` name a real one.
Run: python -m benchmarks.bench_analysis [DRAWINGS]; appends a line to results/analysis.jsonl.
"""

import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bench_whole_path import circumstances
from domain.errors import BadInput
from domain.garments import Attribute, read_spec
from pipeline.preparing import vision_analysis
from pipeline.preparing.local_analysis import analyse, shares_of
from pipeline.preparing.vocabulary import Asked, vocabulary_of
from providers.openai.words import Rates, WordsClient
from sandbox.drawing.characters import COLOUR_WORDS
from sandbox.drawing.picture import draw
from sandbox.process import running
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
STAND_IN = "gpt-6-luna"
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


def asked(words: Sequence[str], templates: Sequence[str]) -> Asked:
    return Asked(sentences={word: [template.format(word) for template in templates] for word in words})


def shares(scorer: ClipScorer, drawings: Sequence[Drawing], asked: Asked, *, warmth: float) -> list[dict[str, float]]:
    return [shares_of(asked, drawing.vector(scorer), scorer=scorer, warmth=warmth) for drawing in drawings]


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
        found = shares(scorer, drawings, asked(words, templates), warmth=warmth)
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


@contextmanager
def vision_model() -> Iterator[WordsClient]:
    """The model of the environment, or else the sandbox's stand-in."""
    rates = Rates(usd_in=Decimal(0), usd_out=Decimal(0))
    if url := os.environ.get("WORDS_URL"):
        yield WordsClient(base_url=url, key=os.environ["WORDS_KEY"], model=os.environ["WORDS_MODEL"], rates=rates)
        return
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch) / "sandbox", latency_s=0.0) as url:
        yield WordsClient(base_url=f"{url}/openai", key="sandbox", model=STAND_IN, rates=rates)


def agreement(scorer: ClipScorer, drawings: Sequence[Drawing]) -> dict[str, Any]:
    """By attribute of which both said something: how often the same, and beyond what their habits alone would give."""
    pairs: dict[Attribute, list[tuple[str, str]]] = {}
    useless = 0
    with vision_model() as client:
        for drawing in drawings:
            (mine,) = analyse(drawing.content, scorer=scorer, model=CLIP).garments
            try:
                theirs = read_spec(client.ask(vision_analysis.question(drawing.content)).content)[0]
            except BadInput:
                useless += 1
                continue
            for attribute in mine.values.keys() & theirs.values.keys():
                pairs.setdefault(attribute, []).append((mine.values[attribute], theirs.values[attribute]))
        model = client.model if os.environ.get("WORDS_URL") else f"{client.model}, the sandbox's stand-in"
    return {
        "vision_model": model,
        "answers_of_no_use": useless,
        "by_attribute": {one.value: kappa(found) for one, found in sorted(pairs.items())},
    }


def kappa(pairs: Sequence[tuple[str, str]]) -> Mapping[str, float | int | None]:
    """Source: J. Cohen, Educational and Psychological Measurement 20 (1960), 37-46."""
    count = len(pairs)
    same = sum(one == other for one, other in pairs) / count
    firsts, seconds = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    by_habit = sum(firsts[word] * seconds[word] for word in firsts) / count**2
    beyond = None if by_habit == 1 else round((same - by_habit) / (1 - by_habit), 3)
    return {"pictures": count, "same": round(same, 3), "same_by_habit": round(by_habit, 3), "kappa": beyond}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    vocabulary = vocabulary_of(CLIP)
    scenes = list(vocabulary.attributes[Attribute.SCENE].sentences)
    templates = ["a pig {}", "a brown cat {}"]
    measured = [Drawing(10_000 + at, scenes) for at in range(count)]
    with ClipScorer.load(CLIP, device="cpu", threads=1) as scorer:
        warmth = fitted(scorer, [Drawing(at, scenes) for at in range(count)], scenes, templates)
        by_scene = shares(scorer, measured, asked(scenes, templates), warmth=warmth)
        garments = shares(scorer, measured, asked(GARMENTS, ["a pig in a red {}", "a cat in a blue {}"]), warmth=warmth)
        agreed = agreement(scorer, measured)
        hats = shares(scorer, measured, asked(HATS, ["a pig with {}", "a cat with {} in the city"]), warmth=warmth)
    line = {
        **circumstances(),
        "drawings": count,
        "scene": {"accuracy": accuracy(by_scene, [one.scene for one in measured]), "chance": 1 / len(scenes)},
        "garment": {"accuracy": accuracy(garments, [one.garment for one in measured]), "chance": 1 / len(GARMENTS)},
        "hat": {"accuracy": accuracy(hats, [one.hat for one in measured]), "chance": 1 / len(HATS)},
        "warmth": warmth,
        "scene_confidence_less_accuracy": off(by_scene, [one.scene for one in measured]),
        "colours": colour_figures(measured),
        "agreement": agreed,
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


if __name__ == "__main__":
    main()
