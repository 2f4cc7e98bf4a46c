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
from tests.support.replicate_desk import Desk, desk_of
from tests.support.steps import PRICE, Bench


def _figures(bench: Bench) -> LaneFigures:
    (figures,) = audit.with_services(bench.resources, window=timedelta(days=1))
    return figures


def _collected(bench: Bench, prompt: str, **order: str) -> None:
    attempt_id = bench.collecting(prompt, **order)
    bench.collect(attempt_id)
    # Jobs of the last minute may be missing from a list, so they are not looked for.
    bench.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")


def test_a_lane_whose_service_says_the_same_has_no_differences(bench: Bench) -> None:
    _collected(bench, "a pig")
    figures = _figures(bench)
    assert (figures.booked_jobs, figures.booked_usd, figures.said_usd) == (1, PRICE, PRICE)
    assert figures.differences == []


def test_a_charge_that_the_service_names_otherwise_is_a_difference(bench: Bench) -> None:
    _collected(bench, "a pig")
    with bench.books.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE attempts SET charged_usd = 0.03")
    (said,) = _figures(bench).differences
    assert "was charged 0.03 USD, and lane 'sandbox' says 0.02 USD" in said
    with bench.books.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE attempts SET charged_usd = 0.02")


def test_a_charge_for_a_job_that_the_service_does_not_know_is_a_difference(bench: Bench) -> None:
    _collected(bench, "a pig")
    bench.books.sql("UPDATE attempts SET job_id = 'made up'")
    told = " ".join(_figures(bench).differences)
    assert "for job made up, which the list of lane 'sandbox' does not show" in told
    assert "was sent by us and belongs to no attempt" in told


def test_a_list_that_cannot_be_read_is_said_and_is_no_difference(bench: Bench) -> None:
    _collected(bench, "a pig")
    bench.caller.arm({"where": "list", "what": "status:500"})
    figures = _figures(bench)
    assert figures.unreachable is not None
    assert figures.differences == ()


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]


def test_the_daily_audit_is_made_once_a_day_and_logs_each_difference_as_an_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    _collected(bench, "a pig")
    assert daily_audit.latest_audit(bench.resources) is None
    assert daily_audit.audit_if_due(bench.resources)
    assert not daily_audit.audit_if_due(bench.resources)
    first = daily_audit.latest_audit(bench.resources)
    assert (first is not None and first.said, _errors(caplog)) == ([], [])
    bench.books.sql("UPDATE ticks SET at = at - interval '25 hours'")
    bench.books.sql("UPDATE batches SET charged_usd = charged_usd + 1")
    bench.books.sql("UPDATE attempts SET job_id = 'made up'")
    assert daily_audit.audit_if_due(bench.resources)
    second = daily_audit.latest_audit(bench.resources)
    assert second is not None
    assert [f"the books do not add up: {one}" for one in second.said] == _errors(caplog)
    assert "made up" in " ".join(second.said)
    assert "in the ledger" in " ".join(second.said)
    bench.books.sql("UPDATE batches SET charged_usd = charged_usd - 1")


def test_an_audit_whose_worker_died_is_made_again_within_the_hour(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(audit, "with_services", dies)
        with pytest.raises(KeyboardInterrupt):
            daily_audit.audit_if_due(bench.resources)
    assert daily_audit.latest_audit(bench.resources) is None
    assert not daily_audit.audit_if_due(bench.resources)
    bench.books.sql("UPDATE ticks SET at = at - interval '61 minutes'")
    assert daily_audit.audit_if_due(bench.resources)


@pytest.fixture
def desk(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[Desk]:
    with desk_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture(scope="module")
def slow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Leaves a job waiting for longer than any test lasts."""
    with running(tmp_path_factory.mktemp("slow"), latency_s=3600, size_px=64) as url:
        yield url


def _said_of(desk: Desk) -> list[str]:
    (figures,) = audit.with_services(desk.resources, window=timedelta(days=1))
    return list(figures.differences)


def test_a_prediction_that_is_done_and_was_released_here_is_named(desk: Desk) -> None:
    (attempt_id,) = desk.submitted("a pig")
    desk.last_word(attempt_id)
    row = desk.collected(attempt_id)
    desk.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")
    assert _said_of(desk) == []
    desk.books.sql("UPDATE attempts SET hold_state = 'released', charged_usd = NULL, outcome = 'failed'")
    (said,) = _said_of(desk)
    assert f"attempt {attempt_id} was charged nothing" in said
    assert f"says that job {row.job_id} has succeeded, which is billed" in said
    desk.books.sql(
        "UPDATE attempts SET hold_state = 'charged', charged_usd = :charged, outcome = 'completed'",
        charged=row.charged_usd,
    )


def test_a_charge_for_a_prediction_that_never_began_is_named(
    database: Database, slow_url: str, sent: Sent, home: Path
) -> None:
    with desk_of(database, url=slow_url, sent=sent, home=home) as desk:
        (attempt_id,) = desk.submitted("a pig")
        batch_control.cancel(desk.resources, desk.books.attempt(attempt_id).batch_id)
        row = desk.last_word(attempt_id)
        desk.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")
        assert _said_of(desk) == []
        desk.books.sql("UPDATE attempts SET hold_state = 'charged', charged_usd = 0.03")
        (said,) = _said_of(desk)
        assert f"says that job {row.job_id} has aborted, which costs nothing" in said
        desk.books.sql("UPDATE attempts SET hold_state = 'released', charged_usd = NULL")
