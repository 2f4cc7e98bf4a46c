"""Many at once, on real connections: hard limits stay hard, and nobody waits for ever."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from db.moves import admission, by_person, polling, rescue, submission
from db.records import batches
from db.schema import generations
from db.session import Database
from domain.errors import JobFailed, LostRace, NotSent
from domain.ids import AttemptId, BatchId
from domain.states import FINAL
from tests.support.books import HOLD, NOW, PRICE, Books, books_of, lease
from tests.support.sandbox_client import until

MANY = 64


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    database = Database(database_url, pool_size=24, application="likeness test")
    with books_of(database) as opened:
        yield opened
    database.close()


def _at_once(*works: Callable[[], object]) -> None:
    """All of them, started together; the first failure is raised, a deadlock among them."""
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        ready.wait()
        work()

    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        for done in [pool.submit(run, work) for work in works]:
            done.result()


def test_sixty_four_admissions_against_money_for_ten_make_ten_attempts(books: Books) -> None:
    books.lane(concurrency=1000)
    batch = books.batch(200, limit=10 * HOLD + Decimal("0.39"))
    _at_once(*[books.admit] * MANY)
    assert len(books.live()) == 10
    assert books.row(batch).held_usd == 10 * HOLD


def test_sixty_four_admissions_against_ten_places_make_ten_attempts(books: Books) -> None:
    books.lane(concurrency=10)
    books.batch(100)
    books.batch(100)
    _at_once(*[books.admit] * MANY)
    assert len(books.live()) == 10


def test_an_admission_waits_for_the_one_that_is_under_way(books: Books) -> None:
    """It would else hand out the same places again, to a batch that the first one has not seen."""
    books.lane(concurrency=10)
    books.batch(10)
    with ThreadPoolExecutor(max_workers=1) as pool:
        with books.database.transaction() as first:
            assert len(admission.admit(first, "sandbox", places_by_rate={})) == 10
            books.batch(10)
            second = pool.submit(books.admit)
            until(lambda: _waiting(books), what="the second admission waiting for the first")
        assert second.result() == []
    assert len(books.live()) == 10


def _waiting(books: Books) -> int:
    """How many connections wait for a lock."""
    with books.database.transaction() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).scalar_one()
        )


def _shared_by_two_providers(books: Books) -> None:
    """One budget for ten calls, and places enough at both: such admissions share no lock but that of the batch."""
    for provider in ("one", "two"):
        books.lane(provider, provider=provider, concurrency=1000)
        books.batch(100, name="shared", limit=10 * HOLD, provider=provider)


def test_sixty_four_admissions_at_two_providers_never_spend_the_same_money(books: Books) -> None:
    _shared_by_two_providers(books)
    _at_once(*[lambda: books.admit("one"), lambda: books.admit("two")] * (MANY // 2))
    assert len(books.live()) == 10


def test_an_admission_waits_for_the_money_that_another_provider_is_being_given(books: Books) -> None:
    """As above, with no luck needed: the first has read the budget, and has not committed yet."""
    _shared_by_two_providers(books)
    with ThreadPoolExecutor(max_workers=1) as pool:
        with books.database.transaction() as first:
            assert len(admission.admit(first, "one", places_by_rate={})) == 10
            second = pool.submit(books.admit, "two")
            until(lambda: _waiting(books), what="the second admission waiting for the first")
        assert second.result() == []
    assert len(books.live()) == 10


def test_of_many_workers_one_claims(books: Books) -> None:
    for _ in range(10):
        attempt_id = books.admitted()
        won: list[object] = []

        def claim(attempt_id: AttemptId = attempt_id, won: list[object] = won) -> None:
            with contextlib.suppress(LostRace):
                won.append(books.claim(attempt_id))

        _at_once(*[claim] * 8)
        assert [books.attempt(attempt_id).lease_token] == won


def _crossing(books: Books, rounds: int) -> None:
    """Two lanes of two providers, two batches on both, admitted and ended in opposite orders at the same time.

    Args:
        rounds: of each of the two sides.
    """
    books.lane("one", provider="one", concurrency=4)
    books.lane("two", provider="two", concurrency=4)
    ids = [books.batch(1, name=name, provider="one") for name in "ab"]
    for name in "ab":
        books.batch(1, name=name, provider="two")

    for provider, order in (("one", ids), ("two", ids[::-1])):
        for at, batch in enumerate(order):
            books.sql(
                "INSERT INTO strides (batch_id, provider, pass) VALUES (:batch, :provider, :pass)",
                batch=batch,
                provider=provider,
                **{"pass": at * 0.5},
            )

    def work(provider: str, *, backwards: bool) -> None:
        for _ in range(rounds):
            admitted = books.admit(provider)
            for one in sorted(admitted, key=lambda each: str(each.attempt_id), reverse=backwards):
                with books.database.transaction() as connection:
                    submission.give_back(connection, one.attempt_id, token=None, failure=NotSent("closed"))

    _at_once(lambda: work("one", backwards=False), lambda: work("two", backwards=True))
    for batch in ids:
        assert books.row(batch).held_usd == 0
    assert books.live() == []


def test_two_lanes_and_two_batches_in_opposite_order_never_lock_each_other(books: Books) -> None:
    _crossing(books, 150)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_lanes_and_two_batches_in_opposite_order_for_two_thousand_rounds(books: Books) -> None:
    _crossing(books, 1_000)


class _Person:
    """One thread of the turmoil: it does something lawful to a random attempt or batch, again and again."""

    def __init__(self, books: Books, batches_: list[BatchId], *, seed: int, rounds: int) -> None:
        self.books, self.batches, self.rounds = books, batches_, rounds
        self.dice = random.Random(seed)

    def __call__(self) -> None:
        acts = [self.admit, self.claim, self.back, self.accept, self.look, self.cancel, self.retry, self.bury]
        for _ in range(self.rounds):
            try:
                self.dice.choice(acts)()
            except LostRace:
                continue

    def _some(self, state: str) -> AttemptId | None:
        with self.books.database.transaction() as connection:
            found = connection.exec_driver_sql(
                "SELECT id FROM attempts WHERE state = %s ORDER BY random() LIMIT 1", (state,)
            ).scalar()
        return None if found is None else AttemptId(found)

    def admit(self) -> None:
        self.books.admit()

    def claim(self) -> None:
        if found := self._some("admitted"):
            self.books.claim(found)

    def _token(self, attempt_id: AttemptId) -> object:
        return self.books.attempt(attempt_id).lease_token

    def back(self) -> None:
        if found := self._some("submitting"):
            token = self.books.attempt(found).lease_token
            move = self.dice.choice([submission.give_back, submission.refuse, submission.doubt])
            with self.books.database.transaction() as connection:
                move(connection, found, token=token, failure=NotSent("x"))

    def accept(self) -> None:
        if found := self._some("submitting"):
            self.books.accept(found, self.books.attempt(found).lease_token)

    def look(self) -> None:
        held = lease()
        with self.books.database.transaction() as connection:
            works = polling.claim_due(connection, "sandbox", limit=3, lease=held)
        for work in works:
            if self.dice.random() < 0.5:
                self.books.make(work.attempt_id, held.token, charged=PRICE)
                token = self.books.claim_collection(work.attempt_id)
                self.books.collect(work.attempt_id, token)
                continue
            with self.books.database.transaction() as connection:
                polling.gave_up(connection, work.attempt_id, token=held.token, failure=JobFailed("x"), wait=NOW)

    def cancel(self) -> None:
        with self.books.database.transaction() as connection:
            by_person.request_cancel(connection, self.dice.choice(self.batches))
        with self.books.database.transaction() as connection:
            by_person.cancel_admitted(connection)

    def retry(self) -> None:
        with self.books.database.transaction() as connection:
            by_person.retry(connection, self.dice.choice(self.batches), states=sorted(FINAL))

    def bury(self) -> None:
        with self.books.database.transaction() as connection:
            rescue.doubt_the_silent(connection, call_total=NOW)
        with self.books.database.transaction() as connection:
            rescue.bury(connection)


def _turmoil(books: Books, *, threads: int, rounds: int) -> None:
    books.lane(concurrency=8)
    ids = [books.batch(12, limit=8 * HOLD), books.batch(12), books.batch(12, limit=8 * HOLD)]
    _at_once(*[_Person(books, ids, seed=seed, rounds=rounds) for seed in range(threads)])
    assert len(books.rows(generations)) == 36


def test_cancel_claim_admission_and_retry_at_once_lose_no_hold(books: Books) -> None:
    _turmoil(books, threads=8, rounds=60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_long_turmoil_loses_no_hold(books: Books) -> None:
    _turmoil(books, threads=16, rounds=600)


def test_two_retries_and_a_cancel_of_one_large_batch_meet_without_a_deadlock(books: Books) -> None:
    batch = books.batch(2000)

    def cancel() -> None:
        with books.database.transaction() as connection:
            by_person.request_cancel(connection, batch)

    def retry() -> None:
        with books.database.transaction() as connection:
            by_person.retry(connection, batch, states=sorted(FINAL))

    for _ in range(3):
        _at_once(cancel, retry, retry, cancel)
    assert sum(books.counts(batch).values()) == 2000


def test_a_limit_raised_while_admissions_run_is_met_exactly(books: Books) -> None:
    books.lane(concurrency=1000)
    batch = books.batch(100, limit=3 * HOLD)

    def raise_it() -> None:
        with books.database.transaction() as connection:
            batches.set_limit(connection, batch, 7 * HOLD)

    _at_once(raise_it, *[books.admit] * 12)
    books.admit()
    assert len(books.live()) == 7
