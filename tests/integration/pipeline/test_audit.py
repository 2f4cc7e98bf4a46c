"""An audit finds every difference, and none where there is none."""

from decimal import Decimal

import pytest

from db.books import audit, spending
from db.books.spending import Subject, lane_day, user_month
from db.moves import doubts, late_discovery, submission
from db.moves.doubts import NeverArrived
from db.records import batches, history
from db.session import Database
from domain.access import LOCAL_TEAM
from domain.errors import MaybeSent
from domain.ids import AttemptId
from tests.support.books import A_MINUTE, HOLD, NOW, PRICE, USER, Books, books_of


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database=database)


def _differences(books: Books) -> list[str]:
    with books.database.transaction() as connection:
        return audit.differences(connection)


def test_books_that_add_up_have_no_differences(database: Database) -> None:
    with books_of(database) as books:
        books.lane()
        books.admitted()
        books.generating()
        books.collecting()
        assert _differences(books) == []


def test_a_limit_that_is_set_below_what_is_used_is_no_difference(books: Books) -> None:
    books.lane()
    books.generating()
    with books.database.transaction() as connection:
        batches.set_limit(connection, batches.latest_batches(connection)[0].id, Decimal("0.01"))
    assert _differences(books) == []


def test_a_cap_that_is_set_below_what_is_used_is_no_difference(books: Books) -> None:
    books.lane()
    books.generating()
    with books.database.transaction() as connection:
        spending.put(connection, user_month(LOCAL_TEAM, USER), HOLD / 2)
        spending.put(connection, lane_day("sandbox"), HOLD / 2)
    assert _differences(books) == []


def _turned_up_late(books: Books, attempt_id: AttemptId) -> None:
    """After its doubt was settled as lost, and with the money set aside for others since."""
    with books.database.transaction() as connection:
        late_discovery.adopt(
            connection, attempt_id, job_id="late", first_look=NOW, deadline=A_MINUTE, actor=history.THE_LIST
        )


def _settled_as_lost(books: Books, attempt_id: AttemptId) -> None:
    token = books.claim(attempt_id)
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    with books.database.transaction() as connection:
        doubts.not_accepted(connection, attempt_id, failure=NeverArrived("not there"))


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (user_month(LOCAL_TEAM, USER), f"of user '{USER}' of team 'local' for the month"),
        (lane_day("sandbox"), "of lane 'sandbox' for the day"),
    ],
)
def test_a_cap_that_is_passed_is_named_unless_a_pause_says_so(books: Books, of: Subject, said: str) -> None:
    attempt_id = books.admitted()
    with books.database.transaction() as connection:
        spending.put(connection, of, HOLD + PRICE)
    _settled_as_lost(books, attempt_id)
    (other,) = books.admit()
    books.accept(other.attempt_id, books.claim(other.attempt_id))
    assert _differences(books) == []
    _turned_up_late(books, attempt_id)
    assert _differences(books) == [], "the pause says that the limit is passed"
    books.sql("UPDATE batches SET paused_reason = 'lunch'")
    assert any(said in one for one in _differences(books))


def test_a_batch_above_its_limit_is_named_unless_its_pause_says_so(books: Books) -> None:
    attempt_id = books.admitted(limit=HOLD)
    _settled_as_lost(books, attempt_id)
    (other,) = books.admit()
    books.accept(other.attempt_id, books.claim(other.attempt_id))
    _turned_up_late(books, attempt_id)
    assert _differences(books) == [], "the pause says that the limit is passed"
    books.sql("UPDATE batches SET paused_reason = 'lunch'")
    assert any("is not paused for it" in one for one in _differences(books))


def test_a_charge_above_its_hold_that_passes_the_limit_is_told_by_the_pause(books: Books) -> None:
    books.lane()
    books.collecting(charged=HOLD + PRICE, limit=HOLD)
    assert _differences(books) == []
    books.sql("UPDATE batches SET paused_reason = 'lunch'")
    assert any("is not paused for it" in one for one in _differences(books))


def _rewrite_the_ledger(books: Books, statement: str, **values: object) -> None:
    books.sql("ALTER TABLE ledger_entries DISABLE TRIGGER ALL")
    books.sql(statement, **values)
    books.sql("ALTER TABLE ledger_entries ENABLE TRIGGER ALL")


def test_lines_that_are_exchanged_between_two_attempts_of_a_batch_are_named(books: Books) -> None:
    books.lane()
    books.batch(2)
    one, other = books.admit()
    _rewrite_the_ledger(books, "UPDATE ledger_entries SET attempt_id = :other", other=other.attempt_id)
    said = _differences(books)
    assert len([line for line in said if "in the ledger" in line]) == 2
    assert any(str(one.attempt_id) in line for line in said)


@pytest.mark.parametrize("tampering", ["user_id = 'somebody else'", "lane = 'elsewhere'"])
def test_a_line_under_another_user_or_lane_than_its_attempt_s_is_named(books: Books, tampering: str) -> None:
    books.admitted()
    _rewrite_the_ledger(books, f"UPDATE ledger_entries SET {tampering}")
    assert any("and its attempt under" in one for one in _differences(books))


def test_a_generation_that_was_paid_twice_unasked_is_named(books: Books) -> None:
    attempt_id = books.collecting()
    books.collect(attempt_id, books.claim_collection(attempt_id))
    books.sql("UPDATE generations SET state = 'queued', completed_at = NULL")
    (second,) = books.admit()
    books.accept(second.attempt_id, books.claim(second.attempt_id))
    books.make(second.attempt_id, books.polled(second.attempt_id))
    (said,) = _differences(books)
    assert str(second.attempt_id) in said
    assert "nobody asked for another" in said


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        ("UPDATE batches SET charged_usd = charged_usd + 1", "charged, held, in doubt"),
        ("UPDATE generations SET cost = cost + 1 WHERE state = 'collecting'", "by its attempts"),
        (
            "UPDATE generations SET state = 'generating' WHERE state = 'collecting'",
            "while its live attempt is collecting",
        ),
        ("UPDATE batches SET limit_usd = 0.01", "set aside more, and is not paused"),
        (
            "UPDATE attempts SET state = 'finished', outcome = 'failed', finished_at = now()",
            "has no live attempt",
        ),
    ],
)
def test_every_tampering_is_named(books: Books, tampering: str, said: str) -> None:
    books.lane()
    books.collecting()
    books.sql(tampering)
    assert any(said in one for one in _differences(books))
