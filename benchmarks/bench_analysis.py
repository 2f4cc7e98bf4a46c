"""The local analyser on drawings whose attributes are known: what does it read, and how sure may it be?

Question: of the scene, the garment and the hat of a drawing, which does CLIP zero-shot read above chance with the
sandbox's weights for analysis, is its confidence as right as it says, and how near are measured colours to the painted?
Hypothesis: all three, each far above chance.
Control: chance, one in the number of words; the weights that check pictures, which were trained for likeness and lost
what changes from picture to picture; and for the warmth, drawings of other seeds than those that are measured.
Agreement: what both analysers say of the same drawings, by attribute, with Cohen's kappa: 0 is what two reach who guess
by their own habits, 1 is full agreement. The vision model is the sandbox's stand-in, asked by HTTP with the product's
own question. It looks at nothing and draws words by the digest of the file, so that kappa must be near 0 whatever the
local analyser is worth: this checks the measure. `WORDS_URL`, `WORDS_KEY` and `WORDS_MODEL` name a real one.
Run: python -m benchmarks.bench_analysis [DRAWINGS [WEIGHTS...]]; appends a line to results/analysis.jsonl.
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
from pipeline.preparing.vocabulary import Asked
from providers.openai.words import Rates, WordsClient
from runtime.settings import Settings
from sandbox.drawing.characters import COLOUR_WORDS
from sandbox.drawing.picture import draw
from sandbox.drawing.prompt_words import read_prompt
from sandbox.process import running
from validation.clip import ClipScorer
from validation.colours import colours_of, difference
from validation.pixels import decode

ROOT = Path(__file__).resolve().parent.parent
CLIP = str(ROOT / "sandbox" / "clip")
#: What the sandbox's pictures are analysed with.
READS = Settings(CLIP_MODEL=CLIP, ANALYSIS_MODEL=None).analysis_weights
RESULTS = Path(__file__).parent / "results" / "analysis.jsonl"
SPECIES = ("pig", "cat", "dog", "bear", "fox")
GARMENTS = ("raincoat", "sweater", "dress", "overalls", "kimono", "cape", "apron", "spacesuit")
HATS = ("a gold crown", "a straw sunhat", "a chef hat", "a wizard hat")
SCENES = (
    "on a sunny beach",
    "on a snowy mountain",
    "in the forest",
    "on a city street",
    "on the moon in space",
    "in the kitchen",
    "in the library",
    "in a flower garden",
    "underwater at a coral reef",
    "in a desert with cactus and dunes",
)
#: By attribute, the words and the sentences that stand for each.
ASKED = {
    "scene": (SCENES, ("a pig {}", "a brown cat {}")),
    "garment": (GARMENTS, ("a pig in a {}", "a brown cat in a red {}")),
    "hat": (HATS, ("a pig with {}", "a brown cat wearing {}")),
}
COLOURS = ("red", "yellow", "green", "blue", "purple", "white", "orange", "mint", "pink", "teal")
STAND_IN = "gpt-6-luna"
#: Colours within this distance in OKLab, times 100, are plainly the same colour in light and shade.
NEAR = 10.0


class Drawing:
    """A drawing and what was asked of it."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.scene, self.garment = rng.choice(SCENES), rng.choice(GARMENTS)
        self.hat, self.colour = rng.choice(HATS), rng.choice(COLOURS)
        prompt = f"a {rng.choice(SPECIES)} in a {self.colour} {self.garment} with {self.hat} {self.scene}"
        while read_prompt(prompt).place is not read_prompt(self.scene).place:  # a chef is drawn in a kitchen
            self.hat = rng.choice(HATS)
            prompt = f"a {rng.choice(SPECIES)} in a {self.colour} {self.garment} with {self.hat} {self.scene}"
        picture = draw(prompt, references=[], weight=0, seed=seed, variation=seed % 4, size=(384, 384))
        file = BytesIO()
        picture.convert("RGB").save(file, format="PNG")
        self.content = file.getvalue()

    def vector(self, scorer: ClipScorer) -> npt.NDArray[np.float64]:
        return np.frombuffer(scorer.embed_picture(self.content).core, dtype="<f4").astype(np.float64)


def asked(words: Sequence[str], templates: Sequence[str]) -> Asked:
    return Asked(sentences={word: [template.format(word) for template in templates] for word in words})


def shares(scorer: ClipScorer, drawings: Sequence[Drawing], asked: Asked, *, warmth: float) -> list[dict[str, float]]:
    return [shares_of(asked, drawing.vector(scorer), scorer=scorer, warmth=warmth) for drawing in drawings]


def read(
    scorer: ClipScorer, drawings: Sequence[Drawing], *, warmth: float
) -> dict[str, list[tuple[str, float, float]]]:
    """By attribute, for each drawing: the first word, its share, and the share of the true word."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for name, (words, templates) in ASKED.items():
        shown = shares(scorer, drawings, asked(words, templates), warmth=warmth)
        found[name] = [
            (max(one, key=one.__getitem__), max(one.values()), one[getattr(drawing, name)])
            for one, drawing in zip(shown, drawings, strict=True)
        ]
    return found


def fitted(scorer: ClipScorer, drawings: Sequence[Drawing]) -> float:
    """The warmth of the smallest log loss over all attributes."""

    def loss(warmth: float) -> float:
        shown = read(scorer, drawings, warmth=warmth)
        return float(-np.mean([np.log(true + 1e-9) for one in shown.values() for _, _, true in one]))

    return min((0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3), key=loss)


def figures(model: str, drawings: Sequence[Drawing], others: Sequence[Drawing]) -> dict[str, Any]:
    """By attribute how often the first word is right, and mean confidence less that: 0 is calibrated."""
    with ClipScorer.load(model, device="cpu", threads=1) as scorer:
        warmth = fitted(scorer, others)
        shown = read(scorer, drawings, warmth=warmth)
    told: dict[str, Any] = {"warmth": warmth}
    for name, rows in shown.items():
        right = float(
            np.mean([word == getattr(drawing, name) for (word, _, _), drawing in zip(rows, drawings, strict=True)])
        )
        sure = float(np.mean([share for _, share, _ in rows]))
        told[name] = {"accuracy": round(right, 3), "confidence_less_accuracy": round(sure - right, 3)}
    return told


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
            (mine,) = analyse(drawing.content, scorer=scorer, model=READS).garments
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
    measured = [Drawing(10_000 + at) for at in range(count)]
    others = [Drawing(at) for at in range(count)]
    weights = list(dict.fromkeys([*sys.argv[2:], READS, CLIP]))
    with ClipScorer.load(READS, device="cpu", threads=1) as scorer:
        agreed = agreement(scorer, measured)
    line = {
        **circumstances(),
        "drawings": count,
        "chance": {name: round(1 / len(words), 3) for name, (words, _) in ASKED.items()},
        "weights": {_named(one): figures(one, measured, others) for one in weights},
        "colours": colour_figures(measured),
        "agreement": agreed,
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


def _named(model: str) -> str:
    return str(Path(model).relative_to(ROOT)) if Path(model).is_relative_to(ROOT) else model


if __name__ == "__main__":
    main()
