"""Attempts at OpenAI, step by step: real Postgres, a real store, the real sandbox, and its bill to compare with.

The reply is the picture and there is no list: whatever dies with a reply in hand must find it again in the store, and
what never came is settled by a person.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from db.schema import generation_assets, lanes, ledger_entries
from domain.errors import UnknownThing
from domain.ids import AttemptId
from pipeline.attempts import collect, rescue, submit
from pipeline.attempts.admit import admit
from pipeline.characters.definitions import NewCharacter, add
from pipeline.doubts import by_person
from pipeline.doubts.by_person import Settled
from storage.folder import FolderStore
from tests.support.openai_runner import LOW, OpenAiRunner
from tests.support.steps import EXAMPLE, PREPROCESSING
from validation.pixels import decode


@pytest.fixture
def runner(openai_runner: OpenAiRunner) -> OpenAiRunner:
    return openai_runner


def test_a_prompt_in_another_script_is_held_for_all_of_its_bytes(runner: OpenAiRunner) -> None:
    alone = [runner.books.attempt(runner.attempt(prompt)).hold_usd for prompt in ("a" * 300, "\u8c6c" * 300)]
    together = [runner.books.attempt(one).hold_usd for one in runner.attempts("a" * 300, "\u8c6c" * 300)]
    # 600 bytes more, each at most a token, at 5 dollars per million.
    assert together == alone == [alone[0], alone[0] + Decimal("0.003")]


def test_a_reply_becomes_a_stored_picture_and_an_exact_charge(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    assert runner.money(attempt_id)[0] > 0
    runner.submit(attempt_id)
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.charged_usd, row.lease_token) == ("collecting", "charged", LOW, None)
    assert row.job_id == runner.jobs()[0]["job_id"]
    assert row.result["detail"]["usage"]["output_tokens"] == 196
    assert runner.sent.take("collect") == [attempt_id]
    generation = runner.collected(attempt_id)
    assert (generation.state, generation.cost) == ("completed", LOW)
    (asset,) = runner.books.rows(generation_assets)
    picture = decode(runner.resources.store.get(asset.r2_key))
    assert (picture.width, picture.height, picture.media_type) == (asset.width, asset.height, "image/png")
    assert runner.bill() == [LOW]
    assert runner.money(attempt_id) == (0, 0, LOW)


def test_the_picture_is_stored_once(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    runner.submit(attempt_id)
    (key,) = runner.books.attempt(attempt_id).result["reply_keys"]
    runner.collected(attempt_id)
    (asset,) = runner.books.rows(generation_assets)
    assert asset.r2_key == key


def test_a_delivered_reply_frees_its_place_at_once(runner: OpenAiRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    (first,) = runner.attempts("one", "two")
    runner.submit(first)
    (second,) = runner.sent.take("submit")
    runner.submit(second)
    assert [runner.collected(one).state for one in (first, second)] == ["completed", "completed"]
    assert len(runner.bill()) == 2


def test_a_character_travels_inside_the_request_and_its_pictures_are_checked(runner: OpenAiRunner) -> None:
    new = NewCharacter(name="lulu", description="", references=[EXAMPLE], core=0.7, style=0.6, origin="default")
    add(runner.resources, new)
    attempt_id = runner.attempt(character="lulu")
    runner.submit(attempt_id)
    assert runner.jobs()[0]["kind"] == "edit"
    assert runner.collected(attempt_id).state == "validating"
    assert runner.bill() == [runner.books.attempt(attempt_id).charged_usd]


def test_a_message_twice_makes_one_picture(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    for _ in range(2):
        runner.submit(attempt_id)
    runner.collected(attempt_id)
    runner.submit(attempt_id)
    assert runner.bill() == [LOW]


def test_a_death_between_the_store_and_the_books_costs_nothing_twice(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    runner.submit(attempt_id, dying_at="submit.kept")
    assert runner.books.attempt(attempt_id).state == "submitting"
    assert by_person.settle(runner.resources, "openai") == 1
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.charged_usd) == ("collecting", "charged", LOW)
    assert runner.sent.take("collect") == [attempt_id]
    assert runner.collected(attempt_id).state == "completed"
    assert runner.bill() == [LOW]
    assert by_person.settle(runner.resources, "openai") == 0


def test_a_doubt_is_settled_by_the_reply_in_our_own_store(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    runner.submit(attempt_id, dying_at="submit.kept")
    rescue.take_over(runner.resources)
    hold = runner.books.attempt(attempt_id).hold_usd
    assert runner.money(attempt_id) == (0, hold, 0)
    assert by_person.settle(runner.resources, "openai") == 1
    assert runner.money(attempt_id) == (0, 0, LOW)
    assert [line.kind for line in runner.books.rows(ledger_entries)] == ["hold", "doubt", "hold", "charge"]
    assert runner.collected(attempt_id).state == "completed"
    assert runner.bill() == [LOW]


def test_a_worker_that_comes_back_late_books_its_own_reply(runner: OpenAiRunner) -> None:
    """It was stopped with the reply in hand, and rescue has doubted meanwhile."""
    attempt_id = runner.attempt()

    @dataclass(frozen=True)
    class Stopped:
        def reach(self, name: str) -> None:
            if name == "submit.kept":
                runner.books.lapse(seconds=3600)
                rescue.take_over(runner.resources)
                assert runner.books.attempt(attempt_id).state == "in_doubt"

    assert submit.submit(replace(runner.resources, fault_points=Stopped()), attempt_id) is None
    assert runner.collected(attempt_id).state == "completed"
    assert runner.bill() == [LOW]
    assert runner.money(attempt_id) == (0, 0, LOW)


def test_a_reply_that_died_with_its_worker_parks_with_its_hold(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    runner.submit(attempt_id, dying_at="submit.answered")
    assert by_person.settle(runner.resources, "openai") == 0
    rescue.take_over(runner.resources)
    assert by_person.settle(runner.resources, "openai") == 0
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.hold_state) == ("in_doubt", "in_doubt")
    admit(runner.resources, "openai")
    assert runner.sent.take("submit") == []
    assert runner.bill() == [LOW]


@pytest.mark.parametrize(
    "what", ["drop_before", "drop_after", "truncated", "status:500_after", "html_after", "status:503"]
)
def test_a_lost_reply_is_never_sent_again(runner: OpenAiRunner, what: str) -> None:
    attempt_id = runner.doubted(what)
    for _ in range(2):
        rescue.take_over(runner.resources)
        assert by_person.settle(runner.resources, "openai") == 0
        runner.submit(attempt_id)
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    assert len(runner.bill()) == (0 if what in {"drop_before", "status:503"} else 1)
    held, in_doubt, charged = runner.money(attempt_id)
    assert held == charged == 0
    assert charged <= sum(runner.bill()) <= charged + in_doubt


def test_a_doubt_keeps_its_place_as_long_as_the_call_may_last(runner: OpenAiRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    (first,) = runner.attempts("one", "two")
    runner.arm("drop_after")
    runner.submit(first)
    admit(runner.resources, "openai")
    assert runner.sent.take("submit") == []
    runner.books.sql("UPDATE attempts SET intent_at = now() - interval '21 minutes'")
    admit(runner.resources, "openai")
    assert len(runner.sent.take("submit")) == 1
    assert runner.books.attempt(first).hold_state == "in_doubt"


def test_a_submission_is_doubted_no_sooner_than_its_own_lane_allows(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    runner.submit(attempt_id, dying_at="submit.answered")
    runner.books.lapse(seconds=100)
    rescue.take_over(runner.resources)
    assert runner.books.attempt(attempt_id).state == "submitting"
    runner.books.lapse(seconds=130)
    rescue.take_over(runner.resources)
    assert runner.books.attempt(attempt_id).state == "in_doubt"


def test_a_person_who_finds_the_call_on_the_bill_ends_it_charged(runner: OpenAiRunner) -> None:
    attempt_id = runner.doubted()
    (call,) = runner.jobs()
    settled = by_person.settle_as_paid(runner.resources, attempt_id, job_id=call["job_id"], amount_usd=LOW)
    assert settled is Settled.CHARGED
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "picture_lost", LOW)
    assert runner.money(attempt_id) == (0, 0, LOW)
    assert runner.bill() == [LOW]


def test_without_an_amount_the_whole_hold_is_charged(runner: OpenAiRunner) -> None:
    attempt_id = runner.doubted()
    hold = runner.books.attempt(attempt_id).hold_usd
    assert by_person.settle_as_paid(runner.resources, attempt_id, job_id="unknown") is Settled.CHARGED
    assert runner.money(attempt_id) == (0, 0, hold)
    with pytest.raises(UnknownThing, match="not in doubt"):
        by_person.settle_as_lost(runner.resources, attempt_id)


def test_a_person_who_knows_that_it_never_arrived_lets_it_go_on(runner: OpenAiRunner) -> None:
    attempt_id = runner.doubted("drop_before")
    assert by_person.settle_as_lost(runner.resources, attempt_id) is Settled.RELEASED
    (again,) = runner.sent.take("submit")
    assert again != attempt_id
    runner.submit(again)
    assert runner.collected(again).state == "completed"
    assert runner.bill() == [LOW]
    assert runner.money(again) == (0, 0, LOW)


@pytest.mark.parametrize("paid", [True, False])
def test_a_reply_in_the_store_knows_better_than_a_person(runner: OpenAiRunner, *, paid: bool) -> None:
    attempt_id = runner.attempt()
    runner.submit(attempt_id, dying_at="submit.kept")
    rescue.take_over(runner.resources)
    settled = (
        by_person.settle_as_paid(runner.resources, attempt_id, job_id="req")
        if paid
        else by_person.settle_as_lost(runner.resources, attempt_id)
    )
    assert settled is Settled.REPLY_ADOPTED
    assert runner.collected(attempt_id).state == "completed"
    assert runner.bill() == [LOW]


def test_a_moderated_prompt_fails_and_costs_nothing(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt("a massacre of pigs")
    runner.submit(attempt_id)
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code) == ("failed", "content_refused")
    assert runner.bill() == []
    assert runner.money(attempt_id) == (0, 0, 0)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("throttled:plain", "rate_limited"),
        ("throttled:quota", "out_of_money"),
        ("throttled:no_credits", "out_of_money"),
    ],
)
def test_a_lane_that_cannot_take_more_closes_with_its_reason(runner: OpenAiRunner, what: str, reason: str) -> None:
    attempt_id = runner.attempt()
    runner.arm(what)
    runner.submit(attempt_id)
    (lane,) = runner.books.rows(lanes)
    assert lane.reason.startswith(reason)
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.tries) == ("queued", 0)
    assert runner.bill() == []


def test_a_model_that_is_not_allowed_stops_nobody_else(runner: OpenAiRunner) -> None:
    runner.arm("status:403")
    barred, good = runner.attempts("a barred pig", "a pink pig")
    runner.submit(barred)
    generation = runner.books.generation_of(barred)
    assert (generation.state, generation.error_code) == ("failed", "request_refused")
    assert "or use another model" in generation.error_message
    (lane,) = runner.books.rows(lanes)
    assert (lane.closed_until, lane.reason) == (None, None)
    runner.submit(good)
    assert runner.collected(good).state == "completed"


def test_a_store_that_is_away_for_a_moment_loses_nothing(runner: OpenAiRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt_id = runner.attempt()
    calls = iter([OSError("no space"), OSError("no space")])
    put = FolderStore.put_reply

    def sometimes(self: FolderStore, attempt: AttemptId, content: bytes) -> None:
        for failure in calls:
            raise failure
        put(self, attempt, content)

    monkeypatch.setattr(FolderStore, "put_reply", sometimes)
    runner.submit(attempt_id)
    assert runner.collected(attempt_id).state == "completed"


@pytest.mark.parametrize("what", ["fake", "page", "unreadable", "cut_file"])
def test_a_reply_that_holds_no_picture_is_charged_and_lost_at_once(runner: OpenAiRunner, what: str) -> None:
    attempt_id = runner.attempt()
    runner.arm(what, where="picture")
    runner.submit(attempt_id)
    assert collect.collect(runner.resources, attempt_id, preprocessing=PREPROCESSING) is None, "there is no other copy"
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "picture_lost", LOW)


def test_a_reply_in_another_format_than_asked_for_is_the_picture_that_was_paid_for(runner: OpenAiRunner) -> None:
    attempt_id = runner.attempt()
    runner.arm("other_format", where="picture")
    runner.submit(attempt_id)
    assert collect.collect(runner.resources, attempt_id, preprocessing=PREPROCESSING) is None
    (asset,) = runner.books.rows(generation_assets)
    assert (asset.media_type, asset.r2_key.rpartition(".")[2]) == ("image/jpeg", "jpg")
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_success_without_a_picture_is_in_doubt(runner: OpenAiRunner) -> None:
    attempt_id = runner.doubted("no_images")
    assert runner.bill() == [LOW]
    assert runner.money(attempt_id)[1] >= LOW


def test_half_the_replies_lost_leaves_no_prompt_billed_twice(runner: OpenAiRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 20")
    attempts = runner.attempts(*(f"pig number {number}" for number in range(12)))
    assert len(attempts) == 12
    for number, attempt_id in enumerate(attempts):
        if number % 2:
            runner.arm("drop_after" if number % 4 == 1 else "drop_before")
        runner.submit(attempt_id)
        runner.clear()
    states = [runner.books.attempt(attempt_id).state for attempt_id in attempts]
    assert states == ["collecting", "in_doubt"] * 6
    prompts = [job["prompt"] for job in runner.jobs()]
    assert len(prompts) == len(set(prompts)) == 9
    _, in_doubt, charged = runner.money(attempts[0])
    assert charged <= sum(runner.bill()) <= charged + in_doubt


def test_a_gateway_s_address_is_fetched_and_not_doubted(runner: OpenAiRunner) -> None:
    runner.arm("as_address")
    attempt_id = runner.attempt()
    runner.submit(attempt_id)
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.charged_usd, row.result["reply_keys"]) == ("collecting", LOW, [])
    (url,) = row.result["picture_urls"]
    assert url.startswith("http")
    assert runner.collected(attempt_id).state == "completed"


def test_a_gateway_that_counts_no_tokens_is_booked_at_the_catalogue_s_price_as_an_estimate(
    runner: OpenAiRunner,
) -> None:
    runner.arm("no_usage")
    attempt_id = runner.attempt()
    runner.submit(attempt_id)
    expected = runner.books.generation_of(attempt_id).price_usd
    assert runner.books.attempt(attempt_id).charged_usd == expected
    reasons = [entry.reason for entry in runner.books.rows(ledger_entries) if entry.attempt_id == attempt_id]
    assert any("an estimate" in (reason or "") for reason in reasons)


def closed_because(runner: OpenAiRunner) -> str | None:
    (row,) = runner.books.rows(lanes)
    reason: str | None = row.reason
    return reason


def test_an_account_that_is_blocked_in_words_of_moderation_closes_its_lane(runner: OpenAiRunner) -> None:
    for number in range(11):
        runner.submit(runner.attempt(f"a {'' if number == 5 else 'beheaded'} pig, number {number}"))
    assert closed_because(runner) is None, "one picture in between proves that the account works"
    runner.submit(runner.attempt("a beheaded cow"))
    said = closed_because(runner)
    assert said is not None
    assert said.startswith("account_blocked: 6 different prompts in a row were refused in the same words")


def test_prompts_that_are_refused_for_different_reasons_are_the_prompts_fault(runner: OpenAiRunner) -> None:
    words = ("beheaded", "nude", "gore", "naked", "massacre", "nsfw", "lingerie")
    for attempt_id in runner.attempts(*(f"a {word} pig" for word in words)):
        runner.submit(attempt_id)
    assert closed_because(runner) is None
