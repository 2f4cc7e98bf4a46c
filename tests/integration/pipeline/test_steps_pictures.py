"""From the provider's last word to the verdict, when pictures, stores or models fail."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db.schema import generation_assets
from db.schema_checks import model_inputs
from domain.errors import LikenessError, OutOfMemory, ScorerBroken, ScorerError, UnfitPicture
from domain.ids import AttemptId
from domain.states import GenerationState
from pipeline.attempts.outcome import Again
from pipeline.operator import batch_control
from pipeline.process.device_backoff import DeviceBackoff
from storage.base import Stored
from tests.support.steps import HOLD, PREPROCESSING, PRICE, QUICK, StepRunner

TRIES = QUICK.collect_tries


def _collect_to_the_end(runner: StepRunner, attempt_id: AttemptId) -> int:
    """Collects again and again as Celery would; returns how many tries it took."""
    for tries in range(1, 20):
        if runner.collect(attempt_id) is None:
            return tries
        runner.due()
    raise AssertionError("it never ends")


def test_one_missing_picture_of_four_is_recorded(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    runner.caller.arm({"where": "picture", "what": "expired", "count": 1})
    _collect_to_the_end(runner, attempt_id)
    rows = runner.books.rows(generation_assets)
    assert len(rows) == 4
    missing = [one.missing_reason for one in rows if one.r2_key is None]
    assert runner.books.generation_of(attempt_id).state == "completed"
    assert len(missing) <= 1
    assert all(reason.startswith("picture_lost") for reason in missing)


@pytest.mark.parametrize("host", ["", "http://127.0.0.1:9"], ids=["says 404", "nobody there"])
def test_an_address_that_ran_out_is_renewed(runner: StepRunner, sandbox_url: str, host: str) -> None:
    attempt_id = runner.collecting("a pig")
    runner.books.sql(
        "UPDATE attempts SET result = jsonb_set(result, '{picture_urls}', CAST(:gone AS jsonb))",
        gone=f'["{host or sandbox_url}/gone.png"]',
    )
    again = runner.collect(attempt_id)
    assert isinstance(again, Again)
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.lease_token, row.step_tries) == ("collecting", None, 1)
    runner.due()
    assert runner.collect(attempt_id) is None
    assert len([one for one in runner.books.rows(generation_assets) if one.r2_key]) == 4
    assert runner.books.generation_of(attempt_id).state == "completed"


@pytest.mark.parametrize("what", ["expired", "fake", "unreadable", "cut_file", "page", "drop_before"])
def test_a_picture_that_comes_spoilt_is_fetched_again(runner: StepRunner, what: str) -> None:
    attempt_id = runner.collecting("a pig")
    runner.caller.arm({"where": "picture", "what": what, "count": 4})
    _collect_to_the_end(runner, attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"


@pytest.mark.parametrize(("what", "is_one"), [("wrong_type", "image/png"), ("other_format", "image/jpeg")])
def test_a_picture_is_what_its_bytes_are_whatever_was_asked_for_and_whatever_it_is_called(
    runner: StepRunner, what: str, is_one: str
) -> None:
    attempt_id = runner.collecting("a pig")
    runner.caller.arm({"where": "picture", "what": what})
    assert runner.collect(attempt_id) is None
    rows = runner.books.rows(generation_assets)
    assert {row.media_type for row in rows} == {is_one}
    assert {row.r2_key.rpartition(".")[2] for row in rows} == {{"image/png": "png", "image/jpeg": "jpg"}[is_one]}
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_when_no_picture_is_to_be_had_the_generation_fails_charged(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    runner.caller.arm({"where": "picture", "what": "expired"})
    assert _collect_to_the_end(runner, attempt_id) == TRIES
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "picture_lost", PRICE)
    assert runner.books.rows(generation_assets) == []
    assert runner.admit() == []
    assert runner.charged() == [PRICE]


def test_a_job_the_provider_gave_up_is_tried_again_and_not_for_ever(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy", "match": "pig"})
    attempt_id = runner.admitted("a pig")
    for tries in range(1, QUICK.generation_tries + 1):
        runner.submit(attempt_id)
        runner.until_made(attempt_id)
        generation = runner.books.generation_of(attempt_id)
        assert generation.tries == tries
        if tries < QUICK.generation_tries:
            assert (generation.state, generation.error_code) == ("queued", "job_failed")
            assert generation.not_before is not None
            runner.due()
            runner.sent.tasks.clear()
            (attempt_id,) = runner.admit()
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "job_failed", 0)
    assert sum(runner.charged()) == 0


def test_times_given_back_do_not_count_as_tries_at_the_provider(runner: StepRunner) -> None:
    runner.caller.arm(
        {"where": "submit", "what": "status:429", "count": 5},
        {"where": "submit", "what": "failed_body:[Internal error] busy", "count": 1},
    )
    attempt_id = runner.admitted("a pig")
    for _ in range(5):
        runner.submit(attempt_id)
        runner.open_lanes()
        (attempt_id,) = runner.admit()
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.tries) == ("queued", "job_failed", 1)


def test_a_silent_provider_leaves_the_job_where_it_is(runner: StepRunner) -> None:
    attempt_id = runner.generating("a pig")
    runner.caller.arm({"where": "fetch", "what": "status:503", "count": 2})
    for silences in (1, 2):
        runner.due()
        assert runner.sweep() == 0
        row = runner.books.attempt(attempt_id)
        assert (row.state, row.hold_state, row.step_tries) == ("generating", "held", silences)
    runner.until_made(attempt_id)
    assert runner.books.attempt(attempt_id).state == "collecting"


def test_an_overdue_job_keeps_its_hold_and_its_state(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "stuck", "match": "pig"})
    attempt_id = runner.generating("a pig")
    runner.books.sql("UPDATE attempts SET deadline_at = now() - interval '1 hour', due_at = now()")
    assert runner.sweep() == 0
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.hold_state) == ("generating", "held")
    assert runner.books.row(row.batch_id).held_usd == HOLD


def test_a_lost_model_input_is_rebuilt_from_the_originals(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    runner.sent.tasks.clear()
    before = runner.books.rows(model_inputs)
    runner.books.sql("TRUNCATE model_inputs")
    assert runner.validate(attempt_id) is None
    assert runner.sent.take("rebuild") == [attempt_id]
    assert runner.scorer.seen == []
    assert runner.rebuild_inputs(attempt_id) is None
    assert sorted(runner.books.rows(model_inputs)) == sorted(before)
    assert runner.sent.take("validate") == [attempt_id]
    assert runner.validate(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_an_input_made_for_another_model_is_made_anew(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    other = replace(PREPROCESSING, size=8, shortest_edge=8)
    runner.scorer.preprocessing = other.digest
    runner.validate(attempt_id)
    runner.rebuild_inputs(attempt_id, other)
    assert {row.size for row in runner.books.rows(model_inputs)} == {8}
    runner.validate(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_an_original_that_is_gone_ends_in_a_failure_and_not_in_a_circle(runner: StepRunner, home: Path) -> None:
    attempt_id = runner.validating()
    runner.books.sql("TRUNCATE model_inputs")
    for file in (home / "pictures" / "pictures").rglob("*.png"):
        file.unlink()
    rounds = 0
    while runner.books.attempt(attempt_id).state == "validating":
        runner.validate(attempt_id)
        runner.rebuild_inputs(attempt_id)
        runner.due()
        rounds += 1
        assert rounds < 10
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "picture_lost", PRICE)


class _Store:
    """The store, failing as long as it is told to."""

    def __init__(self, store: Any, *, failures: int) -> None:
        self._store, self.failures = store, failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        stored: Stored = self._store.put(content, ending=ending, prefix=prefix)
        return stored


def test_a_full_disk_costs_a_paid_attempt_none_of_its_tries(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    full = replace(runner, resources=replace(runner.resources, store=_Store(runner.resources.store, failures=10_000)))
    for _ in range(TRIES + 3):
        assert isinstance(full.collect(attempt_id), Again)
        row = runner.books.attempt(attempt_id)
        assert (row.state, row.step_tries, row.deaths, row.error_code) == ("collecting", 0, 0, "service_missing")
        runner.due()
    assert runner.collect(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_worker_without_the_lanes_key_loses_no_paid_picture(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    bare = replace(runner, resources=replace(runner.resources, lanes={}))
    for _ in range(TRIES + 3):
        assert isinstance(bare.collect(attempt_id), Again)
        runner.due()
    assert runner.collect(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_device_that_is_full_costs_a_paid_attempt_none_of_its_tries(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    seconds = iter(range(100))
    full = replace(
        runner,
        resources=replace(runner.resources, device_backoff=DeviceBackoff(clock=lambda: float(next(seconds) * 3))),
    )
    runner.scorer.failures = [OutOfMemory("full") for _ in range(TRIES + 20)]
    waits = []
    while runner.scorer.failures:
        again = full.validate(attempt_id)
        assert again is not None
        waits.append(again.wait.total_seconds())
        row = runner.books.attempt(attempt_id)
        assert (row.state, row.step_tries, row.deaths, row.error_code) == ("validating", 0, 0, "out_of_memory")
        runner.due()
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 60)
    assert full.validate(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_scorer_that_is_broken_costs_no_paid_picture_and_ends_its_process(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    retired: list[LikenessError] = []
    broken = replace(runner, resources=replace(runner.resources, retire=retired.append))
    runner.scorer.failures = [ScorerBroken("an illegal memory access") for _ in range(TRIES + 3)]
    told = list(runner.scorer.failures)
    while runner.scorer.failures:
        assert isinstance(broken.validate(attempt_id), Again)
        row = runner.books.attempt(attempt_id)
        assert (row.state, row.step_tries, row.deaths, row.error_code) == ("validating", 0, 0, "scorer_broken")
        assert runner.validate(attempt_id) is None, "nobody else takes it before its time"
        runner.due()
    assert retired == told
    assert runner.validate(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_check_that_cannot_be_made_at_all_fails_charged_and_keeps_the_pictures(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    runner.scorer.failures = [ScorerError("a reference of the character cannot be used")]
    assert runner.validate(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "scorer_error", PRICE)
    assert len(runner.books.rows(generation_assets)) == 4


def test_a_retry_after_a_failed_check_checks_the_stored_pictures_and_pays_nothing(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    runner.scorer.failures = [ScorerError("a reference of the character cannot be used")]
    runner.validate(attempt_id)
    runner.sent.tasks.clear()
    done = batch_control.retry(runner.resources, runner.batch_of(attempt_id), states=[GenerationState.FAILED])
    assert (done.queued, done.checked) == (0, 1)
    assert runner.sent.take("submit") == []
    assert runner.sent.take("validate") == [attempt_id]
    assert runner.validate(attempt_id) is None, "what the model looks at went with the failure"
    assert runner.sent.take("rebuild") == [attempt_id]
    assert runner.rebuild_inputs(attempt_id) is None
    assert runner.sent.take("validate") == [attempt_id]
    assert runner.validate(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", PRICE)
    assert runner.charged() == [PRICE]


def test_a_picture_that_cannot_be_scored_leaves_the_others_to_decide(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    runner.scorer.failures = [UnfitPicture("one of them"), UnfitPicture("the first")]
    assert runner.validate(attempt_id) is None
    assert [count for count, _ in runner.scorer.seen] == [4, 1, 1, 1, 1]
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_reference_that_is_gone_keeps_the_check_waiting(runner: StepRunner, home: Path) -> None:
    attempt_id = runner.validating()
    fresh = replace(
        runner, resources=replace(runner.resources, reference_cache=type(runner.resources.reference_cache)())
    )
    hidden = home / "hidden"
    (home / "pictures" / "references").rename(hidden)
    for _ in range(QUICK.validate_tries + 2):
        assert isinstance(fresh.validate(attempt_id), Again)
        assert runner.books.attempt(attempt_id).error_code == "service_missing"
        runner.due()
    hidden.rename(home / "pictures" / "references")
    assert fresh.validate(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"
