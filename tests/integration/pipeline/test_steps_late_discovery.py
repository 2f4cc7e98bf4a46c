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
from tests.support.steps import PRICE, Bench, bench_of


@pytest.fixture
def bench(database: Database, sandbox_url: str, sent: Sent, home: Any) -> Iterator[Bench]:
    with bench_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        quick = replace(opened.resources.timing, listings_apart=timedelta(0), in_the_air=timedelta(0))
        yield replace(opened, resources=replace(opened.resources, timing=quick))
        assert of_books(opened.resources) == []


def _doubted(bench: Bench) -> AttemptId:
    """An attempt whose job exists, whose reply was lost, and whose job no list shows for now."""
    bench.caller.arm(
        {"where": "submit", "what": "drop_after", "count": 1, "match": "pig"}, {"where": "list", "what": "hidden"}
    )
    attempt_id = bench.admitted("a pig")
    bench.submit(attempt_id)
    assert bench.books.attempt(attempt_id).state == "in_doubt"
    return attempt_id


def _list_until(bench: Bench, attempt_id: AttemptId, state: str) -> None:
    for _ in range(3):
        bench.books.sql("UPDATE attempts SET late_look_at = now() WHERE late_look_at IS NOT NULL")
        by_person.settle(bench.resources, "sandbox")
        if bench.books.attempt(attempt_id).state == state:
            return
    raise AssertionError(f"attempt is {bench.books.attempt(attempt_id).state}")


def _to_the_end(bench: Bench, *ids: AttemptId) -> None:
    for attempt_id in ids:
        bench.until_made(attempt_id)
        bench.collect(attempt_id)


def test_a_list_that_hid_a_job_twice_and_then_shows_it_costs_no_second_charge(bench: Bench) -> None:
    attempt_id = _doubted(bench)
    batch_control.pause(bench.resources, bench.batch_of(attempt_id), reason="a person looks")
    _list_until(bench, attempt_id, "finished")
    assert bench.books.generation_of(attempt_id).state == "queued"
    bench.caller.clear()
    _list_until(bench, attempt_id, "generating")
    _to_the_end(bench, attempt_id)
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", PRICE)
    assert bench.charged() == [PRICE]


def test_a_job_that_the_list_hid_is_paid_and_kept_beside_the_one_that_was_sent_for_it(bench: Bench) -> None:
    attempt_id = _doubted(bench)
    _list_until(bench, attempt_id, "finished")
    (other,) = bench.sent.take("submit")
    bench.submit(other)
    bench.caller.clear()
    _list_until(bench, attempt_id, "generating")
    _to_the_end(bench, other, attempt_id)
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", sum(bench.charged()))
    assert len(bench.charged()) == 2
    with bench.resources.database.transaction() as connection:
        told = [row.reason for row in history.of(connection, generation.id)]
    assert "turned up after its doubt had been settled as lost" in told[-1]
    (found,) = late_discovery.list_found_late(bench.resources, user_id=USER)
    assert (found.work.attempt_id, found.charged_usd) == (attempt_id, PRICE)


def test_a_person_who_said_lost_may_say_paid_after_all(bench: Bench) -> None:
    attempt_id = _doubted(bench)
    assert by_person.settle_as_lost(bench.resources, attempt_id) is Settled.RELEASED
    (line,) = bench.caller.bill()
    assert by_person.settle_as_paid(bench.resources, attempt_id, job_id=line["job_id"]) is Settled.JOB_ADOPTED
    bench.caller.clear()
    _to_the_end(bench, attempt_id)
    assert bench.books.attempt(attempt_id).charged_usd == PRICE
    with pytest.raises(UnknownThing):
        by_person.settle_as_paid(bench.resources, attempt_id, job_id="another")


@pytest.mark.parametrize("lost", [False, True])
def test_a_mistyped_job_is_refused_and_the_doubt_stays(bench: Bench, *, lost: bool) -> None:
    attempt_id = _doubted(bench)
    if lost:
        by_person.settle_as_lost(bench.resources, attempt_id)
    (line,) = bench.caller.bill()
    with pytest.raises(BadInput, match="'no-such-job' cannot be fetched"):
        by_person.settle_as_paid(bench.resources, attempt_id, job_id="no-such-job")
    assert by_person.settle_as_paid(bench.resources, attempt_id, job_id=line["job_id"]) is Settled.JOB_ADOPTED


@pytest.mark.parametrize("lost", [False, True])
def test_the_job_of_another_doubt_is_refused_with_what_it_shows(bench: Bench, *, lost: bool) -> None:
    attempt_id, other = _doubted(bench), _second_doubt(bench, "drop_after")
    if lost:
        by_person.settle_as_lost(bench.resources, attempt_id)
    (its_job,) = (line["job_id"] for line in bench.caller.bill() if "third" in line["prompt"])
    with pytest.raises(BadInput, match=r"was made for 'a third pig.* has sent 'a pig"):
        by_person.settle_as_paid(bench.resources, attempt_id, job_id=its_job)
    assert by_person.settle_as_paid(bench.resources, other, job_id=its_job) is Settled.JOB_ADOPTED


@pytest.mark.parametrize("lost", [False, True])
def test_a_person_who_knows_better_is_believed_unchecked(bench: Bench, *, lost: bool) -> None:
    attempt_id = _doubted(bench)
    if lost:
        by_person.settle_as_lost(bench.resources, attempt_id)
    settled = by_person.settle_as_paid(bench.resources, attempt_id, job_id="told-by-the-support", unchecked=True)
    assert settled is Settled.JOB_ADOPTED
    assert bench.books.attempt(attempt_id).job_id == "told-by-the-support"


def test_without_the_key_of_a_lane_its_jobs_cannot_be_checked(bench: Bench) -> None:
    attempt_id = _doubted(bench)
    (line,) = bench.caller.bill()
    with pytest.raises(ServiceMissing, match="no key for lane 'sandbox'"):
        by_person.settle_as_paid(replace(bench.resources, lanes={}), attempt_id, job_id=line["job_id"])


def test_a_job_that_another_attempt_owns_cannot_be_paid_twice(bench: Bench) -> None:
    first = bench.generating("another pig")
    attempt_id = _second_doubt(bench)
    by_person.settle_as_lost(bench.resources, attempt_id)
    owned = bench.books.attempt(first).job_id
    with pytest.raises(BadInput, match="belongs to another"):
        by_person.settle_as_paid(bench.resources, attempt_id, job_id=owned)


def _second_doubt(bench: Bench, what: str = "drop_before") -> AttemptId:
    bench.caller.arm({"where": "submit", "what": what, "count": 1, "match": "pig"})
    attempt_id = bench.admitted("a third pig", name="second batch")
    bench.submit(attempt_id)
    assert bench.books.attempt(attempt_id).state == "in_doubt"
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


def test_the_reply_of_a_stopped_worker_is_taken_up_after_its_doubt_was_settled_as_lost(bench: Bench) -> None:
    bench.caller.arm({"where": "list", "what": "hidden"})
    lane = _HeldUp(bench.resources.lanes["sandbox"])
    stopped = replace(bench.resources, lanes={"sandbox": lane})
    attempt_id = bench.admitted("a pig")
    worker = threading.Thread(target=submit, args=(stopped, attempt_id))
    worker.start()
    assert lane.accepted.wait(60)
    bench.books.lapse()
    with bench.resources.database.transaction() as connection:
        assert rescue.doubt_the_silent(connection, call_total=NOW) == [attempt_id]
    _list_until(bench, attempt_id, "finished")
    lane.go_on.set()
    worker.join(60)
    assert bench.books.attempt(attempt_id).state == "generating", "the job is the attempt's own"
    _to_the_end(bench, attempt_id)
    assert bench.books.generation_of(attempt_id).cost == PRICE
    assert bench.charged() == [PRICE]
