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
from tests.support.steps import HOLD, PREPROCESSING, PRICE, QUICK, Bench

TRIES = QUICK.collect_tries


def _collect_to_the_end(bench: Bench, attempt_id: AttemptId) -> int:
    """Collects again and again as Celery would; returns how many tries it took."""
    for tries in range(1, 20):
        if bench.collect(attempt_id) is None:
            return tries
        bench.due()
    raise AssertionError("it never ends")


def test_one_missing_picture_of_four_is_recorded(bench: Bench) -> None:
    attempt_id = bench.collecting("a pig")
    bench.caller.arm({"where": "picture", "what": "expired", "count": 1})
    _collect_to_the_end(bench, attempt_id)
    rows = bench.books.rows(generation_assets)
    assert len(rows) == 4
    missing = [one.missing_reason for one in rows if one.r2_key is None]
    assert bench.books.generation_of(attempt_id).state == "completed"
    assert len(missing) <= 1
    assert all(reason.startswith("picture_lost") for reason in missing)


@pytest.mark.parametrize("host", ["", "http://127.0.0.1:9"], ids=["says 404", "nobody there"])
def test_an_address_that_ran_out_is_renewed(bench: Bench, sandbox_url: str, host: str) -> None:
    attempt_id = bench.collecting("a pig")
    bench.books.sql(
        "UPDATE attempts SET result = jsonb_set(result, '{picture_urls}', CAST(:gone AS jsonb))",
        gone=f'["{host or sandbox_url}/gone.png"]',
    )
    again = bench.collect(attempt_id)
    assert isinstance(again, Again)
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.lease_token, row.step_tries) == ("collecting", None, 1)
    bench.due()
    assert bench.collect(attempt_id) is None
    assert len([one for one in bench.books.rows(generation_assets) if one.r2_key]) == 4
    assert bench.books.generation_of(attempt_id).state == "completed"


@pytest.mark.parametrize("what", ["expired", "fake", "unreadable", "cut_file", "page", "drop_before"])
def test_a_picture_that_comes_spoilt_is_fetched_again(bench: Bench, what: str) -> None:
    attempt_id = bench.collecting("a pig")
    bench.caller.arm({"where": "picture", "what": what, "count": 4})
    _collect_to_the_end(bench, attempt_id)
    assert bench.books.generation_of(attempt_id).state == "completed"


@pytest.mark.parametrize(("what", "is_one"), [("wrong_type", "image/png"), ("other_format", "image/jpeg")])
def test_a_picture_is_what_its_bytes_are_whatever_was_asked_for_and_whatever_it_is_called(
    bench: Bench, what: str, is_one: str
) -> None:
    attempt_id = bench.collecting("a pig")
    bench.caller.arm({"where": "picture", "what": what})
    assert bench.collect(attempt_id) is None
    rows = bench.books.rows(generation_assets)
    assert {row.media_type for row in rows} == {is_one}
    assert {row.r2_key.rpartition(".")[2] for row in rows} == {{"image/png": "png", "image/jpeg": "jpg"}[is_one]}
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_when_no_picture_is_to_be_had_the_generation_fails_charged(bench: Bench) -> None:
    attempt_id = bench.collecting("a pig")
    bench.caller.arm({"where": "picture", "what": "expired"})
    assert _collect_to_the_end(bench, attempt_id) == TRIES
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "picture_lost", PRICE)
    assert bench.books.rows(generation_assets) == []
    assert bench.admit() == []
    assert bench.charged() == [PRICE]


def test_a_job_the_provider_gave_up_is_tried_again_and_not_for_ever(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy", "match": "pig"})
    attempt_id = bench.admitted("a pig")
    for tries in range(1, QUICK.generation_tries + 1):
        bench.submit(attempt_id)
        bench.until_made(attempt_id)
        generation = bench.books.generation_of(attempt_id)
        assert generation.tries == tries
        if tries < QUICK.generation_tries:
            assert (generation.state, generation.error_code) == ("queued", "job_failed")
            assert generation.not_before is not None
            bench.due()
            bench.sent.tasks.clear()
            (attempt_id,) = bench.admit()
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "job_failed", 0)
    assert sum(bench.charged()) == 0


def test_times_given_back_do_not_count_as_tries_at_the_provider(bench: Bench) -> None:
    bench.caller.arm(
        {"where": "submit", "what": "status:429", "count": 5},
        {"where": "submit", "what": "failed_body:[Internal error] busy", "count": 1},
    )
    attempt_id = bench.admitted("a pig")
    for _ in range(5):
        bench.submit(attempt_id)
        bench.open_lanes()
        (attempt_id,) = bench.admit()
    bench.submit(attempt_id)
    bench.until_made(attempt_id)
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.tries) == ("queued", "job_failed", 1)


def test_a_silent_provider_leaves_the_job_where_it_is(bench: Bench) -> None:
    attempt_id = bench.generating("a pig")
    bench.caller.arm({"where": "fetch", "what": "status:503", "count": 2})
    for silences in (1, 2):
        bench.due()
        assert bench.sweep() == 0
        row = bench.books.attempt(attempt_id)
        assert (row.state, row.hold_state, row.step_tries) == ("generating", "held", silences)
    bench.until_made(attempt_id)
    assert bench.books.attempt(attempt_id).state == "collecting"


def test_an_overdue_job_keeps_its_hold_and_its_state(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "stuck", "match": "pig"})
    attempt_id = bench.generating("a pig")
    bench.books.sql("UPDATE attempts SET deadline_at = now() - interval '1 hour', due_at = now()")
    assert bench.sweep() == 0
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.hold_state) == ("generating", "held")
    assert bench.books.row(row.batch_id).held_usd == HOLD


def test_a_lost_model_input_is_rebuilt_from_the_originals(bench: Bench) -> None:
    attempt_id = bench.validating()
    bench.sent.tasks.clear()
    before = bench.books.rows(model_inputs)
    bench.books.sql("TRUNCATE model_inputs")
    assert bench.validate(attempt_id) is None
    assert bench.sent.take("rebuild") == [attempt_id]
    assert bench.scorer.seen == []
    assert bench.rebuild_inputs(attempt_id) is None
    assert sorted(bench.books.rows(model_inputs)) == sorted(before)
    assert bench.sent.take("validate") == [attempt_id]
    assert bench.validate(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_an_input_made_for_another_model_is_made_anew(bench: Bench) -> None:
    attempt_id = bench.validating()
    other = replace(PREPROCESSING, size=8, shortest_edge=8)
    bench.scorer.preprocessing = other.digest
    bench.validate(attempt_id)
    bench.rebuild_inputs(attempt_id, other)
    assert {row.size for row in bench.books.rows(model_inputs)} == {8}
    bench.validate(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_an_original_that_is_gone_ends_in_a_failure_and_not_in_a_circle(bench: Bench, home: Path) -> None:
    attempt_id = bench.validating()
    bench.books.sql("TRUNCATE model_inputs")
    for file in (home / "pictures" / "pictures").rglob("*.png"):
        file.unlink()
    rounds = 0
    while bench.books.attempt(attempt_id).state == "validating":
        bench.validate(attempt_id)
        bench.rebuild_inputs(attempt_id)
        bench.due()
        rounds += 1
        assert rounds < 10
    generation = bench.books.generation_of(attempt_id)
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


def test_a_full_disk_costs_a_paid_attempt_none_of_its_tries(bench: Bench) -> None:
    attempt_id = bench.collecting("a pig")
    full = replace(bench, resources=replace(bench.resources, store=_Store(bench.resources.store, failures=10_000)))
    for _ in range(TRIES + 3):
        assert isinstance(full.collect(attempt_id), Again)
        row = bench.books.attempt(attempt_id)
        assert (row.state, row.step_tries, row.deaths, row.error_code) == ("collecting", 0, 0, "service_missing")
        bench.due()
    assert bench.collect(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_worker_without_the_lanes_key_loses_no_paid_picture(bench: Bench) -> None:
    attempt_id = bench.collecting("a pig")
    bare = replace(bench, resources=replace(bench.resources, lanes={}))
    for _ in range(TRIES + 3):
        assert isinstance(bare.collect(attempt_id), Again)
        bench.due()
    assert bench.collect(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_device_that_is_full_costs_a_paid_attempt_none_of_its_tries(bench: Bench) -> None:
    attempt_id = bench.validating()
    seconds = iter(range(100))
    full = replace(
        bench, resources=replace(bench.resources, device_backoff=DeviceBackoff(clock=lambda: float(next(seconds) * 3)))
    )
    bench.scorer.failures = [OutOfMemory("full") for _ in range(TRIES + 20)]
    waits = []
    while bench.scorer.failures:
        again = full.validate(attempt_id)
        assert again is not None
        waits.append(again.wait.total_seconds())
        row = bench.books.attempt(attempt_id)
        assert (row.state, row.step_tries, row.deaths, row.error_code) == ("validating", 0, 0, "out_of_memory")
        bench.due()
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 60)
    assert full.validate(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_scorer_that_is_broken_costs_no_paid_picture_and_ends_its_process(bench: Bench) -> None:
    attempt_id = bench.validating()
    retired: list[LikenessError] = []
    broken = replace(bench, resources=replace(bench.resources, retire=retired.append))
    bench.scorer.failures = [ScorerBroken("an illegal memory access") for _ in range(TRIES + 3)]
    told = list(bench.scorer.failures)
    while bench.scorer.failures:
        assert isinstance(broken.validate(attempt_id), Again)
        row = bench.books.attempt(attempt_id)
        assert (row.state, row.step_tries, row.deaths, row.error_code) == ("validating", 0, 0, "scorer_broken")
        assert bench.validate(attempt_id) is None, "nobody else takes it before its time"
        bench.due()
    assert retired == told
    assert bench.validate(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_check_that_cannot_be_made_at_all_fails_charged_and_keeps_the_pictures(bench: Bench) -> None:
    attempt_id = bench.validating()
    bench.scorer.failures = [ScorerError("a reference of the character cannot be used")]
    assert bench.validate(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "scorer_error", PRICE)
    assert len(bench.books.rows(generation_assets)) == 4


def test_a_retry_after_a_failed_check_checks_the_stored_pictures_and_pays_nothing(bench: Bench) -> None:
    attempt_id = bench.validating()
    bench.scorer.failures = [ScorerError("a reference of the character cannot be used")]
    bench.validate(attempt_id)
    bench.sent.tasks.clear()
    done = batch_control.retry(bench.resources, bench.batch_of(attempt_id), states=[GenerationState.FAILED])
    assert (done.queued, done.checked) == (0, 1)
    assert bench.sent.take("submit") == []
    assert bench.sent.take("validate") == [attempt_id]
    assert bench.validate(attempt_id) is None, "what the model looks at went with the failure"
    assert bench.sent.take("rebuild") == [attempt_id]
    assert bench.rebuild_inputs(attempt_id) is None
    assert bench.sent.take("validate") == [attempt_id]
    assert bench.validate(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", PRICE)
    assert bench.charged() == [PRICE]


def test_a_picture_that_cannot_be_scored_leaves_the_others_to_decide(bench: Bench) -> None:
    attempt_id = bench.validating()
    bench.scorer.failures = [UnfitPicture("one of them"), UnfitPicture("the first")]
    assert bench.validate(attempt_id) is None
    assert [count for count, _ in bench.scorer.seen] == [4, 1, 1, 1, 1]
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_reference_that_is_gone_keeps_the_check_waiting(bench: Bench, home: Path) -> None:
    attempt_id = bench.validating()
    fresh = replace(bench, resources=replace(bench.resources, reference_cache=type(bench.resources.reference_cache)()))
    hidden = home / "hidden"
    (home / "pictures" / "references").rename(hidden)
    for _ in range(QUICK.validate_tries + 2):
        assert isinstance(fresh.validate(attempt_id), Again)
        assert bench.books.attempt(attempt_id).error_code == "service_missing"
        bench.due()
    hidden.rename(home / "pictures" / "references")
    assert fresh.validate(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"
