"""Does a composed prompt give a better picture than the person's own words? Paired, over the same ideas and seeds.

Question: by how much do `--enhance local` and `--enhance llm` lift what the system judges by (the core score against
the character's references) and how well the picture follows the person's own words (CLIP-T), against `--enhance off`?
Hypothesis: none that can be told from noise. The sandbox draws what a prompt names and knows nothing of light or view,
and its language model only repeats the idea with a light behind it.
Control: `off`, the same idea with the same seed. Differences are by idea, their interval by the paired bootstrap of
`likeness compare` (`validation.case_statistics`), at 97.5 % for two comparisons. The prompts are those of the product's
composer and of its question to a language model, which the sandbox answers by HTTP; the pictures are the sandbox's.
Run: python -m benchmarks.bench_enhancement [IDEAS]; appends a line to results/enhancement.jsonl.
"""

import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from benchmarks.bench_whole_path import circumstances
from domain.ids import BatchId, GenerationId
from domain.preparation import Known
from pipeline.preparing import composer, llm_enhancement
from pipeline.preparing.composer import Wanted
from providers.catalogue import load
from providers.openai.words import Rates, WordsClient
from sandbox.clip.captions import scene
from sandbox.drawing.characters import LULU
from sandbox.drawing.picture import draw, portrait
from sandbox.process import running
from validation.base import Aggregation, Embedding
from validation.case_statistics import Case, difference
from validation.clip import ClipScorer
from validation.similarity import alignment, compare

ROOT = Path(__file__).resolve().parent.parent
CLIP = str(ROOT / "sandbox" / "clip")
RESULTS = Path(__file__).parent / "results" / "enhancement.jsonl"
MODEL = "gpt-image-2"
WORDS_MODEL = "gpt-6-luna"
CASES = ("off", "local", "llm")
SIDE = 192
CONFIDENCE = 1 - 0.05 / 2


def _file(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.convert("RGB").save(file, format="PNG")
    return file.getvalue()


def prompts_of(idea: str, seed: int, words: WordsClient) -> Mapping[str, str]:
    """The prompt of each case."""
    model, wanted = load().get(MODEL), Wanted(words=idea, garments=())
    known = Known(
        generation_id=GenerationId(uuid4()),
        batch_id=BatchId(uuid4()),
        user_id="benchmark",
        position=seed,
        wishes={},
        original=idea,
        prompt=idea,
        provider=model.provider,
        model=MODEL,
    )
    question = llm_enhancement.question(known, words=idea, phrases=False, most_chars=model.max_prompt_chars)
    told = words.ask(question).content["prompts"][0]
    return {
        "off": composer.as_given(wanted, model).prompts[0],
        "local": composer.compose(wanted, model, seed=seed).prompts[0],
        "llm": composer.finished(told, wanted, model),
    }


def lift(scores: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    """Each case's mean, and by how much it is above `off`."""
    cases = {name: Case(name=name, scores=found, judged=0, accepted=0) for name, found in scores.items()}
    told: dict[str, Any] = {"off": {"mean": round(cases["off"].mean or 0, 4)}}
    for name in CASES[1:]:
        found = difference(cases[name], cases["off"], confidence=CONFIDENCE)
        low, high = found.interval.low, found.interval.high
        told[name] = {
            "mean": round(cases[name].mean or 0, 4),
            "lift": round(found.mean, 4),
            "interval": [round(low, 4), round(high, 4)],
            "verdict": "better" if low > 0 else "worse" if high < 0 else "cannot be told apart",
        }
    return told


def measured(count: int, words: WordsClient) -> dict[str, Any]:
    core: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    follows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rng = random.Random("enhancement")
    with ClipScorer.load(CLIP, device="cpu", threads=1) as scorer:
        references: list[Embedding] = [
            scorer.embed_picture(_file(portrait(LULU, seed=seed, size=SIDE))) for seed in range(2)
        ]
        for seed in range(count):
            idea = f"a pig {scene(rng)}"
            text = scorer.embed_text(idea)
            assert text is not None
            for name, prompt in prompts_of(idea, seed, words).items():
                drawn = draw(prompt, references=[LULU], weight=1, seed=seed, variation=0, size=(SIDE, SIDE))
                embedded = scorer.embed_picture(_file(drawn))
                ((scores, _),) = compare([embedded], references, frame=scorer.frame, aggregation=Aggregation.MAX)
                core[name][f"{seed} {idea}"].append(scores.core)
                follows[name][f"{seed} {idea}"].append(alignment(text, [embedded])[0])
    return {"core": lift(core), "follows_the_words": lift(follows)}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(Path(scratch) / "sandbox", latency_s=0.0) as url,
    ):
        rates = Rates(usd_in=Decimal(1), usd_out=Decimal(4))
        words = WordsClient(base_url=f"{url}/openai", key="sandbox", model=WORDS_MODEL, rates=rates)
        found = measured(count, words)
    line = {
        **circumstances(),
        "ideas": count,
        "confidence": CONFIDENCE,
        **found,
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


if __name__ == "__main__":
    main()
