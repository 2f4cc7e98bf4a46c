"""An audit finds every difference, and none where there is none."""

from decimal import Decimal

import pytest

from db import audit, batches
from db.session import Database
from tests.integration.books import Books, books_of


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
