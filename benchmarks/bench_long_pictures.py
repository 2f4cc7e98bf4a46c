"""How many strangers pass in long pictures, by the threshold of square ones and by the raised one of their crops?

Hypothesis: the best of three or five crops passes strangers at a multiple of the rate of square pictures; the threshold
that `validation.crops.cuts_by_crops` derives from the square strangers alone brings the rate back near it. What that
costs is the share of the character's own pictures that miss it.
Control: square pictures of the same characters in the same scenes, at the recommended cut of a calibration on them.
Characters, references and scenes are the sandbox's, of seeds that its model was not trained on. The cut comes from
square pictures of two scenes, the rates from pictures of two others. Characters stand where the sandbox puts them.
Run: python -m benchmarks.bench_long_pictures [CHARACTERS]; appends a line to results/long_pictures.jsonl.
"""

import json
import random
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bench_whole_path import circumstances
from sandbox.clip.captions import scene
from sandbox.drawing.characters import Likeness, Species, invent
from sandbox.drawing.picture import paint, portrait
from validation.base import Aggregation, Embedding
from validation.calibration import recommended_cut
from validation.clip import ClipScorer
from validation.crops import cuts_by_crops
from validation.similarity import compare

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results" / "long_pictures.jsonl"
SHORT_SIDE = 192
#: By its name, width of a picture and the crops that it is seen in.
RATIOS = {"1:1": (192, 1), "16:9": (341, 3), "21:9": (448, 5)}
SPECIES = tuple(Species)[:5]
FOLD = 2


def _file(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.convert("RGB").save(file, format="PNG")
    return file.getvalue()


class Character:
    """One of the sandbox's characters, its references, and its pictures of each ratio."""

    def __init__(self, number: int, scorer: ClipScorer) -> None:
        rng = random.Random(f"long/{number}")
        likeness: Likeness = invent(rng, species=SPECIES[number % len(SPECIES)])
        self.references = [
            scorer.embed_picture(_file(portrait(likeness, seed=seed, size=SHORT_SIDE))) for seed in range(3)
        ]
        about = [scene(rng) for _ in range(2 * FOLD)]
        self.pictures: dict[str, list[Embedding]] = {
            ratio: [
                scorer.embed_picture(_file(paint(words, likeness, seed=at, variation=at % 4, size=(width, SHORT_SIDE))))
                for at, words in enumerate(about if ratio == "1:1" else about[FOLD:])
            ]
            for ratio, (width, _) in RATIOS.items()
        }


def scores(
    characters: Sequence[Character], scorer: ClipScorer, ratio: str, taken: slice
) -> tuple[list[float], list[float]]:
    """Core scores of each character's own pictures, and of everybody else's against it."""
    own: list[float] = []
    others: list[float] = []
    for one in characters:
        for other in characters:
            found = compare(
                other.pictures[ratio][taken], one.references, frame=scorer.frame, aggregation=Aggregation.MAX
            )
            (own if other is one else others).extend(each.core for each, _ in found)
    return own, others


def share(values: Sequence[float], cut: float) -> float:
    """Of the values, those that reach the cut."""
    return round(float(np.mean([one >= cut for one in values])), 4)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with ClipScorer.load(str(ROOT / "sandbox" / "clip"), device="cpu", threads=1) as scorer:
        characters = [Character(number, scorer) for number in range(count)]
        own, others = scores(characters, scorer, "1:1", slice(FOLD))
        cut = recommended_cut(own, others)
        raised = {1: cut, **cuts_by_crops(cut, others, seen_in=1)}
        by_ratio = {}
        for ratio, (_, crops) in RATIOS.items():
            own, others = scores(characters, scorer, ratio, slice(FOLD, None) if ratio == "1:1" else slice(None))
            by_ratio[ratio] = {
                "crops": crops,
                "own": len(own),
                "others": len(others),
                "others_accepted": share(others, cut),
                "own_accepted": share(own, cut),
                "raised_cut": raised[crops],
                "others_accepted_raised": share(others, raised[crops]),
                "own_accepted_raised": share(own, raised[crops]),
            }
    line = {
        **circumstances(),
        "characters": count,
        "cut": cut,
        "ratios": by_ratio,
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


if __name__ == "__main__":
    main()
