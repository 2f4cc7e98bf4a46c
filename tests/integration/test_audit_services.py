"""The books against the services' own lists: equal when all is well, and every difference named."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from db.session import Database
from pipeline import actions, audit
from pipeline.audit import LaneFigures
from sandbox.process import running
from tests.conftest import Sent
from tests.integration.replicate_desk import Desk, desk_of
from tests.integration.steps import PRICE, Bench, bench_of, sandbox_at


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sandbox_at(tmp_path_factory.mktemp("sandbox")) as url:
        yield url


@pytest.fixture
def bench(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[Bench]:
    with bench_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


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
        actions.cancel(desk.resources, desk.books.attempt(attempt_id).batch_id)
        row = desk.last_word(attempt_id)
        desk.books.sql("UPDATE attempts SET intent_at = intent_at - interval '2 minutes'")
        assert _said_of(desk) == []
        desk.books.sql("UPDATE attempts SET hold_state = 'charged', charged_usd = 0.03")
        (said,) = _said_of(desk)
        assert f"says that job {row.job_id} has aborted, which costs nothing" in said
        desk.books.sql("UPDATE attempts SET hold_state = 'released', charged_usd = NULL")
