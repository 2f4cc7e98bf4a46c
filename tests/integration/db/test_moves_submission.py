"""From admitted to generating: each move, when it is lawful, and what it does to the money."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from db.moves import by_person, grouped, submission
from db.schema import ledger_entries
from domain.errors import ContentRefused, LostRace, MaybeSent, NotSent, QueueFull, RequestRefused
from domain.ids import AttemptId, LeaseToken
from tests.support.books import A_MINUTE, HOLD, NOW, Books, lease


def _wrong() -> LeaseToken:
    return LeaseToken(uuid4())


def _cancel(books: Books, attempt_id: AttemptId) -> None:
    with books.database.transaction() as connection:
        by_person.request_cancel(connection, books.attempt(attempt_id).batch_id)


def test_an_intent_is_written_with_its_lease_before_anything_leaves(books: Books) -> None:
    attempt_id, token = books.submitting()
    row = books.attempt(attempt_id)
    assert (row.state, row.lease_token, row.sent_prompt, row.step_tries) == ("submitting", token, "as sent", 1)
    assert row.intent_at is not None
    assert row.lease_until is not None
    assert row.hold_state == "held"
    assert books.generation_of(attempt_id).status == "processing"


def test_only_one_worker_claims_an_attempt(books: Books) -> None:
    attempt_id, token = books.submitting()
    with pytest.raises(LostRace), books.database.transaction() as connection:
        submission.claim(connection, attempt_id, lease=lease(), sent_prompt="another")
    assert books.attempt(attempt_id).lease_token == token


def test_a_claimed_attempt_is_not_looked_at_again(books: Books) -> None:
    attempt_id = books.admitted()
    with books.database.transaction() as connection:
        assert grouped.read_admitted(connection, [attempt_id])[0] is not None
    books.claim(attempt_id)
    with books.database.transaction() as connection:
        assert grouped.read_admitted(connection, [attempt_id])[0] is None


def test_an_early_copy_of_a_retry_does_not_jump_the_wait(books: Books) -> None:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.again(connection, attempt_id, token=token, failure=NotSent("refused"), wait=A_MINUTE)
    with books.database.transaction() as connection:
        assert grouped.read_admitted(connection, [attempt_id])[0] is None
    books.sql("UPDATE attempts SET published_at = now()")
    with books.database.transaction() as connection:
        assert grouped.read_admitted(connection, [attempt_id])[0] is not None


def test_a_job_id_is_stored_and_the_first_look_is_due(books: Books) -> None:
    attempt_id = books.generating()
    row = books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.lease_token, row.step_tries) == ("generating", "held", None, 0)
    assert row.job_id == f"job-{attempt_id}"
    assert row.due_at is not None
    assert row.deadline_at is not None


def test_storing_the_same_job_id_again_changes_nothing(books: Books) -> None:
    attempt_id, token = books.submitting()
    books.accept(attempt_id, token)
    before = books.attempt(attempt_id)
    books.accept(attempt_id, token)
    assert books.attempt(attempt_id) == before


def test_a_job_of_a_lapsed_lease_is_still_stored_while_nobody_has_doubted(books: Books) -> None:
    attempt_id, token = books.submitting()
    books.lapse(seconds=5)
    books.accept(attempt_id, token)
    assert books.attempt(attempt_id).state == "generating"


def test_two_attempts_never_own_the_same_job(books: Books) -> None:
    first, first_token = books.submitting()
    second, second_token = books.submitting()
    books.accept(first, first_token, job_id="the job")
    with pytest.raises(LostRace, match="another attempt"):
        books.accept(second, second_token, job_id="the job")
    assert books.attempt(second).state == "submitting"


def test_a_try_that_never_left_keeps_its_hold_and_its_place(books: Books) -> None:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        assert submission.again(connection, attempt_id, token=token, failure=NotSent("refused"), wait=A_MINUTE)
    row = books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.error_code, row.intent_at) == ("admitted", "held", "not_sent", None)
    assert row.step_tries == 1


def test_a_cancel_wins_over_another_try(books: Books) -> None:
    attempt_id, token = books.submitting()
    _cancel(books, attempt_id)
    with books.database.transaction() as connection:
        assert not submission.again(connection, attempt_id, token=token, failure=NotSent("refused"), wait=A_MINUTE)
    assert books.attempt(attempt_id).outcome == "canceled"
    assert books.generation_of(attempt_id).state == "canceled"


@pytest.mark.parametrize("claimed", [False, True])
def test_what_never_reached_the_provider_goes_back_and_costs_no_try(books: Books, *, claimed: bool) -> None:
    attempt_id = books.admitted()
    token = books.claim(attempt_id) if claimed else None
    with books.database.transaction() as connection:
        submission.give_back(connection, attempt_id, token=token, failure=QueueFull("499"), wait=A_MINUTE)
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.tries) == ("queued", "queue_full", 0)
    assert generation.not_before is not None
    row = books.attempt(attempt_id)
    assert (row.state, row.outcome, row.hold_state) == ("finished", "given_back", "released")


def test_a_claimed_attempt_cannot_be_given_back_by_a_stranger(books: Books) -> None:
    attempt_id, _ = books.submitting()
    for token in (None, _wrong()):
        with pytest.raises(LostRace), books.database.transaction() as connection:
            submission.give_back(connection, attempt_id, token=token, failure=QueueFull("499"))


def test_a_call_that_costs_more_than_its_hold_waits_for_a_larger_one(books: Books) -> None:
    attempt_id = books.admitted(limit=2 * HOLD)
    with books.database.transaction() as connection:
        reached = submission.hold_more(
            connection, attempt_id, failure=NotSent("dearer"), hold_usd=2 * HOLD, price_usd=HOLD
        )
    row, generation = books.attempt(attempt_id), books.generation_of(attempt_id)
    assert (reached, row.outcome, row.hold_state, row.hold_usd) == ("queued", "given_back", "released", HOLD)
    assert (generation.hold_usd, generation.price_usd, generation.tries) == (2 * HOLD, HOLD, 0)
    (again,) = books.admit()
    assert books.attempt(again.attempt_id).hold_usd == 2 * HOLD
    books.claim(again.attempt_id)
    with pytest.raises(LostRace), books.database.transaction() as connection:
        submission.hold_more(connection, again.attempt_id, failure=NotSent("dearer"), hold_usd=3 * HOLD, price_usd=HOLD)
    assert books.generation_of(attempt_id).hold_usd == 2 * HOLD


def test_the_intent_says_what_the_request_costs(books: Books) -> None:
    one, other = books.admitted(), books.admitted()
    with books.database.transaction() as connection:
        submission.claim(connection, one, lease=lease(), sent_prompt="as sent", price_usd=HOLD / 4)
        submission.claim(connection, other, lease=lease(), sent_prompt="as sent")
    assert books.attempt(one).price_usd == HOLD / 4
    assert books.attempt(other).price_usd == books.generation_of(other).price_usd


def test_a_given_back_attempt_of_a_canceled_generation_is_canceled(books: Books) -> None:
    attempt_id, token = books.submitting()
    _cancel(books, attempt_id)
    with books.database.transaction() as connection:
        submission.give_back(connection, attempt_id, token=token, failure=QueueFull("499"))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.not_before) == ("canceled", None, None)


def test_a_refusal_fails_the_generation_and_costs_nothing(books: Books) -> None:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.refuse(connection, attempt_id, token=token, failure=ContentRefused("[Banned\x00 prompt]"))
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "content_refused", 0)
    assert generation.status == "failed"
    assert "\x00" not in generation.error_message
    assert books.attempt(attempt_id).hold_state == "released"


def test_a_refusal_before_the_intent_never_hits_a_claimed_attempt(books: Books) -> None:
    """A second copy of the message that finds the request unfit must not end an attempt that is being posted."""
    attempt_id, _ = books.submitting()
    with pytest.raises(LostRace), books.database.transaction() as connection:
        submission.refuse(connection, attempt_id, token=None, failure=RequestRefused("no address"))
    assert books.attempt(attempt_id).state == "submitting"


def test_a_lost_reply_keeps_its_money_in_doubt(books: Books) -> None:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("lost"))
    row = books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.error_code) == ("in_doubt", "in_doubt", "maybe_sent")
    batch = books.row(row.batch_id)
    assert (batch.held_usd, batch.in_doubt_usd, batch.charged_usd) == (0, HOLD, 0)


def test_a_found_job_ends_the_doubt(books: Books) -> None:
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("lost"))
    for _ in range(2):  # a second time, as after an answer of Postgres that got lost
        with books.database.transaction() as connection:
            submission.adopt(connection, attempt_id, job_id="found", first_look=NOW, deadline=A_MINUTE)
    row = books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.job_id, row.error_code) == ("generating", "held", "found", None)
    kinds = [line.kind for line in books.rows(ledger_entries)]
    assert kinds == ["hold", "doubt", "hold"]


def test_only_a_doubt_adopts_a_job(books: Books) -> None:
    attempt_id, _ = books.submitting()
    with pytest.raises(LostRace), books.database.transaction() as connection:
        submission.adopt(connection, attempt_id, job_id="found", first_look=NOW, deadline=A_MINUTE)


def _again(books: Books, attempt_id: AttemptId, token: LeaseToken) -> None:
    with books.database.transaction() as connection:
        submission.again(connection, attempt_id, token=token, failure=NotSent("x"), wait=timedelta(seconds=1))


def _refuse(books: Books, attempt_id: AttemptId, token: LeaseToken) -> None:
    with books.database.transaction() as connection:
        submission.refuse(connection, attempt_id, token=token, failure=ContentRefused("x"))


def _doubt(books: Books, attempt_id: AttemptId, token: LeaseToken) -> None:
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("x"))


def _accept(books: Books, attempt_id: AttemptId, token: LeaseToken) -> None:
    books.accept(attempt_id, token)


_RESULTS = [_again, _refuse, _doubt, _accept]


@pytest.mark.parametrize("write", _RESULTS)
def test_no_result_is_written_under_a_lease_that_is_not_the_rows(
    books: Books, write: Callable[[Books, AttemptId, LeaseToken], None]
) -> None:
    attempt_id, token = books.submitting()
    before = books.attempt(attempt_id)
    with pytest.raises(LostRace):
        write(books, attempt_id, _wrong())
    assert books.attempt(attempt_id) == before
    write(books, attempt_id, token)
    after = books.attempt(attempt_id)
    with suppress(LostRace):  # the same job id again is harmless, and says so
        write(books, attempt_id, _wrong())
    assert books.attempt(attempt_id) == after


@pytest.mark.parametrize("write", _RESULTS)
def test_no_result_is_written_for_an_attempt_that_nobody_claimed(
    books: Books, write: Callable[[Books, AttemptId, LeaseToken], None]
) -> None:
    attempt_id = books.admitted()
    with pytest.raises(LostRace):
        write(books, attempt_id, _wrong())
    assert books.attempt(attempt_id).state == "admitted"


def test_what_a_person_canceled_is_not_claimed_any_more(books: Books) -> None:
    attempt_id = books.admitted()
    _cancel(books, attempt_id)
    with pytest.raises(LostRace):
        books.claim(attempt_id)
    with books.database.transaction() as connection:
        by_person.cancel_admitted(connection)
    assert books.generation_of(attempt_id).state == "canceled"
    assert books.row(books.attempt(attempt_id).batch_id).held_usd == Decimal(0)
