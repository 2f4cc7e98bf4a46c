"""What must be true after any number of deaths, judged by the stand-in's own bill. Every breach is a sentence."""

from collections import Counter
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from db.session import Database
from domain.errors import LikenessError
from pipeline.resources import Resources
from pipeline.status import books_disagree
from validation.pixels import decode

_FINAL = {"completed", "rejected", "failed", "canceled"}


def breaches(
    resources: Resources, bill: dict[str, Any], *, queued_in: frozenset[str] | set[str] = frozenset()
) -> list[str]:
    """Everything that is wrong; empty when nothing is.

    Args:
        queued_in: ids of batches that their budget has stopped, whose rest may wait in the queue.
    """
    return [
        *books_disagree(resources),
        *_states(resources.database, queued_in),
        *_jobs(resources.database, bill),
        *_pictures(resources),
    ]


def _rows(database: Database, statement: str) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]


def _states(database: Database, queued_in: frozenset[str] | set[str]) -> list[str]:
    found = [
        f"generation {row['id']} is {row['state']} and neither final nor in doubt"
        for row in _rows(database, "SELECT id, state, batch_id FROM generations")
        if row["state"] not in _FINAL | {"in_doubt"}
        and not (row["state"] == "queued" and str(row["batch_id"]) in queued_in)
    ]
    found += [
        f"generation {row['id']} is in doubt without a reason"
        for row in _rows(
            database,
            "SELECT g.id FROM generations g JOIN attempts a ON a.generation_id = g.id AND a.state = 'in_doubt'"
            " WHERE a.error_code IS NULL",
        )
    ]
    found += [
        f"attempt {row['id']} of a final generation still holds money or a lease"
        for row in _rows(
            database,
            "SELECT a.id FROM attempts a JOIN generations g ON g.id = a.generation_id"
            " WHERE g.state IN ('completed', 'rejected', 'failed', 'canceled')"
            " AND (a.hold_state IN ('held', 'in_doubt') OR a.lease_token IS NOT NULL)",
        )
    ]
    return found


def _jobs(database: Database, bill: dict[str, Any]) -> list[str]:
    attempts = _rows(
        database,
        "SELECT a.id, a.generation_id, a.job_id, a.state, a.hold_state, coalesce(a.charged_usd, 0) AS charged"
        " FROM attempts a WHERE a.job_id IS NOT NULL OR a.hold_state = 'charged'",
    )
    doubts = len(_rows(database, "SELECT id FROM attempts WHERE state = 'in_doubt'"))
    owners = Counter(row["job_id"] for row in attempts)
    billed = {job["job_id"]: Decimal(job["charged_usd"]) for job in bill["jobs"]}
    found = [f"job {job} belongs to {number} attempts" for job, number in owners.items() if number > 1]
    strays = [job for job in billed if job not in owners]
    if len(strays) > doubts:
        found.append(f"{len(strays)} jobs on the bill belong to no attempt, and only {doubts} attempts are in doubt")
    paid: Counter[Any] = Counter()
    for row in attempts:
        if row["job_id"] not in billed:
            found.append(f"attempt {row['id']} claims job {row['job_id']}, which is not on the bill")
        elif row["hold_state"] == "charged" and billed[row["job_id"]] != row["charged"]:
            found.append(f"attempt {row['id']} was charged {row['charged']}, the bill says {billed[row['job_id']]}")
        if row["hold_state"] == "charged" and row["charged"] > 0:
            paid[row["generation_id"]] += 1
    found += [f"generation {one} has {number} paid jobs" for one, number in paid.items() if number > 1]
    return found


def _pictures(resources: Resources) -> list[str]:
    found = []
    assets = _rows(
        resources.database,
        "SELECT s.id, s.r2_key FROM generation_assets s JOIN generations g ON g.id = s.generation_id"
        " WHERE g.state IN ('completed', 'rejected') AND s.r2_key IS NOT NULL",
    )
    for row in assets:
        try:
            decode(resources.store.get(row["r2_key"]))
        except (LikenessError, OSError) as failure:
            found.append(f"the picture of asset {row['id']} is not what was stored: {failure}")
    without = _rows(
        resources.database,
        "SELECT g.id FROM generations g WHERE g.state IN ('completed', 'rejected') AND NOT EXISTS"
        " (SELECT FROM generation_assets s WHERE s.generation_id = g.id AND s.best AND s.r2_key IS NOT NULL)",
    )
    found += [f"generation {row['id']} is done and has no picture" for row in without]
    return found
