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
from tests.support.replicate_desk import FLUX, NANO, Desk, desk_of

GPT = "openai/gpt-image-2"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, list_page=2) as url:
        yield url


@pytest.fixture
def desk(database: Database, sandbox: str, sent: Sent, home: Path) -> Iterator[Desk]:
    with desk_of(database, url=sandbox, sent=sent, home=home) as opened:
        yield opened


def test_a_prompt_becomes_a_picture_at_the_price_of_the_catalogue(desk: Desk) -> None:
    (attempt_id,) = desk.submitted("a pink pig")
    assert desk.last_word(attempt_id).state == "collecting"
    done = desk.collected(attempt_id)
    assert (done.outcome, done.charged_usd) == ("completed", Decimal("0.15"))
    assert desk.books.generation_of(attempt_id).state == "completed"
    assert desk.bill() == [Decimal("0.15")]


@pytest.mark.parametrize(
    ("model", "said", "amount"), [(NANO, {"size": "4k"}, "0.30"), (GPT, {"quality": "High"}, "0.128")]
)
def test_a_maximum_is_not_got_round_by_another_spelling(
    desk: Desk, model: str, said: dict[str, str], amount: str
) -> None:
    with pytest.raises(LimitTooSmall, match=rf"can cost {re.escape(amount)} USD, more than the 0\.12 USD"):
        desk.planned("a pig", model=model, max_image_cost="0.12", **said)
    commit(desk.resources, desk.planned("a pig", model=model, **said))
    (attempt_id,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, attempt_id) is None
    told = desk.last_word(attempt_id)
    assert [told.hold_usd, told.charged_usd] == [Decimal(amount)] * 2 == desk.bill() * 2


def test_what_a_model_cannot_be_told_is_said_before_anything_is_enqueued(desk: Desk) -> None:
    planned = desk.planned("a pig", mode="relax", cref_weight=80)
    assert [warning for warning in planned.warnings if "has no cref_weight, mode;" in warning]
    with pytest.raises(BadInput, match="takes no negative prompt"):
        desk.planned("a pig", negative_prompt="mud")


@pytest.mark.parametrize("fault", ["drop_after", "truncated", "status:500_after", "html_after"])
def test_a_lost_reply_is_found_in_the_list_and_not_sent_again(desk: Desk, fault: str) -> None:
    desk.submitted("an older pig", "another older pig")
    desk.arm("submit", fault)
    (attempt_id,) = desk.submitted("a lost pig", model=FLUX)
    desk.submitted("a newer pig", "another newer pig", "and another")
    assert desk.states([attempt_id]) == ["in_doubt"]
    assert desk.settle() == 1
    adopted = desk.last_word(attempt_id)
    assert adopted.state == "collecting"
    assert desk.collected(attempt_id).charged_usd == Decimal("0.03")
    assert len(desk.bill()) == 6


@pytest.mark.parametrize("fault", ["drop_before", "status:500", "status:409"])
def test_a_create_that_never_arrived_is_proven_so_by_two_listings(desk: Desk, fault: str) -> None:
    desk.arm("submit", fault)
    (attempt_id,) = desk.submitted("a pig nobody heard of")
    assert desk.states([attempt_id]) == ["in_doubt"]
    assert desk.settle() == 0
    assert desk.settle() == 1
    released = desk.books.attempt(attempt_id)
    assert (released.state, released.hold_state) == ("finished", "released")
    (again,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, again) is None
    assert desk.last_word(again).state == "collecting"
    assert desk.bill() == [Decimal("0.15")]


def test_identical_lost_requests_take_one_job_each(desk: Desk) -> None:
    desk.arm("submit", "drop_after", count=2)
    attempts = desk.submitted("the same pig", "the same pig", "the same pig")
    assert sorted(desk.states(attempts)) == ["generating", "in_doubt", "in_doubt"]
    assert desk.settle() == 2
    jobs = [desk.books.attempt(attempt_id).job_id for attempt_id in attempts]
    assert None not in jobs
    assert len(set(jobs)) == 3
    assert len(desk.bill()) == 3


def test_a_list_that_has_forgotten_proves_nothing(desk: Desk) -> None:
    desk.arm("submit", "drop_after")
    (attempt_id,) = desk.submitted("a forgotten pig")
    desk.arm("list", "data_removed", count=None)
    for _ in range(3):
        assert desk.settle() == 0
    assert desk.states([attempt_id]) == ["in_doubt"]
    desk.clear()
    assert desk.settle() == 1
    assert desk.last_word(attempt_id).state == "collecting"


def test_what_other_models_were_asked_is_not_taken_for_ours(desk: Desk) -> None:
    desk.arm("submit", "drop_after")
    (lost,) = desk.submitted("the same pig", model="black-forest-labs/flux-kontext-pro")
    desk.books.sql("UPDATE attempts SET sent_prompt = replace(sent_prompt, 'kontext-pro', 'kontext-max')")
    assert (desk.settle(), desk.settle()) == (0, 1)
    assert desk.books.attempt(lost).hold_state == "released"


def test_a_listing_that_breaks_off_settles_nothing(desk: Desk) -> None:
    desk.arm("submit", "drop_before")
    (attempt_id,) = desk.submitted("a pig")
    for fault in ("status:503", "html", "truncated", "drop_before"):
        desk.arm("list", fault)
        assert desk.settle() == 0
    assert desk.books.attempt(attempt_id).absent_since is None
    assert desk.states([attempt_id]) == ["in_doubt"]


@pytest.mark.parametrize("fault", ["data_removed", "no_images"])
def test_a_success_without_a_picture_ends_lost_and_charged(desk: Desk, fault: str) -> None:
    (attempt_id,) = desk.submitted("a pig whose hour is over")
    desk.arm("fetch", fault, count=None)
    assert desk.last_word(attempt_id).state == "collecting"
    lost = desk.collected(attempt_id)
    assert (lost.outcome, lost.error_code, lost.charged_usd) == ("failed", "picture_lost", Decimal("0.15"))
    assert desk.books.generation_of(attempt_id).state == "failed"
    assert desk.bill() == [Decimal("0.15")]


def test_a_cancelled_prediction_is_charged_and_not_tried_again(desk: Desk) -> None:
    desk.arm("submit", "canceled")
    (attempt_id,) = desk.submitted("a stopped pig")
    assert desk.last_word(attempt_id).state == "collecting"
    lost = desk.collected(attempt_id)
    assert (lost.error_code, lost.charged_usd) == ("picture_lost", Decimal("0.15"))
    assert "does not say how much" in lost.error_message
    assert desk.bill() == [Decimal("0.15")]


def test_a_prediction_that_never_began_is_free_and_tried_again(desk: Desk) -> None:
    desk.arm("submit", "aborted")
    (attempt_id,) = desk.submitted("a pig that never began")
    free = desk.last_word(attempt_id)
    assert (free.state, free.hold_state, free.error_code) == ("finished", "released", "job_timed_out")
    desk.books.sql("UPDATE generations SET not_before = NULL")
    admit(desk.resources, "replicate")
    (again,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, again) is None
    assert desk.last_word(again).state == "collecting"
    assert sorted(desk.bill()) == [Decimal(0), Decimal("0.15")]


def test_a_sensitive_prompt_fails_free_and_for_good(desk: Desk) -> None:
    (attempt_id,) = desk.submitted("a naked pig")
    refused = desk.last_word(attempt_id)
    assert (refused.error_code, refused.hold_state) == ("content_refused", "released")
    assert desk.books.generation_of(attempt_id).state == "failed"
    assert desk.bill() == [Decimal(0)]


def test_an_account_that_is_slowed_down_closes_its_lane_for_as_long_as_it_says(desk: Desk) -> None:
    desk.arm("submit", "throttled:low_credit")
    (attempt_id,) = desk.submitted("a patient pig")
    assert desk.books.attempt(attempt_id).hold_state == "released"
    assert desk.books.generation_of(attempt_id).state == "queued"
    assert desk.bill() == []
