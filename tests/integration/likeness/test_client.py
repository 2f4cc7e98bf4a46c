"""`likeness.connect()`: a script gets by the same steps what the command line gets, from the same books."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import likeness
from db.moves import submission
from db.schema import batches
from db.schema_api import acts
from db.schema_learning import generation_feedback
from domain.errors import MaybeSent
from likeness import Connection
from tests.support.books import Books
from tests.support.command_line import stand
from tests.support.finished import collect, judge, picture


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch, home: Path, database_url: str, redis_url: str) -> Iterator[Connection]:
    stand(
        monkeypatch,
        home.parent,
        {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SANDBOX_BASE_URL": "http://127.0.0.1:9"},
    )
    with likeness.connect() as opened:
        yield opened


def test_prompts_become_generations_within_a_budget(connection: Connection) -> None:
    batch = connection.enqueue(["a pig", {"prompt": "a cow", "theme": "farm"}], provider="sandbox", max_cost=0.5)
    now = batch.progress()
    assert (now.total, now.counts["admitted"], now.counts["queued"]) == (2, 1, 1)
    assert (str(now.limit_usd), str(now.held_usd)) == ("0.500000", "0.400000")
    assert not now.over
    assert [(one.row, one.prompt, one.theme) for one in batch.results()] == [(0, "a pig", None), (1, "a cow", "farm")]


def test_what_is_left_out_of_a_single_picture_is_logged_as_for_a_batch(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"size": "banana"}
    connection.enqueue(["a pig"], provider="sandbox", settings=settings)
    connection.generate("a pig", provider="sandbox", settings=settings, wait=False)
    of_batch, of_one = [one.getMessage() for one in caplog.records if "'size'" in one.getMessage()]
    assert of_batch == of_one


def test_a_name_given_again_adds_only_what_is_new(connection: Connection) -> None:
    first = connection.enqueue(["a pig"], provider="sandbox", name="farm")
    again = connection.enqueue(["a pig", "a cow"], provider="sandbox", name="farm")
    assert (again.id, again.progress().total) == (first.id, 2)
    assert connection.batch("farm").id == first.id
    assert connection.enqueue(["a pig"], provider="sandbox").id != first.id, "without a name it is a new batch"


def test_results_carry_pictures_scores_and_cost(connection: Connection, books: Books, home: Path) -> None:
    books.lane()
    character = books.character()
    books.batch(2, name="farm", character=character)
    good, bad = books.admit()
    collect(books, good.attempt_id, picture(home, "pink"), picture(home, "teal", 1))
    judge(books, good.attempt_id, character, 0.7, 0.9)
    collect(books, bad.attempt_id, picture(home, "gray"))
    judge(books, bad.attempt_id, character, 0.1)
    books.sql("UPDATE character_references SET r2_key = (SELECT r2_key FROM generation_assets LIMIT 1)")
    ended = connection.batch("farm").wait(timeout=60)
    assert (ended.over, ended.accepted, str(ended.charged_usd)) == (True, 1, "0.040000")
    accepted, rejected = connection.batch("farm").results()
    assert (accepted.accepted, accepted.state, accepted.core, accepted.style) == (True, "completed", 0.9, 0.9)
    assert accepted.picture is not None
    assert accepted.picture.is_file()
    assert (rejected.accepted, rejected.state, rejected.core) == (False, "rejected", 0.1)


def test_what_a_person_says_of_a_picture_is_kept(connection: Connection, books: Books, home: Path) -> None:
    books.lane()
    character = books.character()
    books.batch(1, name="farm", character=character)
    (one,) = books.admit()
    collect(books, one.attempt_id, picture(home, "pink"), picture(home, "teal", 1))
    judge(books, one.attempt_id, character, 0.7, 0.9)
    batch = connection.batch("farm")
    batch.feedback(0, "accepted")
    batch.feedback(0, "rating", picture="0", rating=4)
    said = {row.feedback_type: row for row in books.rows(generation_feedback)}
    assert said["accepted"].asset_id != said["rating"].asset_id, "the best one, and the one that was named"
    assert (said["rating"].rating, said["rating"].user_id) == (4, connection.user)
    done = [(row.act, row.actor, row.key_name, row.detail["feedbackType"]) for row in books.rows(acts)]
    assert done == [("feedback", connection.user, None, kind) for kind in ("accepted", "rating")]


@pytest.mark.parametrize(
    ("row", "kind", "more", "says"),
    [
        (7, "heart", {}, "no row 7"),
        (0, "lovely", {}, "'lovely' is no kind of feedback; there are accepted"),
        (0, "rating", {}, "1 to 5"),
        (0, "rating", {"rating": 6}, "1 to 5"),
        (0, "comment", {}, "words"),
        (0, "accepted", {}, "no stored picture"),
        (0, "heart", {"picture": "3"}, "no stored picture '3'"),
    ],
)
def test_feedback_that_says_nothing_is_refused(
    connection: Connection, books: Books, row: int, kind: str, more: dict[str, object], says: str
) -> None:
    batch = connection.enqueue(["a pig"], provider="sandbox")
    with pytest.raises(likeness.RequestError, match=says):
        batch.feedback(row, kind, **more)  # type: ignore[arg-type] -- several kinds in one table
    assert books.rows(generation_feedback) == []


def test_waiting_has_an_end(connection: Connection) -> None:
    batch = connection.enqueue(["a pig"], provider="sandbox", name="farm")
    with pytest.raises(TimeoutError, match="'farm' has 1 unfinished"):
        batch.wait(timeout=0.2)


def test_a_stopped_batch_is_not_waited_for(connection: Connection, books: Books) -> None:
    books.lane()
    books.batch(2, name="farm", limit="0.40")
    (one,) = books.admit()
    collect(books, one.attempt_id)
    books.admit(places={"sandbox": 0})
    books.sql("UPDATE batches SET stopped_reason = 'budget'")
    ended = connection.batch("farm").wait(timeout=60)
    assert (ended.over, ended.stopped, ended.counts["queued"]) == (True, "budget", 1)


@pytest.mark.parametrize(("provider", "patient"), [("openai", False), ("ttapi", True)])
def test_a_doubt_that_no_listing_can_settle_is_not_waited_for_long(
    connection: Connection, books: Books, provider: str, *, patient: bool
) -> None:
    books.lane(provider, provider=provider)
    batch_id = books.batch(provider=provider)
    (one,) = books.admit(provider)
    token = books.claim(one.attempt_id)
    with books.database.transaction() as db:
        submission.doubt(db, one.attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    assert (connection.patience_s(batch_id) > 60) is patient


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"max_cost": -1}, "max_cost"),
        ({"max_cost": "0.10"}, "below the 0.40 USD"),
        ({"provider": "midjourny"}, "no provider"),
        ({"model": "dall-e-3"}, "was shut down"),
        ({"character": "lulu"}, "no character 'lulu'"),
        ({"settings": {"cref_weight": 1000}}, "cref_weight"),
    ],
)
def test_what_cannot_be_enqueued_is_refused_and_leaves_no_row(
    connection: Connection, books: Books, wish: dict[str, object], says: str
) -> None:
    wishes = {"provider": "sandbox", **wish}
    with pytest.raises(likeness.RequestError, match=says):
        connection.enqueue(["a pig"], **wishes)  # type: ignore[arg-type] -- several kinds in one table
    assert books.rows(batches) == []


def test_a_missing_key_is_a_missing_service(connection: Connection) -> None:
    with pytest.raises(likeness.ServiceMissing, match="TTAPI_API_KEY is not set"):
        connection.enqueue(["a pig"])


def test_an_unknown_batch_is_said_so(connection: Connection) -> None:
    with pytest.raises(likeness.RequestError, match="no batch 'nope'"):
        connection.batch("nope")
