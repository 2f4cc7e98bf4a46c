"""What people may do at any moment, and what rescue does for the dead."""

from datetime import timedelta
from typing import Any

import pytest

from db.moves import by_person, collection, polling, rescue, submission, validation
from db.records import batches, history
from db.schema import generations
from domain.errors import ContentRefused, LikenessError, LostRace, ScorerError, UnfitPicture
from domain.ids import AttemptId, BatchId
from domain.states import FINAL, GenerationState
from pipeline.attempts.rescue import Poison
from tests.support.books import A_MINUTE, Books, lease

CALL = timedelta(seconds=60)


def _cancel(books: Books, batch_id: BatchId) -> int:
    with books.database.transaction() as connection:
        return by_person.request_cancel(connection, batch_id)


def _retry(books: Books, batch_id: BatchId, *states: GenerationState, reason: str | None = None) -> int:
    with books.database.transaction() as connection:
        return by_person.retry(connection, batch_id, states=states, reason=reason)


def test_what_waits_is_canceled_at_once_and_the_rest_runs_on(books: Books) -> None:
    books.lane(concurrency=1)
    batch = books.batch(3)
    (one,) = books.admit()
    books.claim(one.attempt_id)
    assert _cancel(books, batch) == 3
    assert books.counts(batch) == {"canceled": 2, "submitting": 1}
    assert _cancel(books, batch) == 1, "asking again is harmless"
    assert books.admit() == []


def test_what_is_admitted_and_unclaimed_is_canceled_next(books: Books) -> None:
    books.lane()
    batch = books.batch(2)
    first, second = books.admit()
    books.claim(first.attempt_id)
    _cancel(books, batch)
    with books.database.transaction() as connection:
        assert by_person.cancel_admitted(connection) == [second.generation_id]
    assert books.counts(batch) == {"submitting": 1, "canceled": 1}


def test_a_cancel_leaves_what_is_final_alone(books: Books) -> None:
    attempt_id = books.collecting()
    books.collect(attempt_id, books.claim_collection(attempt_id))
    assert _cancel(books, books.attempt(attempt_id).batch_id) == 0
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.cancel_requested_at) == ("completed", None)


def test_a_canceled_generation_can_be_asked_for_again(books: Books) -> None:
    books.lane()
    batch = books.batch(2)
    _cancel(books, batch)
    assert _retry(books, batch, GenerationState.CANCELED) == 2
    assert books.counts(batch) == {"queued": 2}
    assert len(books.admit()) == 2
    assert all(row.tries == 1 for row in (books.generation(live.generation_id) for live in books.live()))


def test_a_retry_takes_only_the_reason_it_was_asked_for(books: Books) -> None:
    books.lane()
    batch = books.batch(2)
    for admitted, failure in zip(books.admit(), (ContentRefused("a"), LostRace("b")), strict=True):
        token = books.claim(admitted.attempt_id)
        with books.database.transaction() as connection:
            submission.refuse(connection, admitted.attempt_id, token=token, failure=failure)
    with books.database.transaction() as connection:
        assert by_person.reasons(connection, batch) == {"content_refused": 1, "lost_race": 1}
    assert _retry(books, batch, GenerationState.FAILED, reason="content_refused") == 1
    assert books.counts(batch) == {"queued": 1, "failed": 1}


def test_completed_work_and_living_work_are_never_retried(books: Books) -> None:
    attempt_id = books.collecting()
    batch = BatchId(books.attempt(attempt_id).batch_id)
    assert _retry(books, batch, *GenerationState) == 0
    books.collect(attempt_id, books.claim_collection(attempt_id))
    assert _retry(books, batch, *GenerationState) == 0
    assert books.generation_of(attempt_id).state == "completed"


def test_a_retried_generation_starts_afresh_and_keeps_its_cost(books: Books) -> None:
    attempt_id = books.collecting()
    batch = BatchId(books.attempt(attempt_id).batch_id)
    _cancel(books, batch)
    books.collect(attempt_id, books.claim_collection(attempt_id))
    before = books.generation_of(attempt_id)
    assert before.state == "canceled"
    assert _retry(books, batch, *FINAL) == 1
    after = books.generation_of(attempt_id)
    assert (after.state, after.tries, after.cost, after.completed_at) == ("queued", 0, before.cost, None)
    (again,) = books.admit()
    assert books.attempt(again.attempt_id).number == 2


def test_a_paused_batch_is_given_nothing(books: Books) -> None:
    books.lane()
    batch = books.batch(2)
    with books.database.transaction() as connection:
        batches.pause(connection, batch, reason="lunch")
        batches.pause(connection, batch, reason="later")
    assert books.row(batch).paused_reason == "lunch"
    assert books.admit() == []
    with books.database.transaction() as connection:
        batches.resume(connection, batch)
    assert len(books.admit()) == 2


def test_a_silent_submission_is_doubted_only_when_its_call_must_be_over(books: Books) -> None:
    attempt_id, _ = books.submitting()
    books.lapse(seconds=30)
    with books.database.transaction() as connection:
        assert rescue.doubt_the_silent(connection, call_total=CALL) == []
    books.lapse(seconds=61)
    with books.database.transaction() as connection:
        assert rescue.doubt_the_silent(connection, call_total=CALL) == [attempt_id]
    row = books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.error_code) == ("in_doubt", "in_doubt", "maybe_sent")


def test_a_worker_that_comes_back_after_the_doubt_cannot_write_over_it(books: Books) -> None:
    attempt_id, token = books.submitting()
    books.lapse()
    with books.database.transaction() as connection:
        rescue.doubt_the_silent(connection, call_total=CALL)
    with pytest.raises(LostRace):
        books.accept(attempt_id, token)


def test_doubting_many_of_several_batches_is_one_transaction(books: Books) -> None:
    books.lane()
    for _ in range(3):
        books.batch(2)
    for one in books.admit():
        books.claim(one.attempt_id)
    books.lapse()
    with books.database.transaction() as connection:
        assert len(rescue.doubt_the_silent(connection, call_total=CALL)) == 6


@pytest.mark.parametrize("step", ["generating", "collecting", "validating"])
def test_a_dead_workers_step_is_freed_and_its_death_counted(books: Books, step: str) -> None:
    if step == "generating":
        attempt_id = books.generating()
        books.polled(attempt_id)
    elif step == "collecting":
        attempt_id = books.collecting()
        books.claim_collection(attempt_id)
    else:
        attempt_id, _ = books.validating()
        books.claim_validation(attempt_id)
    with books.database.transaction() as connection:
        assert rescue.bury(connection) == [], "a lease that holds is nobody's death"
    books.lapse()
    with books.database.transaction() as connection:
        (buried,) = rescue.bury(connection)
    assert (buried.attempt_id, buried.deaths, buried.state) == (attempt_id, 1, step)
    with books.database.transaction() as connection:
        assert rescue.bury(connection) == []


def test_a_renewed_lease_does_not_run_out(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id, lease(seconds=-1))
    with books.database.transaction() as connection:
        assert rescue.renew(connection, [token], seconds=60) == 1
        assert rescue.bury(connection) == []


def test_poison_ends_what_cannot_be_done_and_keeps_what_was_paid(books: Books) -> None:
    attempt_id = books.collecting()
    with books.database.transaction() as connection:
        collection.lost(connection, attempt_id, token=None, failure=ScorerError("it kills"))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code) == ("failed", "scorer_error")
    assert books.attempt(attempt_id).hold_state == "charged"
    with pytest.raises(LostRace), books.database.transaction() as connection:
        collection.lost(connection, attempt_id, token=None, failure=ScorerError("again"))


def test_a_task_that_never_came_is_published_again_once(books: Books) -> None:
    attempt_id = books.admitted()
    with books.database.transaction() as connection:
        assert rescue.unclaimed(connection, older_than=A_MINUTE) == []
    books.sql("UPDATE attempts SET published_at = now() - interval '2 minutes'")
    with books.database.transaction() as connection:
        assert [work.attempt_id for work in rescue.unclaimed(connection, older_than=A_MINUTE)] == [attempt_id]
        assert rescue.unclaimed(connection, older_than=A_MINUTE) == []


def test_tasks_of_a_closed_lane_and_of_a_job_at_work_are_not_published(books: Books) -> None:
    generating = books.generating()
    books.admitted()
    books.sql("UPDATE attempts SET published_at = now() - interval '1 hour'")
    books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'x'")
    with books.database.transaction() as connection:
        assert rescue.unclaimed(connection, older_than=A_MINUTE) == []
    books.sql("UPDATE lanes SET closed_until = NULL, reason = NULL")
    with books.database.transaction() as connection:
        works = rescue.unclaimed(connection, older_than=A_MINUTE)
    assert generating not in {work.attempt_id for work in works}
    assert len(works) == 1


def test_rescue_passes_what_a_step_is_writing_right_now(books: Books) -> None:
    attempt_id = books.collecting()
    token = books.claim_collection(attempt_id)
    books.lapse()
    with books.database.transaction() as busy:
        polling.looked(busy, attempt_id, token=token, percent=1, next_look=A_MINUTE)
        busy.exec_driver_sql("SELECT 1 FROM attempts FOR UPDATE")
        with books.database.transaction() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            assert rescue.bury(connection) == []
            assert rescue.doubt_the_silent(connection, call_total=CALL) == []
            assert by_person.cancel_admitted(connection) == []


def test_a_failure_keeps_its_reason_though_a_cancel_was_asked_for(books: Books) -> None:
    attempt_id, token = books.submitting()
    _cancel(books, books.attempt(attempt_id).batch_id)
    with books.database.transaction() as connection:
        submission.refuse(connection, attempt_id, token=token, failure=ContentRefused("not that"))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code) == ("failed", "content_refused")
    assert generation.cancel_requested_at is not None


def test_what_a_person_asked_for_is_in_the_history(books: Books) -> None:
    books.lane(concurrency=1)
    batch = books.batch(2)
    (one,) = books.admit()
    token = books.claim(one.attempt_id)
    _cancel(books, batch)
    _cancel(books, batch)
    with books.database.transaction() as connection:
        submission.refuse(connection, one.attempt_id, token=token, failure=ContentRefused("not that"))
    _retry(books, batch, GenerationState.FAILED, GenerationState.CANCELED)
    (other,) = [row.id for row in books.rows(generations) if row.id != one.generation_id]
    with books.database.transaction() as connection:
        told = {
            at: [(row.actor, row.from_state, row.to_state, row.reason) for row in history.of(connection, at)]
            for at in (one.generation_id, other)
        }
    assert told[one.generation_id] == [
        ("a person", "submitting", "submitting", "a cancel was asked for"),
        ("a person", "failed", "queued", "asked for again after content_refused"),
    ]
    assert told[other] == [
        ("a person", "queued", "canceled", "a cancel was asked for"),
        ("a person", "canceled", "queued", "asked for again"),
    ]


def _unfit(books: Books, failure: LikenessError, **batch: Any) -> AttemptId:
    """An attempt whose pictures are stored and whose check has ended in `failure`."""
    attempt_id, _ = books.validating(**batch)
    with books.database.transaction() as connection:
        validation.unfit(connection, attempt_id, token=books.claim_validation(attempt_id), failure=failure)
    assert books.generation_of(attempt_id).state == "failed"
    return attempt_id


def _check_again(books: Books, batch_id: BatchId, *, reason: str | None = None) -> list[AttemptId]:
    with books.database.transaction() as connection:
        return [work.attempt_id for work in by_person.check_again(connection, batch_id, reason=reason)]


def test_what_failed_in_its_check_is_checked_again_and_not_made_again(books: Books) -> None:
    attempt_id = _unfit(books, ScorerError("the scorer is broken"))
    batch, cost = BatchId(books.attempt(attempt_id).batch_id), books.generation_of(attempt_id).cost
    assert _retry(books, batch, GenerationState.FAILED) == 0, "a retry that pays leaves it alone"
    assert _check_again(books, batch, reason="picture_lost") == []
    assert _check_again(books, batch, reason="scorer_error") == [attempt_id]
    generation, attempt = books.generation_of(attempt_id), books.attempt(attempt_id)
    assert (generation.state, generation.cost, generation.error_code) == ("validating", cost, None)
    assert (attempt.state, attempt.outcome, attempt.step_tries, attempt.number) == ("validating", None, 0, 1)
    assert _check_again(books, batch) == [], "once is enough"
    with books.database.transaction() as connection:
        (line,) = history.of(connection, generation.id)
    assert (line.from_state, line.to_state, line.actor) == ("failed", "validating", history.PERSON)
    assert "after scorer_error" in line.reason


def test_new_pictures_are_made_where_a_person_wants_them_anyway(books: Books) -> None:
    attempt_id = _unfit(books, ScorerError("the scorer is broken"))
    batch = BatchId(books.attempt(attempt_id).batch_id)
    with books.database.transaction() as connection:
        assert by_person.retry(connection, batch, states=[GenerationState.FAILED], anew=True) == 1
    assert books.counts(batch) == {"queued": 1}


def test_a_picture_that_cannot_be_scored_is_made_again_and_not_checked_again(books: Books) -> None:
    attempt_id = _unfit(books, UnfitPicture("it is no number"))
    batch = BatchId(books.attempt(attempt_id).batch_id)
    assert _check_again(books, batch) == []
    assert _retry(books, batch, GenerationState.FAILED) == 1


def test_only_the_last_try_of_a_generation_is_checked_again(books: Books) -> None:
    attempt_id = _unfit(books, ScorerError("the scorer is broken"))
    batch = BatchId(books.attempt(attempt_id).batch_id)
    with books.database.transaction() as connection:
        by_person.retry(connection, batch, states=[GenerationState.FAILED], anew=True)
    (again,) = books.admit()
    token = books.claim(again.attempt_id)
    with books.database.transaction() as connection:
        submission.refuse(connection, again.attempt_id, token=token, failure=ContentRefused("not that prompt"))
    assert _check_again(books, batch) == []
    assert _retry(books, batch, GenerationState.FAILED) == 1


def test_poison_that_is_checked_again_runs_alone(books: Books) -> None:
    attempt_id, _ = books.validating()
    books.sql("UPDATE attempts SET deaths = 3")
    with books.database.transaction() as connection:
        validation.unfit(connection, attempt_id, token=None, failure=Poison("three workers died"))
    assert _check_again(books, BatchId(books.attempt(attempt_id).batch_id)) == [attempt_id]
    assert books.attempt(attempt_id).deaths == 3
