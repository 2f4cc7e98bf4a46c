"""Limits per user and month, and per lane and day: as hard as a batch's own, wherever the attempts come from."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from db.books import spending
from db.books.spending import Scope
from db.moves import submission
from domain.errors import NotSent
from tests.support.books import HOLD, PRICE, USER, Books


def _limit(books: Books, scope: Scope, subject: str, holds: int) -> None:
    with books.database.transaction() as connection:
        spending.put(connection, scope, subject, holds * HOLD)


def _used(books: Books, scope: Scope, subject: str) -> int:
    with books.database.transaction() as connection:
        return int(spending.used_under(connection, scope, subject) / HOLD)


@pytest.mark.parametrize(
    ("scope", "subject", "said"),
    [
        (Scope.USER_MONTH, USER, "budget of the user's month"),
        (Scope.LANE_DAY, "sandbox", "budget of the lane's day"),
    ],
)
def test_a_limit_holds_over_all_batches_and_says_what_stopped_them(
    books: Books, scope: Scope, subject: str, said: str
) -> None:
    books.lane(concurrency=100)
    first, second = books.batch(5), books.batch(5)
    _limit(books, scope, subject, 7)
    admitted = books.admit()
    assert len(admitted) == 7
    assert _used(books, scope, subject) == 7
    assert books.admit() == []
    assert books.row(first).stopped_reason is None, "something of it is live"
    third = books.batch(1)
    assert books.admit() == []
    assert books.row(third).stopped_reason == said
    _limit(books, scope, subject, 100)
    assert len(books.admit()) == 4
    assert books.row(third).stopped_reason is None
    assert second != first


def test_a_lane_that_could_pay_and_is_merely_full_stops_no_batch(books: Books) -> None:
    books.lane(concurrency=1)
    books.batch(1)
    books.admit()
    books.lane("sandbox-2", concurrency=1)
    with books.database.transaction() as connection:
        spending.put(connection, Scope.LANE_DAY, "sandbox-2", PRICE)
    waiting = books.batch(1)
    assert books.admit() == []
    assert books.row(waiting).stopped_reason is None
    _limit(books, Scope.LANE_DAY, "sandbox", 1)
    assert books.admit() == []
    assert books.row(waiting).stopped_reason == "budget of the lane's day"


def test_money_given_back_is_free_again(books: Books) -> None:
    books.lane(concurrency=100)
    books.batch(3)
    _limit(books, Scope.USER_MONTH, USER, 1)
    (one,) = books.admit()
    token = books.claim(one.attempt_id)
    with books.database.transaction() as connection:
        submission.give_back(connection, one.attempt_id, token=token, failure=NotSent("nobody there"))
    assert _used(books, Scope.USER_MONTH, USER) == 0
    assert len(books.admit()) == 1


def test_another_user_and_another_lane_are_not_concerned(books: Books) -> None:
    books.lane(concurrency=100)
    books.batch(3)
    _limit(books, Scope.USER_MONTH, "somebody else", 1)
    _limit(books, Scope.LANE_DAY, "ttapi", 1)
    assert len(books.admit()) == 3


def test_64_admissions_at_once_give_out_exactly_what_a_user_may_spend(books: Books) -> None:
    books.lane(concurrency=100)
    for _ in range(8):
        books.batch(8)
    _limit(books, Scope.USER_MONTH, USER, 10)
    with ThreadPoolExecutor(max_workers=16) as pool:
        admitted = sum(len(one) for one in pool.map(lambda _: books.admit(), range(64)))
    assert admitted == 10
    assert _used(books, Scope.USER_MONTH, USER) == 10


def test_a_lifted_limit_is_gone(books: Books) -> None:
    _limit(books, Scope.USER_MONTH, USER, 1)
    with books.database.transaction() as connection:
        assert [cap.subject for cap in spending.list_limits(connection)] == [USER]
        assert spending.remove(connection, Scope.USER_MONTH, USER)
        assert not spending.remove(connection, Scope.USER_MONTH, USER)
