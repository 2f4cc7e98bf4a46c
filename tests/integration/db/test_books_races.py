"""Moves that meet: what one transaction read must still hold when another has written, and nobody waits for ever."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Connection, text

from db.books.audit import differences
from db.moves import by_person, doubts, late_discovery, polling, rescoring, submission, validation
from db.moves.doubts import NeverArrived
from db.moves.rescoring import JudgedGeneration, Rejudged
from db.moves.rows import finish, take
from db.moves.validation import NewVerdict
from db.records import closed_loop, history
from db.records.closed_loop import Decision, NextTry
from db.session import Database
from domain.errors import ContentRefused, MaybeSent
from domain.ids import AttemptId
from domain.states import AttemptKind, AttemptState, GenerationState, Outcome
from domain.verdict import Origin, Scores, Thresholds, Verdict
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow
from tests.conftest import Sent
from tests.support.books import A_MINUTE, HOLD, NOW, PRICE, USER, Books, books_of
from tests.support.sandbox_client import until
from tests.support.steps import StepRunner, runner_of

ORIGIN = Origin(model="m", revision="r", preprocessing="p", dtype="float32", references="d")


@pytest.fixture
def books(database: Database) -> Iterator[Books]:
    with books_of(database) as opened:
        yield opened
        with database.transaction() as connection:
            assert differences(connection) == []


def _settled_as_lost(books: Books, attempt_id: AttemptId) -> None:
    token = books.claim(attempt_id)
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("the reply is lost"))
    with books.database.transaction() as connection:
        doubts.not_accepted(connection, attempt_id, failure=NeverArrived("not there"), actor=history.PERSON)


def _adopt(books: Books, attempt_id: AttemptId, *, job_id: str) -> AttemptKind:
    with books.database.transaction() as connection:
        return late_discovery.adopt(
            connection, attempt_id, job_id=job_id, first_look=NOW, deadline=A_MINUTE, actor=history.THE_LIST
        )


def _judge(books: Books, attempt_id: AttemptId, *, core: float, further: Decision | None = None) -> GenerationState:
    token = books.claim_validation(attempt_id)
    thresholds = Thresholds(version=1, core=0.75, style=0.6, origin="default")
    verdict = Verdict(scores=Scores(core=core, style=0.9), thresholds=thresholds)
    with books.database.transaction() as connection:
        stored = validation.inputs(connection, attempt_id)
        found = [NewVerdict(asset_id=one.asset_id, verdict=verdict, origin=ORIGIN) for one in stored]
        character = books.generation_of(attempt_id).character_id
        return validation.judged(
            connection,
            attempt_id,
            token=token,
            character_id=character,
            found=found,
            best=found[0].asset_id,
            further=further,
        )


def _to_a_verdict(
    books: Books, attempt_id: AttemptId, *, core: float, further: Decision | None = None
) -> GenerationState:
    books.accept(attempt_id, books.claim(attempt_id))
    books.make(attempt_id, books.polled(attempt_id))
    books.collect(attempt_id, books.claim_collection(attempt_id))
    return _judge(books, attempt_id, core=core, further=further)


def test_two_jobs_that_turn_up_late_live_beside_one_generation(books: Books) -> None:
    first = books.admitted()
    _settled_as_lost(books, first)
    (second,) = books.admit()
    _settled_as_lost(books, second.attempt_id)
    (third,) = books.admit()
    books.accept(third.attempt_id, books.claim(third.attempt_id))
    for attempt_id in (first, second.attempt_id):
        assert _adopt(books, attempt_id, job_id=f"late {attempt_id}") is AttemptKind.LATE
    assert books.row(books.attempt(first).batch_id).held_usd == 3 * HOLD
    held = books.polled(first)
    for attempt_id in (first, second.attempt_id, third.attempt_id):
        books.make(attempt_id, held)
        books.collect(attempt_id, books.claim_collection(attempt_id))
    assert books.generation_of(first).cost == 3 * PRICE


def test_a_rescore_leaves_a_generation_that_was_made_anew_meanwhile(books: Books) -> None:
    books.lane()
    batch_id = books.batch(character=books.character())
    (first,) = books.admit()
    assert _to_a_verdict(books, first.attempt_id, core=0.1) is GenerationState.REJECTED
    with books.database.transaction() as connection:
        (seen,) = rescoring.judged(connection, batch_id=batch_id, character_id=None, after=None, limit=10)
    # While the rescore computes, a person asks for another try, and it passes.
    with books.database.transaction() as connection:
        assert by_person.retry(connection, batch_id, states=[GenerationState.REJECTED]) == 1
    (second,) = books.admit()
    assert _to_a_verdict(books, second.attempt_id, core=0.9) is GenerationState.COMPLETED
    with books.database.transaction() as connection:
        moved = rescoring.rejudge(connection, [_still_rejected(seen)], detail={})
    assert moved == {}
    assert books.generation(seen.id).state == "completed"
    with books.database.transaction() as connection:
        best = connection.execute(text("SELECT attempt_id FROM generation_assets WHERE best")).scalars().all()
    assert best == [second.attempt_id]


def _still_rejected(seen: JudgedGeneration) -> Rejudged:
    thresholds = Thresholds(version=2, core=0.5, style=0.5, origin="a test")
    verdict = Verdict(scores=Scores(core=0.2, style=0.9), thresholds=thresholds)
    (picture,) = seen.pictures
    (character,) = seen.character_ids
    new = NewVerdict(asset_id=picture.asset_id, verdict=verdict, origin=ORIGIN)
    return Rejudged(
        generation_id=seen.id,
        seen_at=seen.seen_at,
        found=[(character, new)],
        best=picture.asset_id,
        finished={},
        target=GenerationState.REJECTED,
        reason="a test",
    )


def test_a_file_enqueued_again_and_a_step_of_its_batch_wait_for_each_other_in_one_order(
    database: Database, sent: Sent, home: Path
) -> None:
    with runner_of(database, url="http://127.0.0.1:9", sent=sent, home=home) as runner, ThreadPoolExecutor() as pool:
        _enqueue(runner, limit=Decimal(1), tries=2)
        (attempt_id,) = sent.take("submit")
        with database.transaction() as connection:
            work = take(connection, attempt_id, states=frozenset({AttemptState.ADMITTED}), token=None)
            again = pool.submit(_enqueue, runner, limit=Decimal(2), tries=3)
            until(lambda: _waits_for_a_lock(runner.books), what="the enqueue to meet the step")
            finish(connection, work, GenerationState.FAILED, outcome=Outcome.FAILED, failure=ContentRefused("x"))
        again.result()
        assert runner.books.row(work.batch_id).limit_usd == Decimal(2)
        assert runner.books.generation(work.generation_id).try_policy == {"max_tries": 3}


def _enqueue(runner: StepRunner, *, limit: Decimal, tries: int) -> None:
    row = PromptRow(position=0, line=2, prompt="a pig", settings={}, extra={}, try_policy={"max_tries": tries})
    order = Order(name="batch", user_id=USER, provider="sandbox", prompts=[row], limit_usd=limit)
    commit(runner.resources, prepare(runner.resources, order))


def _waits_for_a_lock(books: Books) -> bool:
    with books.database.transaction() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(connection.execute(text(waiting)).scalar_one())


def test_what_must_not_be_lost_is_written_again_after_a_deadlock(books: Books) -> None:
    one, other = books.batch(name="one"), books.batch(name="other")
    met = Barrier(2)

    def write(first: object, second: object) -> int:
        tries = 0

        def both(connection: Connection) -> int:
            nonlocal tries
            tries += 1
            for at, batch_id in enumerate((first, second)):
                connection.execute(text("UPDATE batches SET priority = priority + 1 WHERE id = :id"), {"id": batch_id})
                if at == 0 and tries == 1:
                    met.wait()
            return tries

        return books.database.insist(both, seconds=60)

    with ThreadPoolExecutor() as pool:
        done = [pool.submit(write, one, other), pool.submit(write, other, one)]
        assert sorted(each.result() for each in done) == [1, 2]
    assert [books.row(batch).priority for batch in (one, other)] == [3, 3]


def test_numbers_that_json_has_no_word_for_hold_up_no_paid_job(books: Books) -> None:
    attempt_id = books.generating()
    with books.database.transaction() as connection:
        polling.made(
            connection,
            attempt_id,
            token=books.polled(attempt_id),
            result={"detail": {"predict_time": float("inf"), "scores": [float("nan"), 0.5]}},
            charged_usd=PRICE,
            said_by="a test",
        )
    assert books.attempt(attempt_id).result == {"detail": {"predict_time": "inf", "scores": ["nan", 0.5]}}


def test_a_late_job_is_no_further_try_that_nobody_asked_for(books: Books) -> None:
    books.lane()
    batch_id = books.batch(character=books.character())
    (lost,) = books.admit()
    _settled_as_lost(books, lost.attempt_id)
    (second,) = books.admit()
    assert _to_a_verdict(books, second.attempt_id, core=0.1) is GenerationState.REJECTED
    with books.database.transaction() as connection:
        by_person.retry(connection, batch_id, states=[GenerationState.REJECTED])
    assert _adopt(books, lost.attempt_id, job_id="late") is AttemptKind.IMAGE
    books.make(lost.attempt_id, books.polled(lost.attempt_id))
    books.collect(lost.attempt_id, books.claim_collection(lost.attempt_id))
    assert _judge(books, lost.attempt_id, core=0.2) is GenerationState.REJECTED
    with books.database.transaction() as connection:
        assert closed_loop.paid_unasked(connection) == []


def test_a_late_job_that_fails_leaves_the_further_try_that_was_decided_on(books: Books) -> None:
    books.lane()
    books.batch(character=books.character())
    (lost,) = books.admit()
    _settled_as_lost(books, lost.attempt_id)
    (second,) = books.admit()
    changes = {"settings": {"cref_weight": 50}, "try": 2, "since": 1}
    stronger = NextTry(changes=changes, provider="sandbox", model="midjourney", hold_usd=HOLD, price_usd=PRICE)
    decision = Decision(reason="try 2: cw 25 to 50", next_try=stronger)
    assert _to_a_verdict(books, second.attempt_id, core=0.1, further=decision) is GenerationState.QUEUED
    assert _adopt(books, lost.attempt_id, job_id="late") is AttemptKind.IMAGE
    with books.database.transaction() as connection:
        polling.gave_up(
            connection, lost.attempt_id, token=books.polled(lost.attempt_id), failure=ContentRefused("x"), wait=None
        )
        told = history.of(connection, books.attempt(lost.attempt_id).generation_id)
    assert books.generation_of(lost.attempt_id).state == "queued"
    assert "still to come" in told[-1].reason
    (third,) = books.admit()
    assert books.attempt(third.attempt_id).changes == changes


def test_a_canceled_further_try_is_not_told_as_rejected(books: Books) -> None:
    books.lane()
    batch_id = books.batch(character=books.character())
    (first,) = books.admit()
    _to_a_verdict(books, first.attempt_id, core=0.1)
    with books.database.transaction() as connection:
        by_person.retry(connection, batch_id, states=[GenerationState.REJECTED])
    (second,) = books.admit()
    token = books.claim(second.attempt_id)
    with books.database.transaction() as connection:
        by_person.request_cancel(connection, batch_id)
    with books.database.transaction() as connection:
        submission.refuse(connection, second.attempt_id, token=token, failure=ContentRefused("x"))
        told = history.of(connection, books.attempt(second.attempt_id).generation_id)
    assert books.generation_of(second.attempt_id).state == "canceled"
    assert "rejected" not in {row.to_state for row in told}


def test_what_was_decided_anew_while_an_admission_waited_is_not_made_from_what_it_read(books: Books) -> None:
    books.lane()
    batch_id = books.batch()
    books.sql("""UPDATE generations SET changes = '{"try": 2, "settings": {"cref_weight": 50}}'""")
    with ThreadPoolExecutor() as pool, books.database.transaction() as held:
        held.execute(text("SELECT FROM batches FOR UPDATE"))
        admission = pool.submit(books.admit)
        until(lambda: _waits_for_a_lock(books), what="the admission to wait for the batch")
        with books.database.transaction() as connection:
            by_person.request_cancel(connection, batch_id)
        with books.database.transaction() as connection:
            by_person.retry(connection, batch_id, states=[GenerationState.CANCELED])
        held.rollback()
        made = [*admission.result(), *books.admit()]
    (one,) = made
    assert books.attempt(one.attempt_id).changes == {"settings": {"cref_weight": 50}}


def test_who_waits_for_a_lane_of_its_own_holds_up_nobody(books: Books) -> None:
    books.lane("open", concurrency=1)
    books.lane("closed", concurrency=1)
    books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'a test' WHERE name = 'closed'")
    books.batch(3)
    books.sql("""UPDATE generations SET changes = '{"action": {"lane": "closed"}}' WHERE position < 2""")
    (one,) = books.admit()
    assert books.generation_of(one.attempt_id).position == 2
