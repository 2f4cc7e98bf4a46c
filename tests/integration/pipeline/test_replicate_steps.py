"""Attempts at Replicate, step by step: real Postgres, the real sandbox, and its bill to compare with.

There is no idempotency key, so a lost reply is settled by Replicate's own list.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from db.session import Database
from domain.errors import BadInput, LimitTooSmall
from pipeline.attempts import submit
from pipeline.attempts.admit import admit
from pipeline.intake.commit import commit
from sandbox.process import running
from tests.conftest import Sent
from tests.support.replicate_runner import FLUX, NANO, ReplicateRunner, runner_of

GPT = "openai/gpt-image-2"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, list_page=2) as url:
        yield url


@pytest.fixture
def runner(database: Database, sandbox: str, sent: Sent, home: Path) -> Iterator[ReplicateRunner]:
    with runner_of(database, url=sandbox, sent=sent, home=home) as opened:
        yield opened


def test_a_prompt_becomes_a_picture_at_the_price_of_the_catalogue(runner: ReplicateRunner) -> None:
    (attempt_id,) = runner.submitted("a pink pig")
    assert runner.last_word(attempt_id).state == "collecting"
    done = runner.collected(attempt_id)
    assert (done.outcome, done.charged_usd) == ("completed", Decimal("0.15"))
    assert runner.books.generation_of(attempt_id).state == "completed"
    assert runner.bill() == [Decimal("0.15")]


@pytest.mark.parametrize(
    ("model", "said", "amount"), [(NANO, {"size": "4k"}, "0.30"), (GPT, {"quality": "High"}, "0.128")]
)
def test_a_maximum_is_not_got_round_by_another_spelling(
    runner: ReplicateRunner, model: str, said: dict[str, str], amount: str
) -> None:
    with pytest.raises(LimitTooSmall, match=rf"can cost {re.escape(amount)} USD, more than the 0\.12 USD"):
        runner.planned("a pig", model=model, max_image_cost="0.12", **said)
    commit(runner.resources, runner.planned("a pig", model=model, **said))
    (attempt_id,) = runner.sent.take("submit")
    assert submit.submit(runner.resources, attempt_id) is None
    told = runner.last_word(attempt_id)
    assert [told.hold_usd, told.charged_usd] == [Decimal(amount)] * 2 == runner.bill() * 2


def test_what_a_model_cannot_be_told_is_said_before_anything_is_enqueued(runner: ReplicateRunner) -> None:
    planned = runner.planned("a pig", mode="relax", cref_weight=80)
    assert [warning for warning in planned.warnings if "has no cref_weight, mode;" in warning]
    with pytest.raises(BadInput, match="takes no negative prompt"):
        runner.planned("a pig", negative_prompt="mud")


@pytest.mark.parametrize("fault", ["drop_after", "truncated", "status:500_after", "html_after"])
def test_a_lost_reply_is_found_in_the_list_and_not_sent_again(runner: ReplicateRunner, fault: str) -> None:
    runner.submitted("an older pig", "another older pig")
    runner.arm("submit", fault)
    (attempt_id,) = runner.submitted("a lost pig", model=FLUX)
    runner.submitted("a newer pig", "another newer pig", "and another")
    assert runner.states([attempt_id]) == ["in_doubt"]
    assert runner.settle() == 1
    adopted = runner.last_word(attempt_id)
    assert adopted.state == "collecting"
    assert runner.collected(attempt_id).charged_usd == Decimal("0.03")
    assert len(runner.bill()) == 6


@pytest.mark.parametrize("fault", ["drop_before", "status:500", "status:409"])
def test_a_create_that_never_arrived_is_proven_so_by_two_listings(runner: ReplicateRunner, fault: str) -> None:
    runner.arm("submit", fault)
    (attempt_id,) = runner.submitted("a pig nobody heard of")
    assert runner.states([attempt_id]) == ["in_doubt"]
    assert runner.settle() == 0
    assert runner.settle() == 1
    released = runner.books.attempt(attempt_id)
    assert (released.state, released.hold_state) == ("finished", "released")
    (again,) = runner.sent.take("submit")
    assert submit.submit(runner.resources, again) is None
    assert runner.last_word(again).state == "collecting"
    assert runner.bill() == [Decimal("0.15")]


def test_identical_lost_requests_take_one_job_each(runner: ReplicateRunner) -> None:
    runner.arm("submit", "drop_after", count=2)
    attempts = runner.submitted("the same pig", "the same pig", "the same pig")
    assert sorted(runner.states(attempts)) == ["generating", "in_doubt", "in_doubt"]
    assert runner.settle() == 2
    jobs = [runner.books.attempt(attempt_id).job_id for attempt_id in attempts]
    assert None not in jobs
    assert len(set(jobs)) == 3
    assert len(runner.bill()) == 3


def test_a_list_that_has_forgotten_proves_nothing(runner: ReplicateRunner) -> None:
    runner.arm("submit", "drop_after")
    (attempt_id,) = runner.submitted("a forgotten pig")
    runner.arm("list", "data_removed", count=None)
    for _ in range(3):
        assert runner.settle() == 0
    assert runner.states([attempt_id]) == ["in_doubt"]
    runner.clear()
    assert runner.settle() == 1
    assert runner.last_word(attempt_id).state == "collecting"


def test_what_other_models_were_asked_is_not_taken_for_ours(runner: ReplicateRunner) -> None:
    runner.arm("submit", "drop_after")
    (lost,) = runner.submitted("the same pig", model="black-forest-labs/flux-kontext-pro")
    runner.books.sql("UPDATE attempts SET sent_prompt = replace(sent_prompt, 'kontext-pro', 'kontext-max')")
    assert (runner.settle(), runner.settle()) == (0, 1)
    assert runner.books.attempt(lost).hold_state == "released"


def test_a_listing_that_breaks_off_settles_nothing(runner: ReplicateRunner) -> None:
    runner.arm("submit", "drop_before")
    (attempt_id,) = runner.submitted("a pig")
    for fault in ("status:503", "html", "truncated", "drop_before"):
        runner.arm("list", fault)
        assert runner.settle() == 0
    assert runner.books.attempt(attempt_id).absent_since is None
    assert runner.states([attempt_id]) == ["in_doubt"]


@pytest.mark.parametrize("fault", ["data_removed", "no_images"])
def test_a_success_without_a_picture_ends_lost_and_charged(runner: ReplicateRunner, fault: str) -> None:
    (attempt_id,) = runner.submitted("a pig whose hour is over")
    runner.arm("fetch", fault, count=None)
    assert runner.last_word(attempt_id).state == "collecting"
    lost = runner.collected(attempt_id)
    assert (lost.outcome, lost.error_code, lost.charged_usd) == ("failed", "picture_lost", Decimal("0.15"))
    assert runner.books.generation_of(attempt_id).state == "failed"
    assert runner.bill() == [Decimal("0.15")]


def test_a_cancelled_prediction_is_charged_and_not_tried_again(runner: ReplicateRunner) -> None:
    runner.arm("submit", "canceled")
    (attempt_id,) = runner.submitted("a stopped pig")
    assert runner.last_word(attempt_id).state == "collecting"
    lost = runner.collected(attempt_id)
    assert (lost.error_code, lost.charged_usd) == ("picture_lost", Decimal("0.15"))
    assert "does not say how much" in lost.error_message
    assert runner.bill() == [Decimal("0.15")]


def test_a_prediction_that_never_began_is_free_and_tried_again(runner: ReplicateRunner) -> None:
    runner.arm("submit", "aborted")
    (attempt_id,) = runner.submitted("a pig that never began")
    free = runner.last_word(attempt_id)
    assert (free.state, free.hold_state, free.error_code) == ("finished", "released", "job_timed_out")
    runner.books.sql("UPDATE generations SET not_before = NULL")
    admit(runner.resources, "replicate")
    (again,) = runner.sent.take("submit")
    assert submit.submit(runner.resources, again) is None
    assert runner.last_word(again).state == "collecting"
    assert sorted(runner.bill()) == [Decimal(0), Decimal("0.15")]


def test_a_sensitive_prompt_fails_free_and_for_good(runner: ReplicateRunner) -> None:
    (attempt_id,) = runner.submitted("a naked pig")
    refused = runner.last_word(attempt_id)
    assert (refused.error_code, refused.hold_state) == ("content_refused", "released")
    assert runner.books.generation_of(attempt_id).state == "failed"
    assert runner.bill() == [Decimal(0)]


def test_an_account_that_is_slowed_down_closes_its_lane_for_as_long_as_it_says(runner: ReplicateRunner) -> None:
    runner.arm("submit", "throttled:low_credit")
    (attempt_id,) = runner.submitted("a patient pig")
    assert runner.books.attempt(attempt_id).hold_state == "released"
    assert runner.books.generation_of(attempt_id).state == "queued"
    assert runner.bill() == []
