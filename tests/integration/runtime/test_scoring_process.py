"""The scorer in a process of its own: what it embeds, what it keeps, and how it ends."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import Database
from domain.errors import LikenessError, ModelUnloadable, NotAPicture, ScorerBroken, ScorerError, UnfitPicture
from domain.ids import sha256
from pipeline.process.embedding_cache import KeptEmbeddings
from runtime import scoring_protocol as wire
from runtime.scoring import ScoringProcess, scoring_process
from runtime.settings import Settings
from tests.support.scoring_models import save_tiny_clip
from tests.support.scoring_pictures import saved, scene
from validation.base import Embedding
from validation.embedder import Source
from validation.similarity import compare


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = save_tiny_clip(tmp_path_factory.mktemp("clip"))
    given = {"LIKENESS_HOME": tmp_path_factory.mktemp("home"), "CLIP_MODEL": str(folder), "LIKENESS_DEVICE": "cpu"}
    return Settings(_env_file=None, **given)


@pytest.fixture(scope="module")
def process(settings: Settings) -> Iterator[ScoringProcess]:
    with scoring_process(settings) as scorer:
        yield scorer


def _source(number: int) -> Source:
    content = saved(scene(number, (80, 72)), "PNG")
    return Source(sha256=sha256(content), read=lambda: content)


def _unread(source: Source) -> Source:
    def read() -> bytes:
        raise AssertionError("a picture whose embedding is known is not read")

    return Source(sha256=source.sha256, read=read)


def test_every_picture_has_one_outcome_and_what_fails_fails_alone(process: ScoringProcess) -> None:
    sources = [_source(number) for number in range(40)]
    broken = Source(sha256="broken", read=lambda: b"<html>")
    gone = Source(sha256="gone", read=Path("/nowhere/at/all.png").read_bytes)
    outcomes = dict(process.embed([*sources, broken, sources[3], gone]))
    assert len(outcomes) == 42
    assert all(isinstance(outcomes[one.sha256], Embedding) for one in sources)
    assert isinstance(outcomes["broken"], NotAPicture)
    assert isinstance(outcomes["gone"], LikenessError)
    embeddings = [outcomes[one.sha256] for one in sources[:2]]
    (scores, _), _ = compare(
        [one for one in embeddings if isinstance(one, Embedding)],
        [one for one in embeddings[:1] if isinstance(one, Embedding)],
        frame=process.model.frame,
    )
    assert scores.core == pytest.approx(1.0, abs=1e-5)


def test_who_stops_listening_gets_the_right_answers_next_time(process: ScoringProcess) -> None:
    begun = process.embed(_source(number) for number in range(60))
    next(begun)
    begun.close()
    ((digest, alone),) = process.embed([_source(7)])
    assert digest == _source(7).sha256
    assert isinstance(alone, Embedding)
    again = dict(process.embed([_source(8), _source(7)]))[digest]
    assert isinstance(again, Embedding)
    (scores, _), _ = compare([alone, alone], [again], frame=process.model.frame)
    assert scores.core == pytest.approx(1.0, abs=1e-5), "nobody else's answer"


def test_what_is_kept_is_neither_read_nor_embedded_again_even_when_the_scorer_dies(
    settings: Settings, database: Database
) -> None:
    kept = KeptEmbeddings(database)
    sources = [_source(number) for number in range(20)]
    with scoring_process(settings, kept=kept) as scorer:
        first = dict(scorer.embed(sources))
        assert dict(scorer.embed(_unread(one) for one in sources)) == first
        (model,) = kept.models(settings.clip_model)
        assert model.fingerprint == scorer.model.fingerprint
        assert kept.get_many([one.sha256 for one in sources], model=model.fingerprint) == first
        scorer._process.kill()
        assert dict(scorer.embed(sources)) == first
        with pytest.raises(ScorerError, match="ended with status -9"):
            list(scorer.embed([_source(99)]))


def test_a_model_that_is_none_is_told_in_one_sentence(settings: Settings) -> None:
    with (
        pytest.raises(ModelUnloadable, match="there is no folder"),
        scoring_process(settings, model="/no/such/folder"),
    ):
        pass


def test_messages_come_through_whole_or_not_at_all() -> None:
    stream = io.BytesIO()
    wire.write(stream, {"pictures": 2}, [b"\n{}\n", b""])
    wire.write(stream, {"outcomes": []})
    written = stream.getvalue()
    stream.seek(0)
    assert wire.read(stream) == wire.Message(header={"pictures": 2}, parts=[b"\n{}\n", b""])
    assert wire.read(stream) == wire.Message(header={"outcomes": []}, parts=[])
    assert wire.read(stream) is None
    for length in (3, len(written.partition(b"\n")[0]) + 3):
        assert wire.read(io.BytesIO(written[:length])) is None


def test_a_failure_crosses_the_wire_with_its_class() -> None:
    for failure in (UnfitPicture("a"), ModelUnloadable("b"), ScorerError("c"), ScorerBroken("d")):
        arrived = wire.failure_from_header(wire.failure_header(failure))
        assert (type(arrived), str(arrived)) == (type(failure), str(failure))
