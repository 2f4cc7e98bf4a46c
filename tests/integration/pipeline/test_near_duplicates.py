"""Pictures that are too alike, and pictures held against their prompts: found with what the check has computed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import cos, sin
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from transformers import CLIPModel, CLIPProcessor

import sandbox
from db.reads import near_duplicates
from db.schema import generation_assets
from db.session import Database
from domain.ids import AssetId, AttemptId, BatchId, CharacterId
from domain.verdict import Origin
from pipeline.attempts.validate import without_flags
from pipeline.process.embedding_cache import KeptEmbeddings
from pipeline.process.near_duplicates import NearDuplicates
from tests.support.books import Books, asset, books_of
from tests.support.finished import judge
from tests.support.scoring_models import save_tiny_clip
from tests.support.scoring_pictures import saved, scene
from validation.base import Embedding, ModelInput
from validation.clip import ClipScorer
from validation.embedder import fingerprint_of
from validation.pixels import decode, model_input
from validation.similarity import alignment

SMALL_CLIP = str(Path(sandbox.__file__).parent / "clip")
ORIGIN = Origin(model="m", revision="r", preprocessing="p", dtype="float32", references="")
FINGERPRINT = fingerprint_of(revision="r", preprocessing="p", dtype="float32")


@pytest.fixture
def books(database: Database) -> Iterator[Books]:
    with books_of(database) as opened:
        opened.lane(concurrency=1000)
        yield opened


@pytest.fixture
def batch(books: Books) -> tuple[BatchId, CharacterId]:
    character = books.character()
    return books.batch(12, character=character), character


def _judged(books: Books, character: CharacterId, *angles: float) -> AttemptId:
    """One more generation with a picture in each of these directions; close angles are close pictures."""
    admitted = books.admit(places={"sandbox": 1})[0]
    attempt_id = admitted.attempt_id
    assets = [asset(position) for position in range(len(angles))]
    books.accept(attempt_id, books.claim(attempt_id))
    books.make(attempt_id, books.polled(attempt_id))
    books.collect(attempt_id, books.claim_collection(attempt_id), *assets)
    judge(books, attempt_id, character, *[0.9] * len(angles))
    made = {
        str(one.sha256): Embedding(core=np.array([cos(angle), sin(angle)], "<f4").tobytes(), style=b"")
        for one, angle in zip(assets, angles, strict=True)
    }
    KeptEmbeddings(books.database).put_many(made, model=FINGERPRINT)
    return attempt_id


def _flags(books: Books) -> dict[tuple[UUID, int], tuple[UUID, int]]:
    """Attempt and position of each flagged picture, and of the one that it is like."""
    rows = {row.id: row for row in books.rows(generation_assets)}
    flagged = [row for row in rows.values() if row.near_duplicate_of is not None]
    assert all(row.near_duplicate_score >= 0.98 for row in flagged)
    place = {one: (row.attempt_id, row.position) for one, row in rows.items()}
    return {place[row.id]: place[row.near_duplicate_of] for row in flagged}


def test_the_later_of_two_alike_is_flagged_and_variations_of_one_prompt_are_not(
    books: Books, batch: tuple[BatchId, CharacterId]
) -> None:
    batch_id, character = batch
    look = NearDuplicates()
    first = _judged(books, character, 0.0, 0.01, 1.0)
    look.look(books.database, batch_id, origin=ORIGIN)
    assert _flags(books) == {}
    second = _judged(books, character, 1.05, 0.5)
    look.look(books.database, batch_id, origin=ORIGIN)
    assert _flags(books) == {(second, 0): (first, 2)}
    third = _judged(books, character, 1.04)
    look.look(books.database, batch_id, origin=ORIGIN)
    assert _flags(books) == {(second, 0): (first, 2), (third, 0): (second, 0)}, "the one it is most like"


def test_another_process_that_knows_nothing_finds_the_same(books: Books, batch: tuple[BatchId, CharacterId]) -> None:
    batch_id, character = batch
    first, second = _judged(books, character, 0.0), _judged(books, character, 0.02)
    NearDuplicates().look(books.database, batch_id, origin=ORIGIN)
    assert _flags(books) == {(second, 0): (first, 0)}


def test_workers_that_judge_at_once_miss_nothing(books: Books, batch: tuple[BatchId, CharacterId]) -> None:
    batch_id, character = batch
    attempts = [_judged(books, character, number / 1000) for number in range(8)]
    workers = [NearDuplicates() for _ in range(2)]
    with ThreadPoolExecutor(8) as threads:
        for worker in workers * 4:
            threads.submit(worker.look, books.database, batch_id, origin=ORIGIN)
    flags = _flags(books)
    assert set(flags) == {(attempt, 0) for attempt in attempts[1:]}, "all but the first"


def test_two_that_flag_the_same_pictures_in_turn_about_keep_the_closest(
    books: Books, batch: tuple[BatchId, CharacterId]
) -> None:
    for number in range(10):
        _judged(books, batch[1], float(number))
    first, *assets = [AssetId(row.id) for row in sorted(books.rows(generation_assets), key=lambda row: row.id)]

    def flag(worker: int) -> None:
        for _ in range(10):
            with books.database.transaction() as connection:
                found = {one: (first, 0.99 if at % 2 == worker else 0.98) for at, one in enumerate(assets)}
                near_duplicates.flag(connection, found if worker else dict(reversed(found.items())))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(flag, range(2)))
    with books.database.transaction() as connection:
        assert near_duplicates.flagged(connection, assets) == dict.fromkeys(assets, (first, 0.99))


def test_a_memory_that_is_full_begins_anew_with_the_latest(books: Books, batch: tuple[BatchId, CharacterId]) -> None:
    batch_id, character = batch
    look = NearDuplicates(most=2)
    attempts = []
    for number in range(6):
        attempts.append(_judged(books, character, 0.3 * (number // 2)))
        look.look(books.database, batch_id, origin=ORIGIN)
    assert _flags(books) == {(attempts[at], 0): (attempts[at - 1], 0) for at in (1, 3, 5)}


def test_a_database_that_is_away_spoils_no_verdict(batch: tuple[BatchId, CharacterId]) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    look = NearDuplicates()
    for _ in range(2):
        look.look(away, batch[0], origin=ORIGIN)
    away.close()


def _input(scorer: ClipScorer, number: int) -> ModelInput:
    return model_input(decode(saved(scene(number, (120, 96)), "PNG")).image, scorer.recipe)


def test_the_alignment_with_a_prompt_is_what_transformers_own_path_computes() -> None:
    prompt = "a pink pig on a beach"
    with ClipScorer.load(SMALL_CLIP, device="cpu") as scorer:
        pictures = [one for one in scorer.embed([_input(scorer, 1), _input(scorer, 2)]) if isinstance(one, Embedding)]
        told = scorer.embed_text(prompt)
        assert told is not None
        assert scorer.embed_text(prompt) == told
        assert scorer.embed_text("a very long story " * 200) is not None, "cut where the context ends"
        ours = alignment(told, pictures)
    model, processor = CLIPModel.from_pretrained(SMALL_CLIP), CLIPProcessor.from_pretrained(SMALL_CLIP)
    images = [decode(saved(scene(number, (120, 96)), "PNG")).image for number in (1, 2)]
    out = model(**processor(text=[prompt], images=images, return_tensors="pt", padding=True, truncation=True))
    theirs = (out.image_embeds @ out.text_embeds.T)[:, 0].tolist()
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_model_without_a_tokenizer_reads_nothing_and_says_so(tmp_path: Path) -> None:
    with ClipScorer.load(str(save_tiny_clip(tmp_path)), device="cpu") as scorer:
        assert scorer.embed_text("a pig") is None


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a pig --ar 3:2 --v 6.1", "a pig"),
        ("https://example.com/a.png  a pig", "a pig"),
        ("a pig -- pink, well-fed", "a pig -- pink, well-fed"),
        ("--no text", ""),
    ],
)
def test_flags_and_addresses_are_not_read(prompt: str, said: str) -> None:
    assert without_flags(prompt) == said
