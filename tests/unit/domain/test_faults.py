"""When faults in a row are an outage, and what it means. Pure, so every case is tried."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from domain.errors import ContentRefused, JobFailed, JobTimedOut, LikenessError, NotSent, RateLimited
from domain.faults import FIRST_PAUSE, IN_A_ROW, LONGEST_PAUSE, LONGEST_RUN, LONGEST_WAIT, Fault, is_fault, outage
from domain.ids import GenerationId
from pipeline.resources import Timing

START = datetime(2026, 11, 26, tzinfo=UTC)


def _fault(generation: int, *, ended_s: float, took_s: float = 1.0) -> Fault:
    ended_at = START + timedelta(seconds=ended_s)
    return Fault(
        generation_id=GenerationId(UUID(int=generation)),
        began_at=ended_at - timedelta(seconds=took_s),
        ended_at=ended_at,
    )


def _run(*generations: int, every_s: float = 60.0) -> Sequence[Fault]:
    """One after the other, so that none was under way when another one ended."""
    return [_fault(one, ended_s=at * every_s) for at, one in enumerate(generations)]


def test_four_in_a_row_are_no_outage() -> None:
    assert outage(_run(1, 2, 3, 4)) is None


def test_the_fifth_in_a_row_closes_the_lane_and_is_not_counted() -> None:
    found = outage(_run(1, 2, 3, 4, 5))
    assert found is not None
    assert (found.faults, found.pause, found.closes, found.counts) == (5, FIRST_PAUSE, True, False)
    assert found.reason(JobFailed("[job_failed] FAILED: busy")) == (
        "repeated_faults: 5 attempts in a row failed at the provider, without a picture in between; it is tried again"
        " by itself, and no try is counted. The last: [job_failed] FAILED: busy"
    )


def test_a_prompt_that_fails_alone_is_no_outage_however_often_a_person_retries_it() -> None:
    assert outage(_run(*[1] * 50)) is None
    assert Timing().generation_tries < IN_A_ROW


def test_two_generations_that_fail_in_turn_are_one() -> None:
    assert outage(_run(1, 2, 1, 2)) is None
    assert outage(_run(1, 2, 1, 2, 1)) is not None


def test_what_was_under_way_when_the_lane_was_closed_is_not_counted_and_closes_nothing_again() -> None:
    run = [_fault(one, ended_s=60 + one, took_s=60) for one in range(1, 11)]
    for upto in range(6, 11):
        found = outage(run[:upto])
        assert found is not None
        assert (found.closes, found.counts, found.pause) == (False, False, FIRST_PAUSE)


def test_an_opened_lane_is_closed_again_by_five_more_for_twice_as_long_up_to_ten_minutes() -> None:
    pauses = []
    for upto in range(1, 41):
        found = outage(_run(*range(1, upto + 1)))
        if found is not None and found.closes:
            pauses.append(found.pause.total_seconds())
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    assert pauses[-1] == LONGEST_PAUSE.total_seconds()


def test_a_generation_that_failed_before_lets_the_others_go_first() -> None:
    found = outage(_run(1, 2, 3, 4, 5))
    assert found is not None
    assert [found.wait(number).total_seconds() for number in (1, 2, 3)] == [30, 60, 90]
    assert found.wait(1000) == LONGEST_WAIT


def test_a_run_of_more_than_a_day_counts_tries_again_and_still_closes_the_lane() -> None:
    within, beyond = (
        outage([_fault(0, ended_s=0), *(_fault(one, ended_s=age.total_seconds() + one / 10) for one in range(1, 5))])
        for age in (LONGEST_RUN - timedelta(seconds=1), LONGEST_RUN)
    )
    assert within is not None
    assert beyond is not None
    assert (within.counts, beyond.counts) == (False, True)
    assert within.closes
    assert beyond.closes


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (JobFailed("x"), True),
        (JobTimedOut("x"), True),
        (JobFailed("x", charged_usd=Decimal(1)), False),
        (ContentRefused("x"), False),
        (NotSent("x"), False),
        (RateLimited("x"), False),
    ],
)
def test_a_fault_is_the_provider_s_own_and_costs_nothing(failure: LikenessError, *, fault: bool) -> None:
    assert is_fault(failure) is fault
