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
from tests.support.steps import StepRunner, with_events


def test_two_copies_of_a_message_where_one_finds_the_request_unfit_lose_no_job(runner: StepRunner) -> None:
    """While the first copy uploads in vain, the second one has submitted: the job must stay in the books."""
    runner.character()
    attempt_id = runner.admitted("a pig", character="lulu")

    def meanwhile() -> None:
        runner.submit(attempt_id)
        raise RequestRefused("no address")

    with_events(runner, upload=meanwhile).submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "generating"
    assert len(runner.charged()) == 1


def test_a_worker_held_up_after_its_intent_sends_nothing(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    slow = replace(runner.resources.timing, intent_to_post=timedelta(seconds=-1))
    again = submit(replace(runner.resources, timing=slow), attempt_id)
    assert isinstance(again, Again)
    assert runner.charged() == []


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


def test_a_worker_held_up_while_its_intent_was_committed_pays_nothing_twice(runner: StepRunner) -> None:
    """Rescue doubts it, two listings prove that nothing arrived, another worker pays: then it goes on."""
    attempt_id = runner.admitted("a pig")
    nothing = timedelta(0)
    timing = replace(runner.resources.timing, in_the_air=nothing, listings_apart=nothing)
    quick = replace(runner.resources, timing=replace(timing, intent_to_post=timedelta(seconds=0.2)))

    def long_on_its_way() -> None:
        began = running_s()
        runner.books.lapse()
        runner.rescue()
        for _ in range(3):
            doubts.settle(quick, "sandbox")
        assert runner.books.attempt(attempt_id).state == "finished"
        (successor,) = runner.sent.take("submit")
        runner.submit(successor)
        until(lambda: running_s() > began + 0.2, what="the end of the time in which it may post")

    slow: Any = _SlowToAnswer(runner.resources.database, long_on_its_way)
    # Groups of its own, as another process has them.
    submit(replace(quick, database=slow, grouped=GroupedMoves()), attempt_id)
    assert len(runner.caller.bill()) == 1


def test_a_worker_held_up_inside_its_lane_sends_nothing(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    timing = replace(runner.resources.timing, intent_to_post=timedelta(seconds=0.2))
    runner = replace(runner, resources=replace(runner.resources, timing=timing))
    began = running_s()

    def held_up() -> None:
        until(lambda: running_s() > began + 1.0, what="the end of the time in which it may post")

    assert isinstance(with_events(runner, before=held_up).submit(attempt_id), Again)
    assert runner.books.attempt(attempt_id).error_code == "not_sent"
    assert runner.caller.bill() == []


def test_a_job_that_comes_after_the_doubt_is_adopted(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")

    def doubted() -> None:
        runner.books.lapse()
        with runner.books.database.transaction() as connection:
            assert rescue.doubt_the_silent(connection, call_total=NOW) == [attempt_id]

    with_events(runner, after=doubted).submit(attempt_id)
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.hold_state) == ("generating", "held")
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_refusal_that_comes_after_the_doubt_settles_it(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "status:429", "count": 1})
    attempt_id = runner.admitted("a pig")

    def doubted() -> None:
        runner.books.lapse()
        with runner.books.database.transaction() as connection:
            rescue.doubt_the_silent(connection, call_total=NOW)

    assert with_events(runner, before=doubted).submit(attempt_id) is None
    row = runner.books.attempt(attempt_id)
    assert (row.outcome, row.hold_state) == ("given_back", "released")
    assert runner.books.generation_of(attempt_id).state == "queued"
    assert runner.charged() == []


def test_a_worker_that_died_after_its_intent_leaves_a_doubt(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")

    class Died(Exception):
        pass

    def die() -> None:
        raise Died

    with pytest.raises(Died):
        with_events(runner, after=die).submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "submitting"
    runner.books.lapse()
    runner.rescue()
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.error_code) == ("in_doubt", "maybe_sent")
    assert len(runner.charged()) == 1


@pytest.mark.parametrize("moment", ["before the intent", "at the call"])
def test_a_cancel_that_comes_in_between_is_obeyed_where_nothing_was_sent(runner: StepRunner, moment: str) -> None:
    attempt_id = runner.admitted("a pig")

    def cancel() -> None:
        with runner.books.database.transaction() as connection:
            by_person.request_cancel(connection, runner.batch_of(attempt_id))

    def cancel_and_fail() -> None:
        cancel()
        raise NotSent("connection refused")

    if moment == "before the intent":
        cancel()
        assert runner.submit(attempt_id) is None
    else:
        assert with_events(runner, before=cancel_and_fail).submit(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "canceled"
    assert runner.charged() == []


def test_of_two_workers_with_one_message_one_posts(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    tokens: list[LeaseToken] = []

    def other() -> None:
        tokens.append(runner.books.attempt(attempt_id).lease_token)
        with pytest.raises(LostRace):
            runner.books.claim(attempt_id)
        assert runner.submit(attempt_id) is None

    with_events(runner, before=other).submit(attempt_id)
    assert len(tokens) == 1
    assert len(runner.charged()) == 1


def test_answers_of_postgres_that_get_lost_do_not_lose_the_job(runner: StepRunner) -> None:
    """The write of a job's id is committed and its answer lost: the same write again finds it done."""
    attempt_id = runner.generating("a pig")
    row = runner.books.attempt(attempt_id)
    with runner.books.database.transaction() as connection:
        submission.accepted(
            connection,
            AttemptId(attempt_id),
            token=LeaseToken(attempt_id),
            job_id=row.job_id,
            first_look=NOW,
            deadline=NOW,
        )
    assert runner.books.attempt(attempt_id) == row


def test_half_of_the_replies_lost_leaves_as_many_jobs_as_generations_at_most(runner: StepRunner) -> None:
    runner.caller.arm(
        {"where": "submit", "what": "drop_before", "rate": 0.3, "match": "pig"},
        {"where": "submit", "what": "drop_after", "rate": 0.4, "match": "pig"},
    )
    runner.enqueue(*[f"a pig number {number}" for number in range(10)])
    for attempt_id in runner.sent.take("submit"):
        runner.submit(attempt_id)
        runner.submit(attempt_id)
    states = [row.state for row in runner.books.rows(attempts)]
    assert set(states) == {"generating", "in_doubt"}
    billed = len(runner.charged())
    assert states.count("generating") <= billed <= 10
