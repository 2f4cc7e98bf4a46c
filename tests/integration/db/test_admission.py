"""Who is admitted: places, money, fair shares, and what a batch out of money is told."""

from collections import Counter
from decimal import Decimal

import pytest

from db.moves import admission, by_person, submission
from db.records import batches, lanes
from db.schema import strides
from domain.errors import BadInput, ContentRefused, MaybeSent, NotSent, QueueFull
from domain.ids import AttemptId, BatchId, LeaseToken
from tests.support.books import A_MINUTE, HOLD, Books


def _shares(books: Books, rounds: int) -> Counter[BatchId]:
    """Who gets the one place of the lane, round after round; what is admitted is given back at once."""
    got: Counter[BatchId] = Counter()
    for _ in range(rounds):
        (one,) = books.admit()
        row = books.attempt(one.attempt_id)
        got[row.batch_id] += 1
        books.make(one.attempt_id, _to_provider(books, one.attempt_id))
    return got


def _to_provider(books: Books, attempt_id: AttemptId) -> LeaseToken:
    books.accept(attempt_id, books.claim(attempt_id))
    return books.polled(attempt_id)


def test_an_admitted_generation_has_an_attempt_a_hold_and_a_place(books: Books) -> None:
    books.lane(concurrency=2)
    batch = books.batch(3)
    admitted = books.admit()
    assert len(admitted) == 2
    row = books.attempt(admitted[0].attempt_id)
    assert (row.state, row.hold_usd, row.hold_state, row.number, row.lane) == ("admitted", HOLD, "held", 1, "sandbox")
    assert row.published_at is not None
    assert books.row(batch).held_usd == 2 * HOLD
    assert books.counts(batch) == {"admitted": 2, "queued": 1}
    assert books.admit() == []


def test_rows_go_in_the_order_of_their_file(books: Books) -> None:
    books.lane(concurrency=2)
    books.batch(5)
    first = [books.generation(one.generation_id).position for one in books.admit()]
    assert sorted(first) == [0, 1]


@pytest.mark.parametrize("state", ["admitted", "submitting", "in_doubt", "generating"])
def test_a_job_keeps_its_place_while_it_may_be_at_the_provider(books: Books, state: str) -> None:
    books.lane(concurrency=1)
    books.batch(2)
    (one,) = books.admit()
    if state != "admitted":
        token = books.claim(one.attempt_id)
        if state == "generating":
            books.accept(one.attempt_id, token)
        if state == "in_doubt":
            with books.database.transaction() as connection:
                submission.doubt(connection, one.attempt_id, token=token, failure=QueueFull("lost"))
    assert books.admit() == []


def test_collecting_frees_the_place(books: Books) -> None:
    books.lane(concurrency=1)
    books.batch(2)
    (one,) = books.admit()
    books.make(one.attempt_id, _to_provider(books, one.attempt_id))
    assert len(books.admit()) == 1


def test_no_more_is_admitted_than_the_rate_carries_away_soon(books: Books) -> None:
    books.lane(concurrency=10)
    books.batch(10)
    assert len(books.admit(places={"sandbox": 3})) == 3
    assert books.admit(places={"sandbox": 3}) == []
    books.sql("UPDATE attempts SET state = 'admitted'")
    books.claim(books.live()[0].id)
    assert len(books.admit(places={"sandbox": 3})) == 1


def test_a_closed_lane_is_given_nothing_and_an_open_one_everything(books: Books) -> None:
    books.lane("one")
    books.lane("two")
    books.batch(12)
    with books.database.transaction() as connection:
        lanes.close(connection, "one", reason="429", wait=A_MINUTE)
    assert {one.lane for one in books.admit()} == {"two"}
    with books.database.transaction() as connection:
        lanes.reopen(connection, "one")
    assert {one.lane for one in books.admit()} == {"one"}


def test_the_emptier_lane_is_chosen(books: Books) -> None:
    books.lane("one", concurrency=6)
    books.lane("two", concurrency=6)
    books.batch(6)
    assert Counter(one.lane for one in books.admit()) == {"one": 3, "two": 3}


def test_providers_do_not_take_from_each_other(books: Books) -> None:
    books.lane("one", provider="one", concurrency=1)
    books.lane("two", provider="two", concurrency=1)
    books.batch(2, name="mixed", provider="one")
    books.batch(2, name="mixed", provider="two")
    assert [one.lane for one in books.admit("one")] == ["one"]
    assert [one.lane for one in books.admit("two")] == ["two"]
    assert books.admit("nobody") == []


def test_a_generation_waits_until_its_time(books: Books) -> None:
    books.lane()
    books.batch(2)
    books.sql("UPDATE generations SET not_before = now() + interval '1 hour' WHERE position = 0")
    (one,) = books.admit()
    assert books.generation(one.generation_id).position == 1


def test_the_limit_is_met_and_never_passed(books: Books) -> None:
    books.lane()
    batch = books.batch(10, limit="1.99")
    assert len(books.admit()) == 4
    row = books.row(batch)
    assert row.held_usd == Decimal("1.60")
    assert row.stopped_reason is None, "something is live"


def test_money_that_was_held_and_not_spent_goes_on_to_others(books: Books) -> None:
    books.lane()
    batch = books.batch(10, limit="0.80")
    first, second = books.admit()
    for one in (first, second):
        books.make(one.attempt_id, _to_provider(books, one.attempt_id))
    assert books.row(batch).charged_usd == Decimal("0.04")
    assert len(books.admit()) == 1


def test_doubted_money_counts_against_the_limit(books: Books) -> None:
    books.lane()
    batch = books.batch(3, limit="0.40")
    (one,) = books.admit()
    token = books.claim(one.attempt_id)
    with books.database.transaction() as connection:
        submission.doubt(connection, one.attempt_id, token=token, failure=QueueFull("lost"))
    assert books.admit() == []
    row = books.row(batch)
    assert (row.in_doubt_usd, row.stopped_reason) == (HOLD, None)


def test_a_batch_is_stopped_when_nothing_is_live_and_the_next_hold_does_not_fit(books: Books) -> None:
    books.lane()
    batch = books.batch(3, limit="0.41")
    (one,) = books.admit()
    assert books.admit() == []
    assert books.row(batch).stopped_reason is None
    books.make(one.attempt_id, _to_provider(books, one.attempt_id))
    books.collect(one.attempt_id, books.claim_collection(one.attempt_id))
    assert books.admit() == []
    assert books.row(batch).stopped_reason == "budget"
    assert books.counts(batch) == {"completed": 1, "queued": 2}


def test_a_raised_limit_lets_a_stopped_batch_go_on(books: Books) -> None:
    books.lane()
    batch = books.batch(3, limit="0.39", name="too small")
    assert books.admit() == []
    assert books.row(batch).stopped_reason == "budget"
    with books.database.transaction() as connection:
        batches.set_limit(connection, batch, Decimal("0.80"))
    assert books.row(batch).stopped_reason is None
    assert len(books.admit()) == 2
    with books.database.transaction() as connection:
        batches.set_limit(connection, batch, None)
    assert len(books.admit()) == 1


def test_a_limit_given_again_at_enqueue_lets_a_stopped_batch_go_on(books: Books) -> None:
    books.lane()
    batch = books.batch(3, limit="0.39", name="again")
    books.admit()
    assert books.batch(0, limit="0.40", name="again") == batch
    assert books.row(batch).stopped_reason is None
    assert len(books.admit()) == 1


def test_a_lowered_limit_takes_nothing_back_and_admits_no_more(books: Books) -> None:
    books.lane(concurrency=2)
    batch = books.batch(5, limit="4", name="lowered")
    assert len(books.admit()) == 2
    with books.database.transaction() as connection:
        batches.set_limit(connection, batch, Decimal("0.10"))
    books.sql("UPDATE lanes SET concurrency = 10")
    assert books.admit() == []
    assert books.row(batch).held_usd == 2 * HOLD


@pytest.mark.parametrize("limit", [Decimal(0), Decimal(-1)])
def test_a_limit_must_be_above_zero(books: Books, limit: Decimal) -> None:
    batch = books.batch(1)
    with pytest.raises(BadInput), books.database.transaction() as connection:
        batches.set_limit(connection, batch, limit)


def test_a_batch_out_of_money_does_not_hold_up_the_others(books: Books) -> None:
    books.lane(concurrency=3)
    poor = books.batch(10, limit="0.40")
    rich = books.batch(10)
    admitted = books.admit()
    assert Counter(books.attempt(one.attempt_id).batch_id for one in admitted) == {poor: 1, rich: 2}


def test_a_small_batch_shares_the_lane_with_a_large_one_from_the_start(books: Books) -> None:
    books.lane(concurrency=10)
    large = books.batch(10_000)
    assert len(books.admit()) == 10
    small = books.batch(10)
    books.sql("UPDATE lanes SET concurrency = 20")
    got = Counter(books.attempt(one.attempt_id).batch_id for one in books.admit())
    assert got == {large: 5, small: 5}


def test_a_newcomer_gets_the_next_place_but_one(books: Books) -> None:
    books.lane(concurrency=1)
    books.batch(100)
    _shares(books, 7)
    newcomer = books.batch(5)
    assert _shares(books, 2)[newcomer] == 1


def test_shares_follow_priority(books: Books) -> None:
    books.lane(concurrency=1)
    one = books.batch(60)
    three = books.batch(60, priority=3)
    got = _shares(books, 40)
    assert abs(got[three] - 30) <= 1
    assert got[one] + got[three] == 40


def test_an_idle_batch_gets_no_credit_for_the_past(books: Books) -> None:
    books.lane(concurrency=1)
    idle = books.batch(50)
    _shares(books, 1)
    with books.database.transaction() as connection:
        batches.pause(connection, idle, reason="idle")
    busy = books.batch(100)
    _shares(books, 30)
    with books.database.transaction() as connection:
        batches.resume(connection, idle)
    got = _shares(books, 10)
    assert abs(got[idle] - got[busy]) <= 2


def test_a_batch_that_ran_alone_is_not_punished_for_it(books: Books) -> None:
    books.lane(concurrency=1)
    alone = books.batch(60)
    _shares(books, 30)
    other = books.batch(60)
    got = _shares(books, 20)
    assert abs(got[alone] - got[other]) <= 2


def test_the_virtual_times_of_competing_batches_stay_within_one_turn(books: Books) -> None:
    books.lane(concurrency=3)
    for priority in (1, 2, 5):
        books.batch(200, priority=priority)
    for _ in range(15):
        for one in books.admit():
            books.make(one.attempt_id, _to_provider(books, one.attempt_id))
        passes = [row._mapping["pass"] for row in books.rows(strides)]
        assert max(passes) - min(passes) <= 1.0 + 1e-9


def test_what_is_being_canceled_right_now_is_passed_over(books: Books) -> None:
    books.lane()
    batch = books.batch(3)
    other = books.batch(2)
    with books.database.transaction() as busy:
        by_person.request_cancel(busy, batch)
        with books.database.transaction() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            admitted = admission.admit(connection, "sandbox", places_by_rate={})
    assert {books.attempt(one.attempt_id).batch_id for one in admitted} == {other}
    assert books.counts(batch) == {"canceled": 3}
    assert books.row(batch).held_usd == 0


def test_illegal_prompts_of_a_day_and_places_in_flight_stay_below_the_limit_together(books: Books) -> None:
    books.lane(concurrency=40)
    books.batch(60)
    first = books.admit(most_at_risk=28)
    assert len(first) == 28
    illegal = ContentRefused("no", illegal_prompt=True)
    with books.database.transaction() as connection:
        for one in first[:5]:
            submission.refuse(connection, one.attempt_id, token=None, failure=illegal)
    assert books.admit(most_at_risk=28) == []
    with books.database.transaction() as connection:
        for one in first[5:8]:
            submission.give_back(connection, one.attempt_id, token=None, failure=NotSent("closed"))
    assert len(books.admit(most_at_risk=28)) == 3
    books.sql("UPDATE attempts SET finished_at = finished_at - interval '25 hours' WHERE illegal_prompt")
    assert len(books.admit(most_at_risk=28)) == 5


def test_an_old_doubt_may_yet_have_been_illegal(books: Books) -> None:
    """It takes no place any more, but its strike may stand at the provider alone."""
    books.lane(concurrency=3)
    attempt_id, token = books.submitting()
    with books.database.transaction() as connection:
        submission.doubt(connection, attempt_id, token=token, failure=MaybeSent("lost"))
    books.sql("UPDATE attempts SET intent_at = now() - interval '23 hours'")
    books.batch(10)
    assert len(books.admit(most_at_risk=2)) == 1
    books.sql("UPDATE attempts SET intent_at = now() - interval '25 hours' WHERE state = 'in_doubt'")
    assert len(books.admit(most_at_risk=2)) == 1
