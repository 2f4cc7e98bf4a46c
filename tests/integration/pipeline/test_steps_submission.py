"""What becomes of an attempt when its one paid call goes wrong, at each point at which it can."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from db.moves import by_person, rescue, submission
from db.schema import attempts
from db.session import Database
from domain.errors import LostRace, NotSent, ProviderDown, RequestRefused
from domain.ids import AttemptId, LeaseToken
from pipeline.attempts.outcome import Again
from pipeline.attempts.submit import submit
from pipeline.doubts import by_person as doubts
from pipeline.process.grouped_moves import GroupedMoves
from providers.contract import Accepted, Ask
from providers.transport.clock import running_s
from tests.support.books import NOW
from tests.support.sandbox_client import until
from tests.support.steps import HOLD, PRICE, QUICK, Bench


def _closed_for(bench: Bench) -> float:
    closed_until = bench.lane().closed_until
    return 0.0 if closed_until is None else float((closed_until - datetime.now(UTC)).total_seconds())


class _Between:
    """The lane, with something happening at the moment of the paid call or of an upload."""

    def __init__(self, lane: Any, *, before: Any = None, after: Any = None, upload: Any = None) -> None:
        self._lane, self._before, self._after, self._upload = lane, before, after, upload

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    def submit(self, ask: Ask) -> Accepted:
        if self._before:
            self._before()
        accepted: Accepted = self._lane.submit(ask)
        if self._after:
            self._after()
        return accepted

    def upload_reference(self, content: bytes, media_type: str) -> str | None:
        if self._upload:
            self._upload()
        url: str | None = self._lane.upload_reference(content, media_type)
        return url


def _with(bench: Bench, **events: Any) -> Bench:
    lane = _Between(bench.resources.lanes["sandbox"], **events)
    return replace(bench, resources=replace(bench.resources, lanes={"sandbox": lane}))


@pytest.mark.parametrize(
    "what",
    ["drop_before", "drop_after", "truncated", "html", "html_after", "status:500", "status:500_after", "status:408"],
)
def test_a_reply_that_proves_nothing_puts_the_attempt_in_doubt(bench: Bench, what: str) -> None:
    bench.caller.arm({"where": "submit", "what": what, "count": 1, "match": "pig"})
    attempt_id = bench.admitted("a pig")
    assert bench.submit(attempt_id) is None
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.error_code) == ("in_doubt", "in_doubt", "maybe_sent")
    assert bench.books.row(row.batch_id).in_doubt_usd == HOLD
    assert bench.submit(attempt_id) is None, "nobody submits it again"
    assert len(bench.charged()) == int(what in {"drop_after", "truncated", "html_after", "status:500_after"})
    assert bench.lane().last_error is not None


def test_a_doubt_is_never_admitted_published_or_submitted_again(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "drop_after", "count": 1, "match": "pig"})
    attempt_id = bench.admitted("a pig")
    bench.submit(attempt_id)
    bench.due()
    bench.books.lapse()
    bench.rescue()
    assert bench.admit() == []
    assert bench.sent.tasks == []
    assert bench.books.attempt(attempt_id).state == "in_doubt"
    assert len(bench.charged()) == 1


def test_a_refused_connection_is_tried_again_with_the_same_attempt(bench: Bench) -> None:
    def refuse() -> None:
        raise NotSent("connection refused")

    attempt_id = bench.admitted("a pig")
    down = _with(bench, before=refuse)
    for tries in (1, 2):
        again = down.submit(attempt_id)
        assert again == Again(timedelta(seconds=0.5 * 2 ** (tries - 1)))
        row = bench.books.attempt(attempt_id)
        assert (row.state, row.hold_state, row.step_tries, row.intent_at) == ("admitted", "held", tries, None)
        bench.due()
    assert bench.submit(attempt_id) is None
    assert bench.books.attempt(attempt_id).state == "generating"
    assert len(bench.charged()) == 1


def test_a_provider_that_cannot_be_reached_closes_its_lane_and_costs_no_try(bench: Bench) -> None:
    def refuse() -> None:
        raise NotSent("connection refused")

    attempt_id = bench.admitted("a pig")
    down = _with(bench, before=refuse)
    while down.submit(attempt_id) is not None:
        bench.due()
    row, generation = bench.books.attempt(attempt_id), bench.books.generation_of(attempt_id)
    assert (row.outcome, row.hold_state) == ("given_back", "released")
    assert (generation.state, generation.tries, generation.error_code) == ("queued", 0, "not_sent")
    assert 20 < _closed_for(bench) <= 30
    assert bench.admit() == []
    bench.open_lanes()
    (again,) = bench.admit()
    bench.submit(again)
    assert bench.books.attempt(again).state == "generating"


@pytest.mark.parametrize(
    ("what", "code", "seconds"),
    [("status:429", "rate_limited", 5), ("status:499", "queue_full", 5), ("status:402", "out_of_money", 300)],
)
def test_a_refusal_of_the_account_closes_the_lane_and_gives_the_place_back(
    bench: Bench, what: str, code: str, seconds: int
) -> None:
    bench.caller.arm({"where": "submit", "what": what, "count": 1})
    attempt_id = bench.admitted("a pig")
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.tries, generation.error_code) == ("queued", 0, code)
    assert bench.books.attempt(attempt_id).outcome == "given_back"
    assert bench.lane().reason.startswith(code)
    assert seconds - 5 < _closed_for(bench) <= seconds
    bench.open_lanes()
    (again,) = bench.admit()
    bench.submit(again)
    assert bench.books.attempt(again).state == "generating"
    assert bench.charged() == [PRICE]


def test_a_wrong_key_closes_the_lane(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "status:401", "count": 1})
    attempt_id = bench.admitted("a pig")
    bench.submit(attempt_id)
    assert bench.books.generation_of(attempt_id).error_code == "key_refused"
    assert _closed_for(bench) > 60


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("status:400", "request_refused"),
        ("refused:[Banned prompt detected] naked", "content_refused"),
        ("refused:[Invalid parameter] --foo", "request_refused"),
    ],
)
def test_a_refusal_of_the_request_ends_the_generation_and_costs_nothing(bench: Bench, what: str, code: str) -> None:
    bench.caller.arm({"where": "submit", "what": what, "count": 1})
    attempt_id = bench.admitted("a pig")
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", code, 0)
    assert _closed_for(bench) <= 0
    assert bench.charged() == []


def test_a_prompt_that_is_refused_in_unknown_words_ends_after_its_tries_and_stops_nobody_else(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "refused:The prompt is too long", "match": "poison"})
    poison = bench.admitted("poison")
    for tries in range(1, QUICK.generation_tries + 1):
        while bench.submit(poison) is not None:
            bench.due()
        row, generation = bench.books.attempt(poison), bench.books.generation_of(poison)
        assert (row.outcome, row.hold_state, generation.tries) == ("failed", "released", tries)
        assert bench.lane().closed_until is None
        if tries < QUICK.generation_tries:
            assert (generation.state, generation.error_code) == ("queued", "job_failed")
            assert generation.not_before is not None
            bench.due()
            (poison,) = bench.admit()
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "job_failed", 0)
    assert "The prompt is too long" in generation.error_message
    bench.submit(bench.admitted("a pig", name="another batch"))
    assert bench.charged() == [PRICE]


def test_a_banned_prompt_is_refused_for_its_content(bench: Bench) -> None:
    attempt_id = bench.admitted("a naked pig")
    bench.submit(attempt_id)
    if bench.books.attempt(attempt_id).state == "generating":
        bench.until_made(attempt_id)
    assert bench.books.generation_of(attempt_id).error_code == "content_refused"
    assert bench.books.generation_of(attempt_id).state == "failed"
    assert sum(bench.charged()) == 0


def test_a_closed_lane_gives_the_attempt_back_unsent(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    bench.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'a person'")
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.tries) == ("queued", 0)
    assert bench.charged() == []
    assert bench.submit(attempt_id) is None


def test_a_worker_without_the_lanes_key_gives_the_attempt_back(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    submit(replace(bench.resources, lanes={}), attempt_id)
    assert bench.books.generation_of(attempt_id).state == "queued"
    assert bench.lane().reason.startswith("service_missing")


def test_a_reference_that_is_gone_keeps_the_generation_waiting(bench: Bench, home: Path) -> None:
    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")
    for file in (home / "pictures" / "references").rglob("*.png"):
        file.unlink()
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.tries) == ("queued", "service_missing", 0)
    assert generation.not_before is not None
    assert bench.charged() == []


def test_a_failed_upload_of_the_reference_is_tried_again_later(bench: Bench) -> None:
    def fail() -> None:
        raise ProviderDown("503")

    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")
    _with(bench, upload=fail).submit(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "queued"
    bench.due()
    (again,) = bench.admit()
    bench.submit(again)
    assert bench.books.attempt(again).state == "generating"


def test_two_copies_of_a_message_where_one_finds_the_request_unfit_lose_no_job(bench: Bench) -> None:
    """While the first copy uploads in vain, the second one has submitted: the job must stay in the books."""
    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")

    def meanwhile() -> None:
        bench.submit(attempt_id)
        raise RequestRefused("no address")

    _with(bench, upload=meanwhile).submit(attempt_id)
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

    assert isinstance(_with(bench, before=held_up).submit(attempt_id), Again)
    assert bench.books.attempt(attempt_id).error_code == "not_sent"
    assert bench.caller.bill() == []


def test_a_job_that_comes_after_the_doubt_is_adopted(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")

    def doubted() -> None:
        bench.books.lapse()
        with bench.books.database.transaction() as connection:
            assert rescue.doubt_the_silent(connection, call_total=NOW) == [attempt_id]

    _with(bench, after=doubted).submit(attempt_id)
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

    assert _with(bench, before=doubted).submit(attempt_id) is None
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
        _with(bench, after=die).submit(attempt_id)
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
        assert _with(bench, before=cancel_and_fail).submit(attempt_id) is None
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

    _with(bench, before=other).submit(attempt_id)
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
