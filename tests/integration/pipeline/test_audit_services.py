"""The books against the services' own lists: equal when all is well, and every difference named."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from db.session import Database
from pipeline.operator import batch_control
from pipeline.views import audit, daily_audit
from pipeline.views.audit import LaneFigures
from sandbox.process import running
from tests.conftest import Sent
from tests.support.replicate_runner import ReplicateRunner, runner_of
from tests.support.steps import PRICE, StepRunner


def _figures(runner: StepRunner) -> LaneFigures:
    (figures,) = audit.with_services(runner.resources, window=timedelta(days=1))
    return figures


def _collected(runner: StepRunner, prompt: str, **order: str) -> None:
    attempt_id = runner.collecting(prompt, **order)
    runner.collect(attempt_id)
    # Jobs of the last minute may be missing from a list, so they are not looked for.
    runner.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")


def test_a_lane_whose_service_says_the_same_has_no_differences(runner: StepRunner) -> None:
    _collected(runner, "a pig")
    figures = _figures(runner)
    assert (figures.booked_jobs, figures.booked_usd, figures.said_usd) == (1, PRICE, PRICE)
    assert figures.differences == []


def test_a_charge_that_the_service_names_otherwise_is_a_difference(runner: StepRunner) -> None:
    _collected(runner, "a pig")
    with runner.books.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE attempts SET charged_usd = 0.03")
    (said,) = _figures(runner).differences
    assert "was charged 0.03 USD, and lane 'sandbox' says 0.02 USD" in said
    with runner.books.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE attempts SET charged_usd = 0.02")


def test_a_charge_for_a_job_that_the_service_does_not_know_is_a_difference(runner: StepRunner) -> None:
    _collected(runner, "a pig")
    runner.books.sql("UPDATE attempts SET job_id = 'made up'")
    told = " ".join(_figures(runner).differences)
    assert "for job made up, which the list of lane 'sandbox' does not show" in told
    assert "was sent by us and belongs to no attempt" in told


def test_a_list_that_cannot_be_read_is_said_and_is_no_difference(runner: StepRunner) -> None:
    _collected(runner, "a pig")
    runner.caller.arm({"where": "list", "what": "status:500"})
    figures = _figures(runner)
    assert figures.unreachable is not None
    assert figures.differences == ()


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]


def test_the_daily_audit_is_made_once_a_day_and_logs_each_difference_as_an_error(
    runner: StepRunner, caplog: pytest.LogCaptureFixture
) -> None:
    _collected(runner, "a pig")
    assert daily_audit.latest_audit(runner.resources) is None
    assert daily_audit.audit_if_due(runner.resources)
    assert not daily_audit.audit_if_due(runner.resources)
    first = daily_audit.latest_audit(runner.resources)
    assert (first is not None and first.said, _errors(caplog)) == ([], [])
    runner.books.sql("UPDATE ticks SET at = at - interval '25 hours'")
    runner.books.sql("UPDATE batches SET charged_usd = charged_usd + 1")
    runner.books.sql("UPDATE attempts SET job_id = 'made up'")
    assert daily_audit.audit_if_due(runner.resources)
    second = daily_audit.latest_audit(runner.resources)
    assert second is not None
    assert [f"the books do not add up: {one}" for one in second.said] == _errors(caplog)
    assert "made up" in " ".join(second.said)
    assert "in the ledger" in " ".join(second.said)
    runner.books.sql("UPDATE batches SET charged_usd = charged_usd - 1")


def test_an_audit_whose_worker_died_is_made_again_within_the_hour(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(audit, "with_services", dies)
        with pytest.raises(KeyboardInterrupt):
            daily_audit.audit_if_due(runner.resources)
    assert daily_audit.latest_audit(runner.resources) is None
    assert not daily_audit.audit_if_due(runner.resources)
    runner.books.sql("UPDATE ticks SET at = at - interval '61 minutes'")
    assert daily_audit.audit_if_due(runner.resources)


@pytest.fixture
def replicate_runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[ReplicateRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture(scope="module")
def slow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Leaves a job waiting for longer than any test lasts."""
    with running(tmp_path_factory.mktemp("slow"), latency_s=3600, size_px=64) as url:
        yield url


def _said_of(replicate_runner: ReplicateRunner) -> list[str]:
    (figures,) = audit.with_services(replicate_runner.resources, window=timedelta(days=1))
    return list(figures.differences)


def test_a_prediction_that_is_done_and_was_released_here_is_named(replicate_runner: ReplicateRunner) -> None:
    (attempt_id,) = replicate_runner.submitted("a pig")
    replicate_runner.last_word(attempt_id)
    row = replicate_runner.collected(attempt_id)
    replicate_runner.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")
    assert _said_of(replicate_runner) == []
    replicate_runner.books.sql("UPDATE attempts SET hold_state = 'released', charged_usd = NULL, outcome = 'failed'")
    (said,) = _said_of(replicate_runner)
    assert f"attempt {attempt_id} was charged nothing" in said
    assert f"says that job {row.job_id} has succeeded, which is billed" in said
    replicate_runner.books.sql(
        "UPDATE attempts SET hold_state = 'charged', charged_usd = :charged, outcome = 'completed'",
        charged=row.charged_usd,
    )


def test_a_charge_for_a_prediction_that_never_began_is_named(
    database: Database, slow_url: str, sent: Sent, home: Path
) -> None:
    with runner_of(database, url=slow_url, sent=sent, home=home) as replicate_runner:
        (attempt_id,) = replicate_runner.submitted("a pig")
        batch_control.cancel(replicate_runner.resources, replicate_runner.books.attempt(attempt_id).batch_id)
        row = replicate_runner.last_word(attempt_id)
        replicate_runner.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")
        assert _said_of(replicate_runner) == []
        replicate_runner.books.sql("UPDATE attempts SET hold_state = 'charged', charged_usd = 0.03")
        (said,) = _said_of(replicate_runner)
        assert f"says that job {row.job_id} has aborted, which costs nothing" in said
        replicate_runner.books.sql("UPDATE attempts SET hold_state = 'released', charged_usd = NULL")
