"""A job turns up after its doubt was settled as lost: adopted, charged, and never decides against what went on."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from db.books import spending
from db.books.audit import differences
from db.books.spending import Subject, lane_day, user_month
from db.moves import doubts, late_discovery, submission
from db.moves.doubts import NeverArrived
from db.records import history
from db.session import Database
from domain.access import LOCAL_TEAM
from domain.errors import LostRace, MaybeSent, PictureLost
from domain.ids import AttemptId
from domain.states import AttemptKind
from tests.support.books import A_MINUTE, HOLD, NOW, PRICE, USER, Books, asset, books_of


@pytest.fixture
def books(database: Database) -> Iterator[Books]:
    with books_of(database) as opened:
        yield opened
        with database.transaction() as connection:
            assert differences(connection) == []


def _doubted(books: Books, attempt_id: AttemptId) -> None:
    token = books.claim(attempt_id)
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))


def _settled_as_lost(books: Books, attempt_id: AttemptId) -> None:
    _doubted(books, attempt_id)
    with books.database.transaction() as connection:
        doubts.not_accepted(connection, attempt_id, failure=NeverArrived("not there"), actor=history.PERSON)


def _adopt(books: Books, attempt_id: AttemptId, *, job_id: str = "late-job") -> AttemptKind:
    with books.database.transaction() as connection:
        return late_discovery.adopt(
            connection, attempt_id, job_id=job_id, first_look=NOW, deadline=A_MINUTE, actor=history.THE_LIST
        )


def _story(books: Books, attempt_id: AttemptId) -> list[tuple[str, str, str]]:
    with books.database.transaction() as connection:
        found = history.of(connection, books.attempt(attempt_id).generation_id)
    return [(row.actor, row.from_state, row.to_state) for row in found]


def test_a_generation_that_still_waits_goes_on_with_the_job_that_turned_up(books: Books) -> None:
    attempt_id = books.admitted()
    _settled_as_lost(books, attempt_id)
    assert _adopt(books, attempt_id) is AttemptKind.IMAGE
    assert books.generation_of(attempt_id).state == "generating"
    assert books.row(books.attempt(attempt_id).batch_id).held_usd == HOLD
    assert _adopt(books, attempt_id) is AttemptKind.IMAGE, "the same write twice is harmless"
    books.make(attempt_id, books.polled(attempt_id))
    books.collect(attempt_id, books.claim_collection(attempt_id))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.cost, generation.tries) == ("completed", PRICE, 1)
    assert _story(books, attempt_id) == [
        ("a person", "in_doubt", "queued"),
        ("the provider's list", "queued", "generating"),
    ]


def test_a_job_beside_another_attempt_is_charged_and_its_pictures_are_kept(books: Books) -> None:
    attempt_id = books.admitted()
    _settled_as_lost(books, attempt_id)
    (other,) = books.admit()
    books.accept(other.attempt_id, books.claim(other.attempt_id))
    assert _adopt(books, attempt_id) is AttemptKind.LATE
    assert books.generation_of(attempt_id).state == "generating"
    books.sql("UPDATE attempts SET due_at = now() + interval '1 h' WHERE id = :id", id=other.attempt_id)
    books.make(attempt_id, books.polled(attempt_id))
    assert books.generation_of(attempt_id).state == "generating", "another attempt decides about it"
    books.collect(attempt_id, books.claim_collection(attempt_id), asset(0), asset(1))
    books.sql("UPDATE attempts SET due_at = now() WHERE id = :id", id=other.attempt_id)
    books.make(other.attempt_id, books.polled(other.attempt_id))
    books.collect(other.attempt_id, books.claim_collection(other.attempt_id))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", 2 * PRICE), "the bill has two jobs, and so have we"
    with books.database.transaction() as connection:
        (told,) = late_discovery.list_found_late(connection, user_id=generation.user_id)
    assert (told.work.attempt_id, told.charged_usd) == (attempt_id, PRICE)


def test_a_completed_generation_keeps_its_picture_when_another_turns_up(books: Books) -> None:
    attempt_id = books.admitted(character=books.character())
    _settled_as_lost(books, attempt_id)
    (other,) = books.admit()
    books.accept(other.attempt_id, books.claim(other.attempt_id))
    books.make(other.attempt_id, books.polled(other.attempt_id))
    books.sql("UPDATE generations SET character_id = NULL")
    books.collect(other.attempt_id, books.claim_collection(other.attempt_id))
    books.sql("UPDATE generations SET character_id = (SELECT id FROM characters LIMIT 1)")
    assert _adopt(books, attempt_id) is AttemptKind.LATE
    books.make(attempt_id, books.polled(attempt_id))
    books.collect(attempt_id, books.claim_collection(attempt_id))
    assert books.generation_of(attempt_id).state == "completed"
    attempt = books.attempt(attempt_id)
    assert (attempt.state, attempt.outcome, attempt.charged_usd) == ("finished", "completed", PRICE)


def test_money_that_turns_up_above_the_limit_is_booked_in_full_and_pauses_the_batch(books: Books) -> None:
    attempt_id = books.admitted(limit=HOLD + PRICE)
    _settled_as_lost(books, attempt_id)
    (other,) = books.admit()
    books.accept(other.attempt_id, books.claim(other.attempt_id))
    assert _adopt(books, attempt_id) is AttemptKind.LATE
    row = books.row(books.attempt(attempt_id).batch_id)
    assert row.held_usd == 2 * HOLD
    assert "turned up late" in row.paused_reason


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (user_month(LOCAL_TEAM, USER), "the limit of the user's month is passed"),
        (lane_day("sandbox"), "the limit of the lane's day is passed"),
    ],
)
def test_money_that_turns_up_above_another_limit_pauses_the_batch_too(books: Books, of: Subject, said: str) -> None:
    attempt_id = books.admitted()
    _settled_as_lost(books, attempt_id)
    with books.database.transaction() as connection:
        spending.put(connection, of, HOLD + PRICE)
    (other,) = books.admit()
    books.accept(other.attempt_id, books.claim(other.attempt_id))
    assert _adopt(books, attempt_id) is AttemptKind.LATE
    assert said in books.row(books.attempt(attempt_id).batch_id).paused_reason


def test_a_reply_that_was_the_result_is_charged_at_once(books: Books) -> None:
    attempt_id = books.admitted()
    _settled_as_lost(books, attempt_id)
    for _ in range(2):
        with books.database.transaction() as connection:
            kind = late_discovery.delivered(
                connection, attempt_id, result={"reply_keys": ["a"]}, charged_usd=PRICE, said_by="said by the provider"
            )
        assert kind is AttemptKind.IMAGE
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("collecting", PRICE)


def test_a_call_that_a_person_finds_on_the_bill_after_all_is_charged_beside_its_generation(books: Books) -> None:
    attempt_id = books.admitted()
    _settled_as_lost(books, attempt_id)
    with books.database.transaction() as connection:
        late_discovery.paid_for_nothing(
            connection,
            attempt_id,
            call="req-1",
            amount=Decimal("0.17"),
            said_by="said by a person",
            failure=PictureLost("gone"),
        )
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("queued", Decimal("0.17"))
    assert books.attempt(attempt_id).job_id == "req-1", "nobody else is charged for the same call"


def test_only_what_was_settled_as_lost_can_turn_up(books: Books) -> None:
    attempt_id = books.generating()
    with pytest.raises(LostRace):
        _adopt(books, attempt_id)
    other = books.admitted()
    _settled_as_lost(books, other)
    with pytest.raises(LostRace, match="belongs to another"):
        _adopt(books, other, job_id=books.attempt(attempt_id).job_id)
    assert books.attempt(other).hold_state == "released", "nothing of it was booked"


def test_the_list_is_looked_through_less_and_less_often_until_the_window_closes(books: Books) -> None:
    attempt_id = books.admitted()
    _settled_as_lost(books, attempt_id)
    apart, window = timedelta(seconds=20), timedelta(hours=24)

    def looked() -> float | None:
        with books.database.transaction() as connection:
            works = late_discovery.watched(connection, "sandbox")
            late_discovery.looked(connection, works, least=apart, window=window)
        row = books.attempt(attempt_id)
        return None if row.late_look_at is None else (row.late_look_at - row.finished_at).total_seconds()

    assert looked() == pytest.approx(20, abs=10)
    books.sql("UPDATE attempts SET finished_at = now() - interval '8 h', late_look_at = now()")
    assert looked() == pytest.approx(10 * 3600, abs=60)
    books.sql("UPDATE attempts SET finished_at = now() - interval '25 h', late_look_at = now()")
    assert looked() is None
