"""Limits per user and month, and per lane and day: as hard as a batch's own, wherever the attempts come from."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from db.books import spending
from db.books.spending import Subject, lane_day, user_month
from db.moves import submission
from domain.access import LOCAL_TEAM
from domain.errors import NotSent
from tests.support.books import HOLD, PRICE, USER, Books


def _limit(books: Books, of: Subject, holds: int) -> None:
    with books.database.transaction() as connection:
        spending.put(connection, of, holds * HOLD)


def _used(books: Books, of: Subject) -> int:
    with books.database.transaction() as connection:
        return int(spending.used_under(connection, of) / HOLD)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (user_month(LOCAL_TEAM, USER), "budget of the user's month"),
        (lane_day("sandbox"), "budget of the lane's day"),
    ],
)
def test_a_limit_holds_over_all_batches_and_says_what_stopped_them(books: Books, of: Subject, said: str) -> None:
    books.lane(concurrency=100)
    first, second = books.batch(5), books.batch(5)
    _limit(books, of, 7)
    admitted = books.admit()
    assert len(admitted) == 7
    assert _used(books, of) == 7
    assert books.admit() == []
    assert books.row(first).stopped_reason is None, "something of it is live"
    third = books.batch(1)
    assert books.admit() == []
    assert books.row(third).stopped_reason == said
    _limit(books, of, 100)
    assert len(books.admit()) == 4
    assert books.row(third).stopped_reason is None
    assert second != first


def test_a_lane_that_could_pay_and_is_merely_full_stops_no_batch(books: Books) -> None:
    books.lane(concurrency=1)
    books.batch(1)
    books.admit()
    books.lane("sandbox-2", concurrency=1)
    with books.database.transaction() as connection:
        spending.put(connection, lane_day("sandbox-2"), PRICE)
    waiting = books.batch(1)
    assert books.admit() == []
    assert books.row(waiting).stopped_reason is None
    _limit(books, lane_day("sandbox"), 1)
    assert books.admit() == []
    assert books.row(waiting).stopped_reason == "budget of the lane's day"


def test_money_given_back_is_free_again(books: Books) -> None:
    books.lane(concurrency=100)
    books.batch(3)
    _limit(books, user_month(LOCAL_TEAM, USER), 1)
    (one,) = books.admit()
    token = books.claim(one.attempt_id)
    with books.database.transaction() as connection:
        submission.give_back(connection, one.attempt_id, token=token, failure=NotSent("nobody there"))
    assert _used(books, user_month(LOCAL_TEAM, USER)) == 0
    assert len(books.admit()) == 1


def test_another_user_and_another_lane_are_not_concerned(books: Books) -> None:
    books.lane(concurrency=100)
    books.batch(3)
    _limit(books, user_month(LOCAL_TEAM, "somebody else"), 1)
    _limit(books, lane_day("ttapi"), 1)
    assert len(books.admit()) == 3


def test_a_user_of_another_team_with_the_same_name_has_a_limit_of_its_own(books: Books) -> None:
    books.lane(concurrency=100)
    theirs = books.batch(5, name="theirs")
    books.sql("UPDATE batches SET team = 'others' WHERE id = :id", id=theirs)
    books.batch(5, name="ours")
    _limit(books, user_month(LOCAL_TEAM, USER), 2)
    _limit(books, user_month("others", USER), 3)
    assert len(books.admit()) == 5
    assert _used(books, user_month(LOCAL_TEAM, USER)) == 2
    assert _used(books, user_month("others", USER)) == 3


def test_64_admissions_at_once_give_out_exactly_what_a_user_may_spend(books: Books) -> None:
    books.lane(concurrency=100)
    for _ in range(8):
        books.batch(8)
    _limit(books, user_month(LOCAL_TEAM, USER), 10)
    with ThreadPoolExecutor(max_workers=16) as pool:
        admitted = sum(len(one) for one in pool.map(lambda _: books.admit(), range(64)))
    assert admitted == 10
    assert _used(books, user_month(LOCAL_TEAM, USER)) == 10


def test_a_lifted_limit_is_gone(books: Books) -> None:
    _limit(books, user_month(LOCAL_TEAM, USER), 1)
    with books.database.transaction() as connection:
        assert [cap.subject for cap in spending.list_limits(connection)] == [USER]
        assert spending.remove(connection, user_month(LOCAL_TEAM, USER))
        assert not spending.remove(connection, user_month(LOCAL_TEAM, USER))
