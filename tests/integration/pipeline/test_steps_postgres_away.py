"""Postgres goes away in the middle of a step: nothing sent is no doubt, and a worker that lives is no death."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from pipeline.attempts import collect, submit, validate
from pipeline.attempts.outcome import Again
from providers.registry import open_lane
from tests.support.outages import Flaky, Loses
from tests.support.steps import PREPROCESSING, PRICE, Bench

Result = TypeVar("Result")


def _without_postgres(bench: Bench, *, at: int, loses: Loses = Loses.ALL, times: int = 1) -> Bench:
    flaky = Flaky(bench.resources.database, at=at, loses=loses, times=times)
    return replace(bench, resources=replace(bench.resources, database=flaky))


@pytest.mark.parametrize("loses", list(Loses))
def test_a_claim_of_which_nobody_knows_whether_it_stands_sends_nothing_and_leaves_no_doubt(
    bench: Bench, loses: Loses
) -> None:
    attempt_id = bench.admitted("a pig")
    # The look is the first transaction of a submission, the claim the second.
    assert _without_postgres(bench, at=2, loses=loses, times=2).submit(attempt_id) is None
    assert bench.charged() == []
    bench.books.lapse()
    bench.rescue()
    assert bench.books.generation_of(attempt_id).state in {"queued", "admitted"}
    bench.sent.take("submit")
    bench.due()
    bench.open_lanes()
    for published in [*bench.admit(), attempt_id]:
        submit.submit(bench.resources, published)
    assert len(bench.caller.bill()) == 1


def test_a_claim_that_was_doubted_while_postgres_was_away_is_settled_by_who_sent_nothing(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")

    class DoubtedMeanwhile(Flaky):
        """Away for longer than the lease and the call together."""

        def insist(self, write: Callable[[Connection], Result], *, seconds: float) -> Result:
            bench.books.lapse()
            bench.rescue()
            return super().insist(write, seconds=seconds)

    flaky = DoubtedMeanwhile(bench.resources.database, at=2, loses=Loses.THE_ANSWER)
    submit.submit(replace(bench.resources, database=flaky), attempt_id)
    assert bench.books.attempt(attempt_id).state == "finished"
    assert bench.books.generation_of(attempt_id).state == "queued"


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("fault", ["status:499", "refused:[Banned prompt detected]"])
def test_a_refusal_is_written_down_though_postgres_restarts(bench: Bench, fault: str, loses: Loses) -> None:
    attempt_id = bench.admitted("a pig")
    bench.caller.arm({"where": "submit", "what": fault})
    _without_postgres(bench, at=3, loses=loses).submit(attempt_id)
    assert bench.charged() == []
    assert bench.books.attempt(attempt_id).state == "finished"
    assert bench.lane().last_error is not None


@pytest.mark.parametrize("loses", list(Loses))
def test_an_unreachable_service_is_tried_again_though_postgres_restarts(bench: Bench, loses: Loses) -> None:
    attempt_id = bench.admitted("a pig")
    with open_lane("sandbox", "sandbox", base_url="http://127.0.0.1:9", key="k") as nobody:
        cut_off = replace(bench, resources=replace(bench.resources, lanes={"sandbox": nobody}))
        _without_postgres(cut_off, at=3, loses=loses).submit(attempt_id)
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.error_code) == ("admitted", "not_sent")
    bench.due()
    bench.submit(attempt_id)
    assert bench.books.attempt(attempt_id).state == "generating"


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("at", [1, 2], ids=["the claim", "the pictures"])
def test_an_outage_while_pictures_are_fetched_is_no_death(bench: Bench, at: int, loses: Loses) -> None:
    attempt_id = bench.collecting("a pig")
    flaky = _without_postgres(bench, at=at, loses=loses, times=2)
    again = collect.collect(flaky.resources, attempt_id, preprocessing=PREPROCESSING)
    assert isinstance(again, Again)
    bench.books.lapse()
    bench.rescue()
    row = bench.books.attempt(attempt_id)
    assert (row.deaths, row.lease_token) == (0, None)
    bench.due()
    bench.collect(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "completed"
    assert bench.charged() == [PRICE]


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("at", [1, 2], ids=["the claim", "the verdicts"])
def test_an_outage_while_pictures_are_checked_is_no_death(bench: Bench, at: int, loses: Loses) -> None:
    attempt_id = bench.validating("a pig")
    flaky = _without_postgres(bench, at=at, loses=loses, times=2)
    assert isinstance(validate.validate(flaky.resources, attempt_id), Again)
    bench.books.lapse()
    bench.rescue()
    row = bench.books.attempt(attempt_id)
    assert (row.deaths, row.lease_token) == (0, None)
    bench.due()
    bench.validate(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "completed"
