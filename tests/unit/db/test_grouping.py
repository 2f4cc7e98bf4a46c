"""Groups: who comes while one runs goes with the next; what fails one member harms no other."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import Mock

import pytest

from db.grouping import Grouped
from db.session import Database, DatabaseAway
from pipeline.process.grouped_moves import GroupedMoves

PATIENCE_S = 30


class _Transactions:
    """Stands for a database of which only the commits matter."""

    def __init__(self) -> None:
        self.commits = 0

    @contextmanager
    def transaction(self, *, impatient: bool) -> Any:
        assert impatient, "one member's lock must not hold up the others"
        yield Mock()
        self.commits += 1


def _database() -> tuple[_Transactions, Database]:
    made = _Transactions()
    return made, cast("Database", made)


def test_those_who_come_while_a_group_runs_are_the_next_group() -> None:
    sizes: list[int] = []
    entered, goes_on = threading.Event(), threading.Event()

    def run(_: object, items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        entered.set()
        assert goes_on.wait(PATIENCE_S)
        return [item * 2 for item in items]

    grouped, (transactions, database) = Grouped[int, int](run), _database()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(grouped.do, database, 0)
        assert entered.wait(PATIENCE_S)
        others = [pool.submit(grouped.do, database, item) for item in range(1, 9)]
        while len(grouped._combiner._waiting) < 8:
            threading.Event().wait(0.001)
        goes_on.set()
        assert [one.result(PATIENCE_S) for one in (first, *others)] == [item * 2 for item in range(9)]
    assert (sizes, transactions.commits) == ([1, 8], 2)


def test_a_job_that_is_paid_waits_for_no_company() -> None:
    moves = GroupedMoves()
    assert moves.jobs._combiner._apart_s == 0.0
    assert moves.intents._combiner._apart_s > 0.0


def test_nobody_returns_before_the_commit() -> None:
    order: list[str] = []

    class Slow(_Transactions):
        @contextmanager
        def transaction(self, *, impatient: bool) -> Any:
            assert impatient
            yield Mock()
            order.append("committed")

    grouped = Grouped[int, int](lambda _, items: list(items))
    grouped.do(cast("Database", Slow()), 1)
    order.append("returned")
    assert order == ["committed", "returned"]


def test_a_group_that_fails_leaves_each_of_its_members_to_its_caller() -> None:
    def run(_: object, items: Sequence[int]) -> list[int]:
        raise ValueError(items)

    grouped, (_, database) = Grouped[int, int](run), _database()
    assert grouped.do(database, 1) is None
    assert grouped.do(database, 2) is None, "the next group is run all the same"


def test_an_unknown_commit_is_told_to_every_member() -> None:
    def run(_: object, items: Sequence[int]) -> list[int]:
        raise DatabaseAway("gone")

    grouped, (_, database) = Grouped[int, int](run), _database()
    for item in (1, 2):
        with pytest.raises(DatabaseAway, match="gone"):
            grouped.do(database, item)


def test_a_member_that_is_killed_by_an_interrupt_does_not_stop_the_others() -> None:
    asked: list[int] = []

    def run(_: object, items: Sequence[int]) -> list[int]:
        asked.extend(items)
        if 1 in items:
            raise KeyboardInterrupt
        return list(items)

    grouped, (_, database) = Grouped[int, int](run), _database()
    with pytest.raises(KeyboardInterrupt):
        grouped.do(database, 1)
    assert grouped.do(database, 2) == 2


def test_many_threads_lose_nothing() -> None:
    grouped = Grouped[int, int](lambda _, items: [one + 1 for one in items], apart_s=0.001)
    transactions, database = _database()
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda item: grouped.do(database, item), range(2000)))
    assert found == [item + 1 for item in range(2000)]
    assert transactions.commits <= 2000
