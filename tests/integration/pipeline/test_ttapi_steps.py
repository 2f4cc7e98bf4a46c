"""What is TTAPI's own, through the steps: grids, actions, illegal prompts, money kept for failures, the account."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db.schema import generation_assets, generations
from db.schema_checks import model_inputs
from db.session import Database
from domain.errors import KeyRefused, ProviderDown, ProviderError, RateLimited
from domain.ids import AttemptId
from pipeline.doubts import by_person
from pipeline.operator import accounts, lanes
from providers.contract import AccountInfo
from sandbox.process import running
from tests.conftest import Sent
from tests.support.steps import HOLD, PRICE, QUICK, StepRunner, runner_of
from validation.pixels import decode


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    timing = replace(QUICK, illegal_prompts=2, listings_apart=timedelta(0), in_the_air=timedelta(0))
    with runner_of(database, url=sandbox_url, sent=sent, home=home, timing=timing) as opened:
        yield opened


# --- Grids ----------------------------------------------------------------------------------------------------------


def test_a_grid_without_its_singles_is_cut_into_four_pictures(runner: StepRunner) -> None:
    runner.character()
    runner.caller.arm({"where": "fetch", "what": "no_images"})
    attempt_id = runner.collecting("a pig --ar 3:2", character="lulu")
    assert runner.collect(attempt_id) is None
    assets = sorted(runner.books.rows(generation_assets), key=lambda one: one.position)
    assert [one.position for one in assets] == [0, 1, 2, 3]
    assert {one.metadata["cut_from_grid"] for one in assets} == {True}
    assert len({one.sha256 for one in assets}) == 4
    assert {(one.media_type, one.width, one.height) for one in assets} == {("image/png", 80, 56)}
    assert len(runner.books.rows(model_inputs)) == 4
    (grid_key,) = {one.metadata["grid_key"] for one in assets}
    grid = decode(runner.resources.store.get(grid_key)).image
    assert grid.size == (160, 112)
    for one in assets:
        left, top = one.position % 2 * 80, one.position // 2 * 56
        single = decode(runner.resources.store.get(one.r2_key)).image
        assert single.tobytes() == grid.crop((left, top, left + 80, top + 56)).tobytes()
    assert runner.books.generation_of(attempt_id).state == "validating"


def test_a_single_that_is_not_to_be_had_is_cut_from_the_grid(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    runner.books.sql(
        "UPDATE attempts SET result = jsonb_set(result, '{picture_urls,2}', '\"http://127.0.0.1:9/gone.png\"')"
    )
    resources = replace(runner.resources, timing=replace(runner.resources.timing, collect_tries=1))
    assert replace(runner, resources=resources).collect(attempt_id) is None
    assets = sorted(runner.books.rows(generation_assets), key=lambda one: one.position)
    assert [one.metadata.get("cut_from_grid", False) for one in assets] == [False, False, True, False]
    assert all(one.missing_reason is None for one in assets)
    assert len({one.sha256 for one in assets}) == 4


def test_a_grid_of_another_shape_than_asked_for_is_kept_whole(runner: StepRunner) -> None:
    runner.caller.arm({"where": "fetch", "what": "no_images"})
    attempt_id = runner.collecting("a pig")
    runner.books.sql("UPDATE attempts SET result = jsonb_set(result, '{detail,aspect}', '[16, 9]')")
    assert runner.collect(attempt_id) is None
    (asset,) = runner.books.rows(generation_assets)
    assert "no grid" in asset.metadata["not_cut"]
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_the_four_singles_of_a_prompt_cost_no_further_job(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    assert runner.collect(attempt_id) is None
    assert len(runner.books.rows(generation_assets)) == 4
    assert [line["kind"] for line in runner.caller.bill()] == ["imagine"]


# --- Actions --------------------------------------------------------------------------------------------------------


def _further(runner: StepRunner, name: str = "variation2", **changes: Any) -> AttemptId:
    """The published attempt that carries the finished job of a first one further."""
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    first = runner.generating("a pig in a garden", "a second pig")
    job_id = runner.books.attempt(first).job_id
    action = {"job_id": job_id, "name": name, "lane": "sandbox", "position": 1, **changes}
    runner.books.sql(f"UPDATE generations SET changes = '{json.dumps({'action': action})}' WHERE state = 'queued'")
    runner.until_made(first)
    (further,) = runner.sent.take("submit")
    return further


def test_an_action_is_an_attempt_with_a_hold_and_a_charge_of_its_own(runner: StepRunner) -> None:
    attempt_id = _further(runner)
    held = runner.books.attempt(attempt_id)
    assert (held.hold_usd, held.hold_state) == (HOLD, "held")
    assert runner.submit(attempt_id) is None
    sent = runner.books.attempt(attempt_id)
    assert sent.sent_prompt.startswith("variation2 <- a pig in a garden")
    runner.until_made(attempt_id)
    assert runner.collect(attempt_id) is None
    done = runner.books.attempt(attempt_id)
    assert (done.charged_usd, done.result["detail"]["action"]) == (PRICE, "variation2")
    assert [line["kind"] for line in runner.caller.bill()] == ["imagine", "variation2"]
    assert len([one for one in runner.books.rows(generation_assets) if one.attempt_id == attempt_id]) == 4


def test_an_upsample_is_stored_as_one_picture(runner: StepRunner) -> None:
    attempt_id = _further(runner, "upsample3")
    assert runner.submit(attempt_id) is None
    runner.until_made(attempt_id)
    assert runner.collect(attempt_id) is None
    (asset,) = [one for one in runner.books.rows(generation_assets) if one.attempt_id == attempt_id]
    assert (asset.position, asset.width, asset.metadata.get("cut_from_grid")) == (0, 128, None)


def test_a_lost_reply_to_an_action_is_paid_once_and_its_job_adopted(runner: StepRunner) -> None:
    attempt_id = _further(runner)
    runner.caller.arm({"where": "submit", "what": "drop_after"})
    assert runner.submit(attempt_id) is None
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    assert by_person.settle_by_listing(runner.resources, "sandbox") == 1
    runner.until_made(attempt_id)
    adopted = runner.books.attempt(attempt_id)
    (job,) = [line for line in runner.caller.bill() if line["kind"] == "variation2"]
    assert (adopted.job_id, adopted.charged_usd) == (job["job_id"], PRICE)
    assert runner.charged() == [PRICE, PRICE]


def test_an_action_that_never_arrived_is_proven_absent_and_asked_for_again(runner: StepRunner) -> None:
    attempt_id = _further(runner)
    runner.caller.arm({"where": "submit", "what": "drop_before"})
    assert runner.submit(attempt_id) is None
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    assert [by_person.settle_by_listing(runner.resources, "sandbox") for _ in range(2)] == [0, 1]
    runner.caller.clear()
    again = runner.sent.take("submit")
    assert runner.books.attempt(again[0]).changes["action"]["name"] == "variation2"
    assert runner.submit(again[0]) is None
    assert [line["kind"] for line in runner.caller.bill()] == ["imagine", "variation2"]


def test_the_same_action_under_another_text_proves_nothing(runner: StepRunner) -> None:
    attempt_id = _further(runner)
    runner.caller.arm({"where": "submit", "what": "drop_after"})
    assert runner.submit(attempt_id) is None
    runner.books.sql(f"UPDATE attempts SET sent_prompt = 'variation2 <- altered' WHERE id = '{attempt_id}'")
    for _ in range(3):
        assert by_person.settle_by_listing(runner.resources, "sandbox") == 0
    assert runner.books.attempt(attempt_id).state == "in_doubt"


@pytest.mark.parametrize(
    "changes",
    [{"name": "zoom_out_2"}, {"name": ""}, {"job_id": "nobody"}],
    ids=["not offered", "no name", "not ours"],
)
def test_an_action_that_cannot_be_is_refused_before_anything_is_sent(
    runner: StepRunner, changes: dict[str, str]
) -> None:
    attempt_id = _further(runner, **changes)
    assert runner.submit(attempt_id) is None
    refused = runner.books.generation_of(attempt_id)
    assert (refused.state, refused.error_code) == ("failed", "request_refused")
    assert len(runner.caller.bill()) == 1


def test_an_action_is_for_the_lane_of_its_job_alone(runner: StepRunner) -> None:
    attempt_id = _further(runner)
    runner.books.lane("sandbox-2", provider="sandbox", concurrency=1)
    runner.books.sql("UPDATE attempts SET lane = 'sandbox-2' WHERE job_id IS NOT NULL")
    assert runner.submit(attempt_id) is None
    refused = runner.books.generation_of(attempt_id)
    assert (refused.state, refused.error_code) == ("failed", "request_refused")
    assert "'sandbox-2'" in refused.error_message
    runner.books.sql("UPDATE attempts SET lane = 'sandbox' WHERE job_id IS NOT NULL")


# --- Illegal prompts ------------------------------------------------------------------------------------------------


def _closed_s(runner: StepRunner) -> float:
    closed_until = runner.lane().closed_until
    return 0.0 if closed_until is None else float((closed_until - datetime.now(UTC)).total_seconds())


def _fails_illegally(runner: StepRunner, attempt_id: AttemptId) -> None:
    assert runner.submit(attempt_id) is None
    runner.until_made(attempt_id)
    assert runner.books.generation_of(attempt_id).error_code == "content_refused"


def test_too_many_illegal_prompts_in_a_day_close_the_lane_until_there_is_room(runner: StepRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    first = runner.admitted("a massacre", "another massacre", "a pig", "a second pig")
    _fails_illegally(runner, first)
    assert runner.books.attempt(first).illegal_prompt
    assert _closed_s(runner) == 0.0
    runner.books.sql("UPDATE attempts SET finished_at = finished_at - interval '23 hours' WHERE illegal_prompt")
    (second,) = runner.sent.take("submit")
    _fails_illegally(runner, second)
    # The window has room again when the first one leaves it.
    assert 3000 < _closed_s(runner) <= 3600
    assert runner.lane().reason.startswith("illegal_prompts: 2 prompts in 24 hours")
    assert runner.admit() == []
    assert [row.state for row in runner.books.rows(generations)].count("queued") == 2
    runner.open_lanes()
    assert len(runner.admit()) == 1
    assert runner.charged() == [Decimal(0), Decimal(0)]


def test_strikes_of_yesterday_do_not_count(runner: StepRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    first = runner.admitted("a massacre", "another massacre")
    _fails_illegally(runner, first)
    runner.books.sql("UPDATE attempts SET finished_at = finished_at - interval '25 hours' WHERE illegal_prompt")
    _fails_illegally(runner, runner.sent.take("submit")[0])
    assert _closed_s(runner) == 0.0


def test_an_account_of_forty_jobs_loses_no_money_to_illegal_prompts(
    database: Database, tmp_path: Path, sent: Sent, home: Path
) -> None:
    with (
        running(tmp_path / "large", latency_s=0.02, size_px=64, concurrency=40) as url,
        runner_of(database, url=url, sent=sent, home=home) as runner,
    ):
        assert accounts.refresh_account(runner.resources, "sandbox")
        assert runner.lane().concurrency == 40
        runner.enqueue(*(f"a massacre, number {number}" for number in range(60)))
        under_way = runner.sent.take("submit")
        while more := runner.admit():
            under_way += more
        assert len(under_way) == 28
        for attempt_id in under_way:
            assert runner.submit(attempt_id) is None
        for attempt_id in under_way:
            runner.until_made(attempt_id)
        assert runner.lane().reason.startswith("illegal_prompts: 20 prompts in 24 hours")
        assert runner.charged() == [Decimal(0)] * 28
        lanes.reopen(runner.resources, "sandbox")
        assert runner.lane().reason.startswith("illegal_prompts: 28 prompts"), "a person is told that no place is left"
        runner.books.sql(
            "UPDATE attempts SET finished_at = finished_at - interval '25 hours'"
            " WHERE id IN (SELECT id FROM attempts WHERE illegal_prompt LIMIT 3)"
        )
        lanes.reopen(runner.resources, "sandbox")
        assert runner.lane().reason is None
        assert len(runner.admit()) == 3


def test_a_prompt_refused_at_once_is_no_strike(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a nude pig")
    assert runner.submit(attempt_id) is None
    refused = runner.books.attempt(attempt_id)
    assert (refused.error_code, refused.illegal_prompt) == ("content_refused", False)


def test_money_that_is_kept_for_a_failed_job_is_charged(
    database: Database, tmp_path: Path, sent: Sent, home: Path
) -> None:
    with (
        running(tmp_path / "strict", latency_s=0.02, size_px=64, illegal_limit=0) as url,
        runner_of(database, url=url, sent=sent, home=home) as runner,
    ):
        attempt_id = runner.generating("a massacre")
        runner.until_made(attempt_id)
        paid, generation = runner.books.attempt(attempt_id), runner.books.generation_of(attempt_id)
        assert (paid.state, paid.hold_state, paid.charged_usd) == ("finished", "charged", PRICE)
        assert (generation.state, generation.error_code, generation.cost) == ("failed", "content_refused", PRICE)
        assert runner.charged() == [PRICE]


# --- The account ----------------------------------------------------------------------------------------------------


class _Account:
    """The lane, with an account of the test's own."""

    def __init__(self, lane: Any, **said: Any) -> None:
        self._lane, self.said = lane, said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    def account(self) -> AccountInfo:
        return AccountInfo(**self.said)


def _asked(runner: StepRunner, **said: Any) -> Any:
    """The lane's row after the account has said this."""
    account = _Account(runner.resources.lanes["sandbox"], **said)
    runner.books.sql("UPDATE lanes SET account_asked_at = NULL")
    assert accounts.refresh_account(replace(runner.resources, lanes={"sandbox": account}), "sandbox")
    return runner.lane()


def test_the_account_itself_says_how_many_jobs_and_how_much_money(runner: StepRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 3")
    assert accounts.refresh_account(runner.resources, "sandbox")
    row = runner.lane()
    assert (row.concurrency, row.concurrency_origin, row.account_jobs) == (10, "account", 10)
    assert row.account_balance_usd == Decimal(10_000)
    assert row.account_held_usd == Decimal(0)


def test_the_account_is_asked_once_a_minute_by_whoever_comes_first(runner: StepRunner) -> None:
    assert [accounts.refresh_account(runner.resources, "sandbox") for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("person", "account", "number", "origin"), [(3, 5, 3, "person"), (5, 5, 5, "person"), (9, 5, 5, "account")]
)
def test_a_person_s_number_stands_unless_the_account_allows_less(
    runner: StepRunner, person: int, account: int, number: int, origin: str
) -> None:
    lanes.set_concurrency(runner.resources, "sandbox", person)
    row = _asked(runner, most_jobs=account)
    assert (row.concurrency, row.concurrency_origin) == (number, origin)


def test_a_person_s_number_comes_back_when_the_account_allows_it_again(runner: StepRunner) -> None:
    lanes.set_concurrency(runner.resources, "sandbox", 8)
    seen = [_asked(runner, most_jobs=allowed) for allowed in (5, 20)]
    assert [(row.concurrency, row.concurrency_origin) for row in seen] == [(5, "account"), (8, "person")]


def test_a_person_cannot_allow_more_than_the_account(runner: StepRunner) -> None:
    _asked(runner, most_jobs=5)
    lanes.set_concurrency(runner.resources, "sandbox", 8)
    assert (runner.lane().concurrency, runner.lane().concurrency_origin) == (5, "account")
    lanes.set_concurrency(runner.resources, "sandbox", 3)
    assert (runner.lane().concurrency, runner.lane().concurrency_origin) == (3, "person")


@pytest.mark.parametrize("said", [None, 0, -1])
def test_an_account_that_names_no_number_changes_none(runner: StepRunner, said: int | None) -> None:
    row = _asked(runner, most_jobs=said)
    assert (row.concurrency, row.concurrency_origin) == (10, "setting")


def test_an_empty_wallet_closes_the_lane_and_a_filled_one_opens_it(runner: StepRunner) -> None:
    row = _asked(runner, balance_usd=Decimal(0), held_usd=Decimal("0.04"))
    assert row.reason == "out_of_money: the account has 0.00 USD left, with 0.04 USD set aside for running jobs"
    assert _closed_s(runner) > 60
    assert _asked(runner, balance_usd=Decimal(0)).reason is not None
    row = _asked(runner, balance_usd=Decimal(25))
    assert (row.closed_until, row.reason) == (None, None)


def test_money_that_was_there_all_the_time_opens_nothing(runner: StepRunner) -> None:
    _asked(runner, balance_usd=Decimal("0.01"))
    runner.books.sql("UPDATE lanes SET closed_until = now() + interval '5 minutes', reason = 'out_of_money: 402'")
    assert _asked(runner, balance_usd=Decimal("0.01")).reason == "out_of_money: 402"


def test_a_lane_that_a_person_closed_is_not_opened_by_money(runner: StepRunner) -> None:
    _asked(runner, balance_usd=Decimal(0))
    runner.books.sql("UPDATE lanes SET reason = 'a person closed it'")
    assert _asked(runner, balance_usd=Decimal(25)).reason == "a person closed it"


class _Silent(_Account):
    """The lane, whose account cannot be asked about."""

    def __init__(self, lane: Any, failure: ProviderError) -> None:
        super().__init__(lane)
        self._failure = failure

    def account(self) -> AccountInfo:
        raise self._failure


@pytest.mark.parametrize(
    ("failure", "closed"), [(ProviderDown("no"), False), (RateLimited("no"), False), (KeyRefused("no"), True)]
)
def test_an_account_that_cannot_be_asked_changes_no_number(
    runner: StepRunner, failure: ProviderError, *, closed: bool
) -> None:
    silent = _Silent(runner.resources.lanes["sandbox"], failure)
    assert not accounts.refresh_account(replace(runner.resources, lanes={"sandbox": silent}), "sandbox")
    row = runner.lane()
    assert (row.concurrency, row.concurrency_origin, row.last_error) == (10, "setting", "no")
    assert (_closed_s(runner) > 0) is closed
