"""The provider's list lies, a person errs, a worker was stopped: a job that turns up later is paid for and kept."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from db.moves import rescue
from db.records import history
from db.session import Database
from domain.errors import BadInput, ServiceMissing, UnknownThing
from domain.ids import AttemptId
from pipeline.attempts import late_discovery
from pipeline.attempts.submit import submit
from pipeline.doubts import by_person
from pipeline.doubts.by_person import Settled
from pipeline.operator import batch_control
from pipeline.views.audit import of_books
from providers.contract import Accepted, Ask
from tests.conftest import Sent
from tests.support.books import NOW, USER
from tests.support.steps import PRICE, StepRunner, runner_of


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Any) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        quick = replace(opened.resources.timing, listings_apart=timedelta(0), in_the_air=timedelta(0))
        yield replace(opened, resources=replace(opened.resources, timing=quick))
        assert of_books(opened.resources) == []


def _doubted(runner: StepRunner) -> AttemptId:
    """An attempt whose job exists, whose reply was lost, and whose job no list shows for now."""
    runner.caller.arm(
        {"where": "submit", "what": "drop_after", "count": 1, "match": "pig"}, {"where": "list", "what": "hidden"}
    )
    attempt_id = runner.admitted("a pig")
    runner.submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


def _list_until(runner: StepRunner, attempt_id: AttemptId, state: str) -> None:
    for _ in range(3):
        runner.books.sql("UPDATE attempts SET late_look_at = now() WHERE late_look_at IS NOT NULL")
        by_person.settle(runner.resources, "sandbox")
        if runner.books.attempt(attempt_id).state == state:
            return
    raise AssertionError(f"attempt is {runner.books.attempt(attempt_id).state}")


def _to_the_end(runner: StepRunner, *ids: AttemptId) -> None:
    for attempt_id in ids:
        runner.until_made(attempt_id)
        runner.collect(attempt_id)


def test_a_list_that_hid_a_job_twice_and_then_shows_it_costs_no_second_charge(runner: StepRunner) -> None:
    attempt_id = _doubted(runner)
    batch_control.pause(runner.resources, runner.batch_of(attempt_id), reason="a person looks")
    _list_until(runner, attempt_id, "finished")
    assert runner.books.generation_of(attempt_id).state == "queued"
    runner.caller.clear()
    _list_until(runner, attempt_id, "generating")
    _to_the_end(runner, attempt_id)
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", PRICE)
    assert runner.charged() == [PRICE]


def test_a_job_that_the_list_hid_is_paid_and_kept_beside_the_one_that_was_sent_for_it(runner: StepRunner) -> None:
    attempt_id = _doubted(runner)
    _list_until(runner, attempt_id, "finished")
    (other,) = runner.sent.take("submit")
    runner.submit(other)
    runner.caller.clear()
    _list_until(runner, attempt_id, "generating")
    _to_the_end(runner, other, attempt_id)
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", sum(runner.charged()))
    assert len(runner.charged()) == 2
    with runner.resources.database.transaction() as connection:
        told = [row.reason for row in history.of(connection, generation.id)]
    assert "turned up after its doubt had been settled as lost" in told[-1]
    (found,) = late_discovery.list_found_late(runner.resources, user_id=USER)
    assert (found.work.attempt_id, found.charged_usd) == (attempt_id, PRICE)


def test_a_person_who_said_lost_may_say_paid_after_all(runner: StepRunner) -> None:
    attempt_id = _doubted(runner)
    assert by_person.settle_as_lost(runner.resources, attempt_id) is Settled.RELEASED
    (line,) = runner.caller.bill()
    assert by_person.settle_as_paid(runner.resources, attempt_id, job_id=line["job_id"]) is Settled.JOB_ADOPTED
    runner.caller.clear()
    _to_the_end(runner, attempt_id)
    assert runner.books.attempt(attempt_id).charged_usd == PRICE
    with pytest.raises(UnknownThing):
        by_person.settle_as_paid(runner.resources, attempt_id, job_id="another")


@pytest.mark.parametrize("lost", [False, True])
def test_a_mistyped_job_is_refused_and_the_doubt_stays(runner: StepRunner, *, lost: bool) -> None:
    attempt_id = _doubted(runner)
    if lost:
        by_person.settle_as_lost(runner.resources, attempt_id)
    (line,) = runner.caller.bill()
    with pytest.raises(BadInput, match="'no-such-job' cannot be fetched"):
        by_person.settle_as_paid(runner.resources, attempt_id, job_id="no-such-job")
    assert by_person.settle_as_paid(runner.resources, attempt_id, job_id=line["job_id"]) is Settled.JOB_ADOPTED


@pytest.mark.parametrize("lost", [False, True])
def test_the_job_of_another_doubt_is_refused_with_what_it_shows(runner: StepRunner, *, lost: bool) -> None:
    attempt_id, other = _doubted(runner), _second_doubt(runner, "drop_after")
    if lost:
        by_person.settle_as_lost(runner.resources, attempt_id)
    (its_job,) = (line["job_id"] for line in runner.caller.bill() if "third" in line["prompt"])
    with pytest.raises(BadInput, match=r"was made for 'a third pig.* has sent 'a pig"):
        by_person.settle_as_paid(runner.resources, attempt_id, job_id=its_job)
    assert by_person.settle_as_paid(runner.resources, other, job_id=its_job) is Settled.JOB_ADOPTED


@pytest.mark.parametrize("lost", [False, True])
def test_a_person_who_knows_better_is_believed_unchecked(runner: StepRunner, *, lost: bool) -> None:
    attempt_id = _doubted(runner)
    if lost:
        by_person.settle_as_lost(runner.resources, attempt_id)
    settled = by_person.settle_as_paid(runner.resources, attempt_id, job_id="told-by-the-support", unchecked=True)
    assert settled is Settled.JOB_ADOPTED
    assert runner.books.attempt(attempt_id).job_id == "told-by-the-support"


def test_without_the_key_of_a_lane_its_jobs_cannot_be_checked(runner: StepRunner) -> None:
    attempt_id = _doubted(runner)
    (line,) = runner.caller.bill()
    with pytest.raises(ServiceMissing, match="no key for lane 'sandbox'"):
        by_person.settle_as_paid(replace(runner.resources, lanes={}), attempt_id, job_id=line["job_id"])


def test_a_job_that_another_attempt_owns_cannot_be_paid_twice(runner: StepRunner) -> None:
    first = runner.generating("another pig")
    attempt_id = _second_doubt(runner)
    by_person.settle_as_lost(runner.resources, attempt_id)
    owned = runner.books.attempt(first).job_id
    with pytest.raises(BadInput, match="belongs to another"):
        by_person.settle_as_paid(runner.resources, attempt_id, job_id=owned)


def _second_doubt(runner: StepRunner, what: str = "drop_before") -> AttemptId:
    runner.caller.arm({"where": "submit", "what": what, "count": 1, "match": "pig"})
    attempt_id = runner.admitted("a third pig", name="second batch")
    runner.submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


class _HeldUp:
    """The lane, with its reply held back until it is let through: as a worker that is stopped after its POST."""

    def __init__(self, lane: Any) -> None:
        self._lane = lane
        self.accepted, self.go_on = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    def submit(self, ask: Ask) -> Accepted:
        accepted: Accepted = self._lane.submit(ask)
        self.accepted.set()
        assert self.go_on.wait(60)
        return accepted


def test_the_reply_of_a_stopped_worker_is_taken_up_after_its_doubt_was_settled_as_lost(runner: StepRunner) -> None:
    runner.caller.arm({"where": "list", "what": "hidden"})
    lane = _HeldUp(runner.resources.lanes["sandbox"])
    stopped = replace(runner.resources, lanes={"sandbox": lane})
    attempt_id = runner.admitted("a pig")
    worker = threading.Thread(target=submit, args=(stopped, attempt_id))
    worker.start()
    assert lane.accepted.wait(60)
    runner.books.lapse()
    with runner.resources.database.transaction() as connection:
        assert rescue.doubt_the_silent(connection, call_total=NOW) == [attempt_id]
    _list_until(runner, attempt_id, "finished")
    lane.go_on.set()
    worker.join(60)
    assert runner.books.attempt(attempt_id).state == "generating", "the job is the attempt's own"
    _to_the_end(runner, attempt_id)
    assert runner.books.generation_of(attempt_id).cost == PRICE
    assert runner.charged() == [PRICE]
