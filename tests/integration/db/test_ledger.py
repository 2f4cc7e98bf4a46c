"""The books: every change of a hold is a line, and batch, ledger and attempts say the same."""

from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from db.books import ledger
from db.moves import submission
from db.moves.rows import take
from db.reads import generations
from db.schema import ledger_entries
from db.session import Database
from domain.errors import ContentRefused, MaybeSent
from domain.ids import AttemptId
from domain.states import LIVE, HoldState
from tests.support.books import HOLD, PRICE, Books

LESS = Decimal("0.123456")


_LIES = [
    (
        "attempts_one_live_idx",
        """
        INSERT INTO attempts (id, generation_id, batch_id, number, lane, provider, model, hold_usd, token)
        SELECT gen_random_uuid(), generation_id, batch_id, 9, lane, provider, model, 1, 't' FROM attempts
        """,
    ),
    (
        "attempts_no_hold_when_finished",
        "UPDATE attempts SET state = 'finished', outcome = 'failed', finished_at = now()",
    ),
    ("attempts_finish_time", "UPDATE attempts SET state = 'finished', outcome = 'failed', hold_state = 'released'"),
    ("attempts_outcome_if_finished", "UPDATE attempts SET outcome = 'failed'"),
    ("attempts_charge", "UPDATE attempts SET hold_state = 'charged'"),
    ("attempts_charge", "UPDATE attempts SET charged_usd = 1"),
    ("attempts_doubt", "UPDATE attempts SET state = 'in_doubt'"),
    ("attempts_doubt", "UPDATE attempts SET hold_state = 'in_doubt'"),
    ("attempts_lease", "UPDATE attempts SET lease_until = now(), lease_token = NULL"),
    ("attempts_job", "UPDATE attempts SET state = 'generating', due_at = now()"),
    ("attempts_due", "UPDATE attempts SET state = 'generating', job_id = 'j'"),
    ("attempts_money", "UPDATE attempts SET hold_usd = 0"),
    ("attempts_money", "UPDATE attempts SET charged_usd = -1, hold_state = 'charged'"),
    ("attempts_state", "UPDATE attempts SET state = 'lost'"),
    ("generations_finish_time", "UPDATE generations SET state = 'completed'"),
    ("generations_finish_time", "UPDATE generations SET completed_at = now()"),
    ("generations_reason", "UPDATE generations SET state = 'failed', completed_at = now()"),
    ("generations_state", "UPDATE generations SET state = 'finished'"),
    ("generations_money", "UPDATE generations SET cost = -1"),
    ("batches_balances", "UPDATE batches SET held_usd = -1"),
    ("batches_limit", "UPDATE batches SET limit_usd = 0"),
    ("batches_paused", "UPDATE batches SET paused_at = now()"),
    ("batches_priority", "UPDATE batches SET priority = 0"),
    ("lanes_closed", "UPDATE lanes SET closed_until = now()"),
    ("lanes_concurrency", "UPDATE lanes SET concurrency = 0"),
]


def _lines(books: Books) -> list[tuple[object, ...]]:
    rows = sorted(books.rows(ledger_entries), key=lambda row: row.id)
    return [(row.kind, row.held_usd, row.in_doubt_usd, row.charged_usd) for row in rows]


def test_a_hold_becomes_a_charge(books: Books) -> None:
    books.collecting(charged=LESS)
    assert _lines(books) == [("hold", HOLD, 0, 0), ("charge", -HOLD, 0, LESS)]


def test_a_hold_is_released(books: Books) -> None:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.refuse(connection, attempt_id, token=token, failure=ContentRefused("no"))
    assert _lines(books) == [("hold", HOLD, 0, 0), ("release", -HOLD, 0, 0)]
    assert books.rows(ledger_entries)[1].reason == "content_refused"


def _doubted(books: Books) -> AttemptId:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("lost"))
    return attempt_id


def test_a_doubt_moves_the_money_and_does_not_double_it(books: Books) -> None:
    attempt_id = _doubted(books)
    with books.database.transaction() as connection:
        work = take(connection, attempt_id, states=LIVE, token=None)
        ledger.doubt(connection, work, reason="again")  # a second time changes nothing
    assert _lines(books) == [("hold", HOLD, 0, 0), ("doubt", -HOLD, HOLD, 0)]


def test_nothing_is_undoubted_that_is_not_in_doubt(books: Books) -> None:
    attempt_id, _ = books.submitting()
    with books.database.transaction() as connection:
        work = take(connection, attempt_id, states=LIVE, token=None)
        ledger.undoubt(connection, work, reason="found")
    assert _lines(books) == [("hold", HOLD, 0, 0)]


def test_a_charge_that_is_booked_is_never_released(books: Books) -> None:
    attempt_id = books.collecting()
    with books.database.transaction() as connection:
        work = take(connection, attempt_id, states=LIVE, token=None)
        assert ledger.release(connection, work, reason="x") is HoldState.CHARGED
    assert len(_lines(books)) == 2


def test_every_line_names_who_what_and_why(books: Books) -> None:
    attempt_id = books.collecting()
    row = books.attempt(attempt_id)
    for line in books.rows(ledger_entries):
        assert (line.user_id, line.batch_id, line.attempt_id, line.lane) == (
            "user-1",
            row.batch_id,
            attempt_id,
            "sandbox",
        )
        assert line.reason


def test_the_charge_over_time_adds_up(books: Books) -> None:
    attempt_id = books.collecting(charged=PRICE)
    with books.database.transaction() as connection:
        moments = generations.spend_over_time(connection, books.attempt(attempt_id).batch_id)
    assert [amount for _, amount in moments] == [PRICE]


@pytest.mark.parametrize("column", ["charged_usd", "held_usd", "in_doubt_usd"])
def test_a_balance_that_was_tampered_with_is_named(database: Database, column: str) -> None:
    books = Books(database)
    books.collecting(name="spring")
    books.sql(f"UPDATE batches SET {column} = {column} + 1")
    with database.transaction() as connection:
        differences = generations.books_disagree(connection)
    assert len(differences) == 2
    assert all("'spring'" in one for one in differences)


def test_no_row_may_lie_whoever_writes_it(books: Books) -> None:
    books.submitting()
    for constraint, statement in _LIES:
        with pytest.raises(IntegrityError, match=constraint), books.database.transaction() as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize("statement", ["UPDATE ledger_entries SET charged_usd = 0", "DELETE FROM ledger_entries"])
def test_the_ledger_is_only_ever_added_to(books: Books, statement: str) -> None:
    books.submitting()
    with pytest.raises(DatabaseError, match="append-only"), books.database.transaction() as connection:
        connection.execute(text(statement))
