"""While the provider works: who looks, what a look writes, and how a job ends."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from db.moves import by_person, polling
from db.records import batches
from domain.errors import ContentRefused, JobFailed, LostRace
from domain.ids import AttemptId, LeaseToken
from tests.support.books import A_MINUTE, HOLD, NOW, PRICE, Books, lease


def _claim(books: Books, *, limit: int = 10, lane: str = "sandbox") -> list[AttemptId]:
    with books.database.transaction() as connection:
        return [work.attempt_id for work in polling.claim_due(connection, lane, limit=limit, lease=lease())]


def test_a_due_job_is_claimed_by_one_sweep(books: Books) -> None:
    attempt_id = books.generating()
    assert _claim(books) == [attempt_id]
    assert _claim(books) == []


def test_a_sweep_takes_the_oldest_due_of_its_own_lane(books: Books) -> None:
    books.lane("other", provider="other")
    first, second, later = books.generating(), books.generating(), books.generating()
    books.sql("UPDATE attempts SET due_at = now() - interval '1 minute' WHERE id = :id", id=second)
    books.sql("UPDATE attempts SET due_at = now() + interval '1 minute' WHERE id = :id", id=later)
    assert _claim(books, lane="other") == []
    assert _claim(books, limit=1) == [second]
    assert _claim(books) == [first]


def test_two_sweeps_at_once_share_what_is_due_without_waiting(books: Books) -> None:
    wanted = {books.generating() for _ in range(4)}
    with books.database.transaction() as one, books.database.transaction() as other:
        mine = {work.attempt_id for work in polling.claim_due(one, "sandbox", limit=2, lease=lease())}
        theirs = {work.attempt_id for work in polling.claim_due(other, "sandbox", limit=10, lease=lease())}
    assert len(mine) == 2
    assert mine | theirs == wanted
    assert not mine & theirs


def test_a_lapsed_lease_does_not_keep_a_job_from_being_looked_at(books: Books) -> None:
    attempt_id = books.generating()
    _claim(books)
    books.lapse()
    assert _claim(books) == [attempt_id]


def test_a_look_sets_the_next_one_and_lets_go(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    with books.database.transaction() as connection:
        polling.looked(connection, attempt_id, token=token, percent=40, next_look=A_MINUTE)
    row = books.attempt(attempt_id)
    assert (row.percent, row.lease_token, row.state) == (40, None, "generating")
    assert _claim(books) == []
    with books.database.transaction() as connection:
        seconds = polling.seconds_to_next(connection, "sandbox")
    assert seconds is not None
    assert 0 < seconds <= 60


def test_a_look_that_says_nothing_keeps_the_progress_and_counts(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    with books.database.transaction() as connection:
        polling.looked(connection, attempt_id, token=token, percent=40, next_look=NOW)
    for silences in (1, 2):
        token = books.polled(attempt_id)
        with books.database.transaction() as connection:
            polling.silent(connection, attempt_id, token=token, next_look=NOW)
        assert books.attempt(attempt_id).step_tries == silences
    assert books.attempt(attempt_id).percent == 40


def test_without_jobs_there_is_no_next_look(books: Books) -> None:
    books.lane()
    with books.database.transaction() as connection:
        assert polling.seconds_to_next(connection, "sandbox") is None


def test_a_finished_job_is_charged_once_and_handed_on(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    books.make(attempt_id, token, charged=PRICE)
    row = books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.charged_usd, row.due_at) == ("collecting", "charged", PRICE, None)
    assert books.generation_of(attempt_id).cost == PRICE
    batch = books.row(row.batch_id)
    assert (batch.charged_usd, batch.held_usd) == (PRICE, 0)
    with pytest.raises(LostRace):
        books.make(attempt_id, token, charged=PRICE)
    assert books.row(row.batch_id).charged_usd == PRICE


def test_a_job_that_was_free_is_booked_as_free(books: Books) -> None:
    attempt_id = books.generating()
    books.make(attempt_id, books.polled(attempt_id), charged=Decimal(0))
    assert books.attempt(attempt_id).charged_usd == 0


def test_the_providers_words_are_kept_even_where_postgres_refuses_a_character(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    with books.database.transaction() as connection:
        polling.made(
            connection,
            attempt_id,
            token=token,
            result={"detail": {"pro\x00mpt": "half a pair \ud800", "list": ["\x00"]}},
            charged_usd=PRICE,
            said_by="said by the provider",
        )
    assert books.attempt(attempt_id).result["detail"]["list"] == ["�"]


def test_a_job_the_provider_gave_up_costs_nothing_and_is_tried_again(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    with books.database.transaction() as connection:
        polling.gave_up(connection, attempt_id, token=token, failure=JobFailed("busy"), wait=A_MINUTE)
    row, generation = books.attempt(attempt_id), books.generation_of(attempt_id)
    assert (row.outcome, row.hold_state, row.error_code) == ("failed", "released", "job_failed")
    assert (generation.state, generation.tries, generation.cost) == ("queued", 1, 0)
    assert books.admit() == [], "it waits before its next attempt"
    books.sql("UPDATE generations SET not_before = now()")
    (again,) = books.admit()
    assert books.attempt(again.attempt_id).number == 2


def test_a_job_the_provider_will_never_make_fails_for_its_reason(books: Books) -> None:
    attempt_id = books.generating()
    token = books.polled(attempt_id)
    with books.database.transaction() as connection:
        polling.gave_up(connection, attempt_id, token=token, failure=ContentRefused("banned"), wait=None)
    generation = books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "content_refused", 0)
    assert generation.completed_at is not None


def test_a_canceled_job_that_failed_is_not_tried_again(books: Books) -> None:
    attempt_id = books.generating()
    with books.database.transaction() as connection:
        assert by_person.request_cancel(connection, books.attempt(attempt_id).batch_id) == 1
    assert books.generation_of(attempt_id).state == "generating", "it runs to the provider's last word"
    token = books.polled(attempt_id)
    with books.database.transaction() as connection:
        polling.gave_up(connection, attempt_id, token=token, failure=JobFailed("busy"), wait=A_MINUTE)
    assert books.generation_of(attempt_id).state == "canceled"
    assert books.attempt(attempt_id).outcome == "canceled"


def test_no_look_is_written_under_a_strange_lease(books: Books) -> None:
    attempt_id = books.generating()
    books.polled(attempt_id)
    before, wrong = books.attempt(attempt_id), LeaseToken(uuid4())
    with books.database.transaction() as connection:
        polling.looked(connection, attempt_id, token=wrong, percent=99, next_look=timedelta(hours=1))
        polling.silent(connection, attempt_id, token=wrong, next_look=timedelta(hours=1))
    with pytest.raises(LostRace):
        books.make(attempt_id, wrong)
    with pytest.raises(LostRace), books.database.transaction() as connection:
        polling.gave_up(connection, attempt_id, token=wrong, failure=JobFailed("x"), wait=None)
    assert books.attempt(attempt_id) == before


def test_a_charge_above_its_hold_is_told_though_a_person_has_paused_the_batch(books: Books) -> None:
    attempt_id = books.generating()
    batch_id = books.attempt(attempt_id).batch_id
    with books.database.transaction() as connection:
        batches.pause(connection, batch_id, reason="lunch")
    books.make(attempt_id, books.polled(attempt_id), charged=HOLD + PRICE)
    said = books.row(batch_id).paused_reason
    assert said.startswith("lunch; ")
    assert "above its hold" in said


def test_a_charge_above_its_hold_is_booked_in_full_and_pauses_the_batch(books: Books) -> None:
    attempt_id = books.generating(limit="0.40")
    dear = HOLD * 2
    books.make(attempt_id, books.polled(attempt_id), charged=dear)
    batch = books.row(books.attempt(attempt_id).batch_id)
    assert batch.charged_usd == dear
    assert batch.paused_at is not None
    assert "above its hold" in batch.paused_reason
    assert str(attempt_id) in batch.paused_reason
