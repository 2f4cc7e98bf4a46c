"""Metrics of the rows: every figure by hand, none missing, and no label that grows with the work."""

from collections.abc import Mapping
from decimal import Decimal

import pytest

from db.moves import submission
from db.reads.monitoring import LABELS, measure
from domain.errors import MaybeSent
from domain.states import LIVE
from pipeline.views.metrics import DESCRIPTIONS
from tests.support.books import HOLD, PRICE, Books, lease


def figures(books: Books) -> Mapping[tuple[str, ...], float]:
    """By name and labels; the labels in the order of their names."""
    with books.database.transaction() as connection:
        found = list(measure(connection))
    assert all(set(one.labels) == set(DESCRIPTIONS[one.name].labels) for one in found)
    by_place = {(one.name, *(one.labels[name] for name in DESCRIPTIONS[one.name].labels)): one.value for one in found}
    assert len(by_place) == len(found), "no place twice"
    return by_place


def test_every_metric_is_described_and_read(books: Books) -> None:
    made = books.collecting()
    books.sql("INSERT INTO ticks (name, at, said) VALUES ('queue.admit', now(), NULL), ('books.audit', now(), '[]')")
    books.sql("UPDATE lanes SET account_balance_usd = 3")
    token = books.claim_collection(made)
    books.collect(made, token)
    read = figures(books)
    assert {name for name, *_ in read} == set(DESCRIPTIONS)
    assert {label for metric in DESCRIPTIONS.values() for label in metric.labels} <= LABELS
    assert read["lane_charged_day_usd", "sandbox"] == float(PRICE)
    assert read["spend_usd", "charged"] == float(PRICE)
    assert read["verdicts_day", "sandbox", "completed"] == 1
    assert read["lane_balance_usd", "sandbox"] == 3
    assert read["audit_findings",] == 0


def test_an_idle_installation_has_zeros_and_no_holes(books: Books) -> None:
    books.lane()
    read = figures(books)
    assert {read["attempts", "sandbox", state] for state in LIVE} == {0}
    assert read["generations_queued", "sandbox"] == 0
    assert read["admission_lag_seconds", "sandbox"] == 0
    assert read["oldest_queued_seconds", "sandbox"] == 0
    assert read["lane_open_usd", "sandbox", "in_doubt"] == 0
    assert read["spend_usd", "held"] == 0
    assert ("tick_age_seconds",) not in read, "nobody has ticked yet, which is no age"


def test_live_work_is_counted_where_it_stands(books: Books) -> None:
    doubtful, token = books.submitting(lease(seconds=60))
    with books.database.transaction() as connection:
        submission.doubt(connection, doubtful, token=token, failure=MaybeSent("the reply is lost"))
    overdue = books.generating()
    books.sql("UPDATE attempts SET deadline_at = now() - interval '1 minute' WHERE id = :id", id=overdue)
    books.submitting()
    books.lapse()
    books.sql("UPDATE attempts SET deaths = 2 WHERE id = :id", id=overdue)
    read = figures(books)
    assert read["attempts", "sandbox", "in_doubt"] == 1
    assert read["attempts", "sandbox", "generating"] == 1
    assert read["expired_leases", "sandbox", "submitting"] == 1
    assert read["worker_deaths", "sandbox", "generating"] == 2
    assert read["overdue_jobs", "sandbox"] == 1
    assert read["lane_in_flight", "sandbox"] == 3
    assert read["lane_open_usd", "sandbox", "in_doubt"] == float(HOLD)
    assert Decimal(str(read["lane_open_usd", "sandbox", "held"])) == 2 * HOLD


@pytest.mark.parametrize("wishes", ["{}", '{"routing": {}}'])
def test_what_is_being_prepared_is_counted(books: Books, wishes: str) -> None:
    books.lane()
    books.batch(3)
    books.sql(
        "UPDATE generations SET state = 'preparing', created_at = now() - interval '1 hour',"
        " pipeline_data = jsonb_build_object('prepare', CAST(:wishes AS jsonb))",
        wishes=wishes,
    )
    books.sql(
        "INSERT INTO preparations (generation_id, lease_token, lease_until)"
        " SELECT id, gen_random_uuid(), now() - interval '1 minute' FROM generations LIMIT 1"
    )
    read = figures(books)
    assert read["generations_preparing",] == 3
    assert read["oldest_preparing_seconds",] == pytest.approx(3600, abs=60)
    assert read["preparing_expired_leases",] == 1
    assert read["generations_queued", "sandbox"] == 0


def test_a_closed_lane_is_told_from_a_lagging_one(books: Books) -> None:
    books.lane()
    batch_id = books.batch(3)
    books.sql("UPDATE generations SET created_at = now() - interval '1 hour', updated_at = now() - interval '1 hour'")
    read = figures(books)
    assert read["generations_queued", "sandbox"] == 3
    assert read["oldest_queued_seconds", "sandbox"] == pytest.approx(3600, abs=60)
    assert read["admission_lag_seconds", "sandbox"] == pytest.approx(3600, abs=60)
    for hindrance, undone in (
        (
            "UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'x'",
            "closed_until = NULL, reason = NULL",
        ),
        (
            "UPDATE lanes SET concurrency = 1; UPDATE generations SET not_before = now() + interval '1 hour'",
            "concurrency = 9",
        ),
    ):
        for statement in hindrance.split(";"):
            books.sql(statement)
        read = figures(books)
        assert read["admission_lag_seconds", "sandbox"] == 0, hindrance
        assert read["lane_closed", "sandbox"] == float("closed" in hindrance)
        books.sql(f"UPDATE lanes SET {undone}")
    books.sql("UPDATE generations SET not_before = NULL")
    books.sql("UPDATE batches SET paused_at = now(), paused_reason = 'x' WHERE id = :id", id=batch_id)
    assert figures(books)["admission_lag_seconds", "sandbox"] == 0, "a paused batch waits for a person"


def test_durations_are_of_the_last_hour(books: Books) -> None:
    made = books.collecting()
    books.collect(made, books.claim_collection(made))
    books.sql("UPDATE attempts SET accepted_at = made_at - interval '30 seconds'")
    read = figures(books)
    assert read["provider_seconds", "sandbox", "0.5"] == pytest.approx(30)
    assert read["queue_to_verdict_seconds", "sandbox", "0.95"] >= 0
    books.sql("UPDATE attempts SET made_at = made_at - interval '2 hours'")
    assert ("provider_seconds", "sandbox", "0.5") not in figures(books)
