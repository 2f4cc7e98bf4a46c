"""A character at the edge of a long picture is found by every path that scores: the sandbox's drawings and model."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import sandbox.clip
from sandbox.drawing.characters import LULU, Likeness, Species, invent
from sandbox.drawing.picture import paint, portrait
from tests.support.scoring_pictures import saved
from validation.base import Embedding, EmbeddingCache, ModelInput, Reference, Scored
from validation.clip import ClipScorer
from validation.pixels import model_input

MODEL = Path(sandbox.clip.__file__).parent
WIDE = (2100, 900)
#: Where a square of 900 pixels with the character in it is laid into the wide picture, and the crop that shows it.
PLACES = {0: 1, 300: 2, 600: 3, 900: 4, 1200: 5}


class Memory(EmbeddingCache):
    """A cache that forgets nothing."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Embedding]] = {}

    def get_many(self, sources: Sequence[str], *, model: str) -> dict[str, Embedding]:
        known = self.kept.get(model, {})
        return {one: known[one] for one in sources if one in known}

    def put_many(self, embeddings: dict[str, Embedding], *, model: str) -> None:  # type: ignore[override]  # what tests give
        self.kept.setdefault(model, {}).update(embeddings)


@pytest.fixture(scope="module")
def scorer() -> Iterator[ClipScorer]:
    with ClipScorer.load(str(MODEL), device="cpu", max_batch=4) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def lulu() -> Reference:
    content = saved(portrait(LULU, seed=1, size=512), "PNG")
    return Reference(sha256=hashlib.sha256(content).hexdigest(), content=content)


def wide(at: int, who: Likeness = LULU) -> Image.Image:
    picture = Image.new("RGB", WIDE, "#9ec7e8")
    picture.paste(paint("a pig in a garden", who, seed=1, variation=1, size=(900, 900)), (at, 0))
    return picture


def central_alone(scorer: ClipScorer, made: ModelInput) -> ModelInput:
    return replace(made, pixels=made.pixels[: made.size * made.size * 3])


def test_a_character_scores_alike_wherever_it_stands(scorer: ClipScorer, lulu: Reference) -> None:
    inputs = [model_input(wide(at), scorer.recipe) for at in PLACES]
    found = scorer.score(inputs, [lulu])
    assert [(one.detail.crop, one.detail.crops) for one in found if one.detail] == [(n, 5) for n in PLACES.values()]
    scores = [one.scores.core for one in found]
    assert min(scores) > 0.85
    assert max(scores) - min(scores) < 0.02
    edges = scorer.score([central_alone(scorer, inputs[0]), central_alone(scorer, inputs[-1])], [lulu])
    assert max(one.scores.core for one in edges) < 0.3, "one crop would not have seen it"


def test_another_character_at_the_edge_stays_another(scorer: ClipScorer, lulu: Reference) -> None:
    cat = invent(random.Random(5), species=Species.CAT)
    for found in scorer.score([model_input(wide(at, cat), scorer.recipe) for at in PLACES], [lulu]):
        assert found.scores.core < 0.6


def test_a_picture_stands_upright_too(scorer: ClipScorer, lulu: Reference) -> None:
    tall = Image.new("RGB", (900, 2100), "#9ec7e8")
    tall.paste(paint("a pig in a garden", LULU, seed=1, variation=1, size=(900, 900)), (0, 1200))
    [found] = scorer.score([model_input(tall, scorer.recipe)], [lulu])
    assert found.detail is not None
    assert (found.scores.core > 0.85, found.detail.crop) == (True, 5)


def test_all_paths_give_the_same_scores_and_share_batches(lulu: Reference) -> None:
    files = [saved(wide(at), "PNG") for at in PLACES] + [saved(portrait(LULU, seed=2, size=400), "PNG"), b"no picture"]
    cache = Memory()
    with ClipScorer.load(str(MODEL), device="cpu", max_batch=4, cache=cache) as scorer:
        pictures = [*(wide(at) for at in PLACES), portrait(LULU, seed=2, size=400)]
        inputs = [model_input(one, scorer.recipe, source=str(at)) for at, one in enumerate(pictures)]
        by_task = scorer.score(inputs, [lulu])
        *by_chunk, failure = scorer.score_chunk(files, [lulu])
        kept = cache.get_many([str(at) for at in range(len(inputs))], model=scorer.fingerprint)
        assert len(kept["0"].further) == 4 * (len(kept["0"].core) + len(kept["0"].style))
        assert kept["5"].further == b""
    assert not isinstance(failure, Scored)
    for one, other in zip(by_task, by_chunk, strict=True):
        assert isinstance(other, Scored)
        assert one.detail is not None
        assert other.detail is not None
        assert one.scores.core == pytest.approx(other.scores.core, abs=1e-4)
        assert (one.detail.crop, one.detail.crops) == (other.detail.crop, other.detail.crops)
    with ClipScorer.load(str(MODEL), device="cpu", cache=cache) as again:
        assert [one.scores for one in again.score(inputs, [lulu])] == [one.scores for one in by_task]
