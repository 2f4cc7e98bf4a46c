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
from tests.support.steps import PREPROCESSING, PRICE, StepRunner

Result = TypeVar("Result")


def _without_postgres(runner: StepRunner, *, at: int, loses: Loses = Loses.ALL, times: int = 1) -> StepRunner:
    flaky = Flaky(runner.resources.database, at=at, loses=loses, times=times)
    return replace(runner, resources=replace(runner.resources, database=flaky))


@pytest.mark.parametrize("loses", list(Loses))
def test_a_claim_of_which_nobody_knows_whether_it_stands_sends_nothing_and_leaves_no_doubt(
    runner: StepRunner, loses: Loses
) -> None:
    attempt_id = runner.admitted("a pig")
    # The look is the first transaction of a submission, the claim the second.
    assert _without_postgres(runner, at=2, loses=loses, times=2).submit(attempt_id) is None
    assert runner.charged() == []
    runner.books.lapse()
    runner.rescue()
    assert runner.books.generation_of(attempt_id).state in {"queued", "admitted"}
    runner.sent.take("submit")
    runner.due()
    runner.open_lanes()
    for published in [*runner.admit(), attempt_id]:
        submit.submit(runner.resources, published)
    assert len(runner.caller.bill()) == 1


def test_a_claim_that_was_doubted_while_postgres_was_away_is_settled_by_who_sent_nothing(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")

    class DoubtedMeanwhile(Flaky):
        """Away for longer than the lease and the call together."""

        def insist(self, write: Callable[[Connection], Result], *, seconds: float) -> Result:
            runner.books.lapse()
            runner.rescue()
            return super().insist(write, seconds=seconds)

    flaky = DoubtedMeanwhile(runner.resources.database, at=2, loses=Loses.THE_ANSWER)
    submit.submit(replace(runner.resources, database=flaky), attempt_id)
    assert runner.books.attempt(attempt_id).state == "finished"
    assert runner.books.generation_of(attempt_id).state == "queued"


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("fault", ["status:499", "refused:[Banned prompt detected]"])
def test_a_refusal_is_written_down_though_postgres_restarts(runner: StepRunner, fault: str, loses: Loses) -> None:
    attempt_id = runner.admitted("a pig")
    runner.caller.arm({"where": "submit", "what": fault})
    _without_postgres(runner, at=3, loses=loses).submit(attempt_id)
    assert runner.charged() == []
    assert runner.books.attempt(attempt_id).state == "finished"
    assert runner.lane().last_error is not None


@pytest.mark.parametrize("loses", list(Loses))
def test_an_unreachable_service_is_tried_again_though_postgres_restarts(runner: StepRunner, loses: Loses) -> None:
    attempt_id = runner.admitted("a pig")
    with open_lane("sandbox", "sandbox", base_url="http://127.0.0.1:9", key="k") as nobody:
        cut_off = replace(runner, resources=replace(runner.resources, lanes={"sandbox": nobody}))
        _without_postgres(cut_off, at=3, loses=loses).submit(attempt_id)
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.error_code) == ("admitted", "not_sent")
    runner.due()
    runner.submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "generating"


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("at", [1, 2], ids=["the claim", "the pictures"])
def test_an_outage_while_pictures_are_fetched_is_no_death(runner: StepRunner, at: int, loses: Loses) -> None:
    attempt_id = runner.collecting("a pig")
    flaky = _without_postgres(runner, at=at, loses=loses, times=2)
    again = collect.collect(flaky.resources, attempt_id, preprocessing=PREPROCESSING)
    assert isinstance(again, Again)
    runner.books.lapse()
    runner.rescue()
    row = runner.books.attempt(attempt_id)
    assert (row.deaths, row.lease_token) == (0, None)
    runner.due()
    runner.collect(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"
    assert runner.charged() == [PRICE]


@pytest.mark.parametrize("loses", list(Loses))
@pytest.mark.parametrize("at", [1, 2], ids=["the claim", "the verdicts"])
def test_an_outage_while_pictures_are_checked_is_no_death(runner: StepRunner, at: int, loses: Loses) -> None:
    attempt_id = runner.validating("a pig")
    flaky = _without_postgres(runner, at=at, loses=loses, times=2)
    assert isinstance(validate.validate(flaky.resources, attempt_id), Again)
    runner.books.lapse()
    runner.rescue()
    row = runner.books.attempt(attempt_id)
    assert (row.deaths, row.lease_token) == (0, None)
    runner.due()
    runner.validate(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"
