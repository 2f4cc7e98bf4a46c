"""A paid call meets another worker, a cancel, a lapsed lease or a lost answer of Postgres: at most one job is paid."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from db.moves import by_person, rescue, submission
from db.schema import attempts
from db.session import Database
from domain.errors import LostRace, NotSent, RequestRefused
from domain.ids import AttemptId, LeaseToken
from pipeline.attempts.outcome import Again
from pipeline.attempts.submit import submit
from pipeline.doubts import by_person as doubts
from pipeline.process.grouped_moves import GroupedMoves
from providers.transport.clock import running_s
from tests.support.books import NOW
from tests.support.sandbox_client import until
from tests.support.steps import Bench, with_events


def test_two_copies_of_a_message_where_one_finds_the_request_unfit_lose_no_job(bench: Bench) -> None:
    """While the first copy uploads in vain, the second one has submitted: the job must stay in the books."""
    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")

    def meanwhile() -> None:
        bench.submit(attempt_id)
        raise RequestRefused("no address")

    with_events(bench, upload=meanwhile).submit(attempt_id)
    assert bench.books.attempt(attempt_id).state == "generating"
    assert len(bench.charged()) == 1


def test_a_worker_held_up_after_its_intent_sends_nothing(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    slow = replace(bench.resources.timing, intent_to_post=timedelta(seconds=-1))
    again = submit(replace(bench.resources, timing=slow), attempt_id)
    assert isinstance(again, Again)
    assert bench.charged() == []


@dataclass(slots=True)
class _SlowToAnswer:
    """A database whose answer to the second commit, that of the intent, is long on its way."""

    database: Database
    meanwhile: Callable[[], None]
    commits: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    @contextmanager
    def transaction(self, *, impatient: bool = False) -> Iterator[Connection]:
        with self.database.transaction(impatient=impatient) as connection:
            yield connection
        self.commits += 1
        if self.commits == 2:
            self.meanwhile()


def test_a_worker_held_up_while_its_intent_was_committed_pays_nothing_twice(bench: Bench) -> None:
    """Rescue doubts it, two listings prove that nothing arrived, another worker pays: then it goes on."""
    attempt_id = bench.admitted("a pig")
    nothing = timedelta(0)
    timing = replace(bench.resources.timing, in_the_air=nothing, listings_apart=nothing)
    quick = replace(bench.resources, timing=replace(timing, intent_to_post=timedelta(seconds=0.2)))

    def long_on_its_way() -> None:
        began = running_s()
        bench.books.lapse()
        bench.rescue()
        for _ in range(3):
            doubts.settle(quick, "sandbox")
        assert bench.books.attempt(attempt_id).state == "finished"
        (successor,) = bench.sent.take("submit")
        bench.submit(successor)
        until(lambda: running_s() > began + 0.2, what="the end of the time in which it may post")

    slow: Any = _SlowToAnswer(bench.resources.database, long_on_its_way)
    # Groups of its own, as another process has them.
    submit(replace(quick, database=slow, grouped=GroupedMoves()), attempt_id)
    assert len(bench.caller.bill()) == 1


def test_a_worker_held_up_inside_its_lane_sends_nothing(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    timing = replace(bench.resources.timing, intent_to_post=timedelta(seconds=0.2))
    bench = replace(bench, resources=replace(bench.resources, timing=timing))
    began = running_s()

    def held_up() -> None:
        until(lambda: running_s() > began + 1.0, what="the end of the time in which it may post")

    assert isinstance(with_events(bench, before=held_up).submit(attempt_id), Again)
    assert bench.books.attempt(attempt_id).error_code == "not_sent"
    assert bench.caller.bill() == []


def test_a_job_that_comes_after_the_doubt_is_adopted(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")

    def doubted() -> None:
        bench.books.lapse()
        with bench.books.database.transaction() as connection:
            assert rescue.doubt_the_silent(connection, call_total=NOW) == [attempt_id]

    with_events(bench, after=doubted).submit(attempt_id)
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.hold_state) == ("generating", "held")
    bench.until_made(attempt_id)
    bench.collect(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_refusal_that_comes_after_the_doubt_settles_it(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "status:429", "count": 1})
    attempt_id = bench.admitted("a pig")

    def doubted() -> None:
        bench.books.lapse()
        with bench.books.database.transaction() as connection:
            rescue.doubt_the_silent(connection, call_total=NOW)

    assert with_events(bench, before=doubted).submit(attempt_id) is None
    row = bench.books.attempt(attempt_id)
    assert (row.outcome, row.hold_state) == ("given_back", "released")
    assert bench.books.generation_of(attempt_id).state == "queued"
    assert bench.charged() == []


def test_a_worker_that_died_after_its_intent_leaves_a_doubt(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")

    class Died(Exception):
        pass

    def die() -> None:
        raise Died

    with pytest.raises(Died):
        with_events(bench, after=die).submit(attempt_id)
    assert bench.books.attempt(attempt_id).state == "submitting"
    bench.books.lapse()
    bench.rescue()
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.error_code) == ("in_doubt", "maybe_sent")
    assert len(bench.charged()) == 1


@pytest.mark.parametrize("moment", ["before the intent", "at the call"])
def test_a_cancel_that_comes_in_between_is_obeyed_where_nothing_was_sent(bench: Bench, moment: str) -> None:
    attempt_id = bench.admitted("a pig")

    def cancel() -> None:
        with bench.books.database.transaction() as connection:
            by_person.request_cancel(connection, bench.batch_of(attempt_id))

    def cancel_and_fail() -> None:
        cancel()
        raise NotSent("connection refused")

    if moment == "before the intent":
        cancel()
        assert bench.submit(attempt_id) is None
    else:
        assert with_events(bench, before=cancel_and_fail).submit(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "canceled"
    assert bench.charged() == []


def test_of_two_workers_with_one_message_one_posts(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    tokens: list[LeaseToken] = []

    def other() -> None:
        tokens.append(bench.books.attempt(attempt_id).lease_token)
        with pytest.raises(LostRace):
            bench.books.claim(attempt_id)
        assert bench.submit(attempt_id) is None

    with_events(bench, before=other).submit(attempt_id)
    assert len(tokens) == 1
    assert len(bench.charged()) == 1


def test_answers_of_postgres_that_get_lost_do_not_lose_the_job(bench: Bench) -> None:
    """The write of a job's id is committed and its answer lost: the same write again finds it done."""
    attempt_id = bench.generating("a pig")
    row = bench.books.attempt(attempt_id)
    with bench.books.database.transaction() as connection:
        submission.accepted(
            connection,
            AttemptId(attempt_id),
            token=LeaseToken(attempt_id),
            job_id=row.job_id,
            first_look=NOW,
            deadline=NOW,
        )
    assert bench.books.attempt(attempt_id) == row


def test_half_of_the_replies_lost_leaves_as_many_jobs_as_generations_at_most(bench: Bench) -> None:
    bench.caller.arm(
        {"where": "submit", "what": "drop_before", "rate": 0.3, "match": "pig"},
        {"where": "submit", "what": "drop_after", "rate": 0.4, "match": "pig"},
    )
    bench.enqueue(*[f"a pig number {number}" for number in range(10)])
    for attempt_id in bench.sent.take("submit"):
        bench.submit(attempt_id)
        bench.submit(attempt_id)
    states = [row.state for row in bench.books.rows(attempts)]
    assert set(states) == {"generating", "in_doubt"}
    billed = len(bench.charged())
    assert states.count("generating") <= billed <= 10
