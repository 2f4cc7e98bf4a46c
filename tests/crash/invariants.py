"""What must be true after any number of deaths, judged by the stand-in's own bill. Every breach is a sentence."""

from collections import Counter
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from db.session import Database
from domain.errors import LikenessError
from domain.ids import sha256
from pipeline.resources import Resources
from pipeline.views.audit import of_books
from tests.crash.wires import OPENAI, WIRES, Wire
from validation.pixels import decode


def breaches(resources: Resources, bill: dict[str, Any]) -> list[str]:
    """Everything that is wrong; empty when nothing is."""
    return [
        *of_books(resources),
        *_states(resources.database),
        *(found for wire in WIRES for found in _jobs(resources.database, wire, bill)),
        *_twice_paid(resources.database),
        *_pictures(resources),
    ]


def _rows(database: Database, statement: str, **values: Any) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        return [dict(row) for row in connection.execute(text(statement), values).mappings()]


#: The limits of users and lanes with what is used of each, counted from the attempts and the moments of their charges.
#: One statement: two would see a hold that becomes a charge in neither, or a limit from before it was raised.
_CAPS = """(
    SELECT s.scope, s.subject, s.limit_usd,
           coalesce(sum(CASE WHEN a.hold_state IN ('held', 'in_doubt') THEN a.hold_usd
                             WHEN c.at >= date_trunc(
                                 CASE s.scope WHEN 'user_month' THEN 'month' ELSE 'day' END, now(), 'UTC'
                             ) THEN a.charged_usd END), 0) AS used,
           coalesce(sum(a.hold_usd) FILTER (WHERE a.found_late_at IS NOT NULL), 0) AS late
    FROM spending_limits s
    JOIN attempts a ON true
    JOIN batches b ON b.id = a.batch_id
    LEFT JOIN ledger_entries c ON c.attempt_id = a.id AND c.kind = 'charge'
    WHERE s.subject = CASE s.scope WHEN 'user_month' THEN b.user_id ELSE a.lane END
    GROUP BY s.scope, s.subject, s.limit_usd
) caps"""
#: Queued, and the batch, the user or the lane has neither the money nor the leave to go on. Lanes are named as their
#: providers here.
_HALTED = (
    "(g.state = 'queued' AND (b.stopped_reason IS NOT NULL OR b.paused_reason IS NOT NULL"
    " OR b.charged_usd + b.held_usd + b.in_doubt_usd + g.hold_usd > b.limit_usd"
    f" OR EXISTS (SELECT FROM {_CAPS} WHERE caps.subject IN (b.user_id, g.provider)"
    " AND caps.used + g.hold_usd > caps.limit_usd)))"
)
_UNFINISHED = "g.state NOT IN ('completed', 'rejected', 'failed', 'canceled')"


_LAST_ATTEMPT = (
    "LEFT JOIN LATERAL (SELECT * FROM attempts WHERE generation_id = g.id ORDER BY id DESC LIMIT 1) a ON true WHERE"
)
#: What still moves without a person.
_MOVING = (
    f"FROM generations g JOIN batches b ON b.id = g.batch_id WHERE {_UNFINISHED}"
    f" AND {_HALTED} IS NOT TRUE AND NOT (g.state = 'in_doubt' AND g.provider = :unlisted)"
)


def waiting(database: Database) -> int:
    """How many generations will still move without a person."""
    (row,) = _rows(database, f"SELECT count(*) {_MOVING}", unlisted=OPENAI.provider)
    number: int = row["count"]
    return number


def in_motion(database: Database) -> list[str]:
    """Lanes, and the first generations that will still move with their last attempts: what a test waited for."""
    rows = _rows(
        database,
        f"SELECT g.id, g.provider, g.state, g.hold_usd, a.state AS attempt, a.error_code, a.leased_by, a.lease_until,"
        f" a.due_at, now() AS now {_MOVING.replace('WHERE', _LAST_ATTEMPT, 1)} ORDER BY g.id LIMIT 20",
        unlisted=OPENAI.provider,
    )
    lanes = _rows(database, "SELECT name, concurrency, closed_until, reason, last_error FROM lanes ORDER BY name")
    return [", ".join(f"{name} {value}" for name, value in row.items()) for row in [*lanes, *rows]]


def above_the_limit(database: Database) -> list[str]:
    """Batches that have set aside or spent more than they may, but for what was booked in full and says so."""
    return [
        f"batch {row['name']!r} was above its limit"
        for row in _rows(
            database,
            "SELECT name FROM batches WHERE limit_usd < charged_usd + held_usd + in_doubt_usd"
            " AND paused_reason IS NULL",
        )
    ]


def caps_passed(database: Database) -> list[str]:
    """Months of users and days of lanes of which more is used than they allow, but for jobs that turned up late."""
    return [
        f"{row['scope']} {row['subject']!r}: {row['used']} USD are used of {row['limit_usd']} USD"
        for row in _rows(database, f"SELECT * FROM {_CAPS} WHERE used > limit_usd + late")
    ]


def outcome_of(database: Database, wire: Wire, bill: dict[str, Any]) -> dict[str, Any]:
    """What became of one service's generations, in the books and on the bill."""
    counts = _rows(
        database,
        "SELECT state, count(*) FROM generations WHERE provider = :provider GROUP BY state",
        provider=wire.provider,
    )
    failures = _rows(
        database,
        "SELECT error_code, count(*) FROM generations WHERE provider = :provider AND state = 'failed'"
        " GROUP BY error_code",
        provider=wire.provider,
    )
    money = _money(database, wire)
    jobs = _billed(wire, bill)
    return {
        "counts": {row["state"]: row["count"] for row in counts},
        "failures": {row["error_code"]: row["count"] for row in failures},
        "jobs_billed": len(jobs),
        "billed_usd": str(sum(jobs.values(), Decimal(0))),
        "charged_usd": str(money["charged"]),
        "in_doubt_usd": str(money["in_doubt"]),
    }


def _billed(wire: Wire, bill: dict[str, Any]) -> dict[str, Decimal]:
    return {job["job_id"]: Decimal(job["charged_usd"]) for job in bill["jobs"] if job["provider"] == wire.billed_as}


def _money(database: Database, wire: Wire) -> dict[str, Decimal]:
    (row,) = _rows(
        database,
        "SELECT coalesce(sum(charged_usd), 0) AS charged,"
        " coalesce(sum(hold_usd) FILTER (WHERE hold_state = 'in_doubt'), 0) AS in_doubt"
        " FROM attempts WHERE provider = :provider",
        provider=wire.provider,
    )
    return row


def _states(database: Database) -> list[str]:
    found = [
        f"generation {row['id']} is {row['state']} and neither final nor in doubt"
        for row in _rows(
            database,
            f"SELECT g.id, g.state FROM generations g JOIN batches b ON b.id = g.batch_id WHERE {_UNFINISHED}"
            f" AND g.state <> 'in_doubt' AND {_HALTED} IS NOT TRUE",
        )
    ]
    found += [
        f"generation {row['id']} of {row['provider']} is in doubt, and its list could tell"
        for row in _rows(
            database,
            "SELECT id, provider FROM generations WHERE state = 'in_doubt' AND provider <> :unlisted",
            unlisted=OPENAI.provider,
        )
    ]
    found += [
        f"generation {row['id']} is {row['state']} without a reason"
        for row in _rows(
            database,
            "SELECT g.id, g.state FROM generations g JOIN attempts a ON a.generation_id = g.id"
            " WHERE a.state = 'in_doubt' AND a.error_code IS NULL",
        )
    ]
    found += [
        f"attempt {row['id']} of a final generation still holds money"
        for row in _rows(
            database,
            "SELECT a.id FROM attempts a JOIN generations g ON g.id = a.generation_id"
            " WHERE g.state IN ('completed', 'rejected', 'failed', 'canceled')"
            " AND a.hold_state IN ('held', 'in_doubt')",
        )
    ]
    leased = _rows(database, "SELECT id, leased_by FROM attempts WHERE lease_token IS NOT NULL")
    return found + [f"attempt {row['id']} is still leased to {row['leased_by']}" for row in leased]


def _jobs(database: Database, wire: Wire, bill: dict[str, Any]) -> list[str]:
    """One service's jobs against its attempts, one to one, and the sums of both."""
    attempts = _rows(
        database,
        "SELECT id, job_id, hold_state, coalesce(charged_usd, 0) AS charged FROM attempts"
        " WHERE provider = :provider AND (job_id IS NOT NULL OR hold_state = 'charged')",
        provider=wire.provider,
    )
    billed = _billed(wire, bill)
    owners = Counter(row["job_id"] for row in attempts)
    found = [f"job {job} belongs to {number} attempts" for job, number in owners.items() if number > 1]
    for row in attempts:
        if row["job_id"] not in billed:
            found.append(f"attempt {row['id']} claims job {row['job_id']}, which is not on the bill")
        elif billed[row["job_id"]] != row["charged"]:
            found.append(f"attempt {row['id']} was charged {row['charged']}, the bill says {billed[row['job_id']]}")
    doubts = _rows(
        database,
        "SELECT id FROM attempts WHERE provider = :provider AND state = 'in_doubt'",
        provider=wire.provider,
    )
    strays = [job for job in billed if job not in owners]
    if len(strays) > len(doubts):
        found.append(
            f"{len(strays)} jobs on the bill of {wire.billed_as} belong to no attempt; {len(doubts)} are in doubt"
        )
    money, total = _money(database, wire), sum(billed.values(), Decimal(0))
    if not money["charged"] <= total <= money["charged"] + money["in_doubt"]:
        found.append(f"{wire.billed_as} bills {total}; charged {money['charged']}, in doubt {money['in_doubt']}")
    return found


def _twice_paid(database: Database) -> list[str]:
    """Generations with more paid jobs than tries that somebody, or the checking of their pictures, asked for."""
    return [
        f"generation {row['id']} has {row['paid']} paid jobs, and {row['asked']} more were asked for"
        for row in _rows(
            database,
            """
            SELECT * FROM (
                SELECT g.id, count(*) AS paid,
                       (SELECT count(*) FROM generation_history h
                        WHERE h.generation_id = g.id AND h.to_state = 'queued' AND h.from_state <> 'in_doubt') AS asked
                FROM generations g JOIN attempts a ON a.generation_id = g.id
                -- What a picture is finished by is a call of its own, and words are another.
                WHERE a.kind = 'image' AND a.hold_state = 'charged' AND a.charged_usd > 0 GROUP BY g.id
            ) counted WHERE paid > 1 + asked
            """,
        )
    ]


def _pictures(resources: Resources) -> list[str]:
    found = []
    assets = _rows(
        resources.database,
        "SELECT id, r2_key, sha256 FROM generation_assets WHERE r2_key IS NOT NULL",
    )
    for row in assets:
        try:
            content = resources.store.get(row["r2_key"])
            decode(content)
            if sha256(content) != row["sha256"]:
                found.append(f"the file of asset {row['id']} has another digest than its row")
        except (LikenessError, OSError) as failure:
            found.append(f"the picture of asset {row['id']} is not what was stored: {failure}")
    without = _rows(
        resources.database,
        "SELECT g.id FROM generations g WHERE g.state IN ('completed', 'rejected') AND NOT EXISTS"
        " (SELECT FROM generation_assets s WHERE s.generation_id = g.id AND s.best AND s.r2_key IS NOT NULL)",
    )
    found += [f"generation {row['id']} is done and has no picture" for row in without]
    return found
