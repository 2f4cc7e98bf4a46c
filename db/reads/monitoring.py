"""Figures of the queue and the books for monitoring: what waits, what runs, what is owed, and since when.

Every statement reads live rows by a partial index, or one row per batch or lane; what is over counts for an hour or a
day only. A scrape therefore costs as much as there is work, not as much as was ever done.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from db.column_types import quoted
from domain.faults import CODES
from domain.states import IN_FLIGHT, LIVE

#: A scrape gives up after this long, so that it cannot hold up what it measures.
_LONGEST: Final = "5s"
#: What a statement may label a value with, and nothing else: no prompt, person, batch or generation.
LABELS: Final = frozenset({"provider", "lane", "state", "kind", "outcome", "quantile"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One value of a metric, with its labels by name."""

    name: str
    labels: Mapping[str, str]
    value: float


_QUEUE: Final = f"""
    WITH open_lanes AS (
        SELECT provider, max(greatest(
                   (SELECT max(intent_at) FROM attempts a WHERE a.lane = l.name AND a.job_id IS NOT NULL),
                   (SELECT max(created_at) FROM attempts a WHERE a.lane = l.name AND a.state <> 'finished'))) AS sent_at
        FROM lanes l
        WHERE (closed_until IS NULL OR closed_until <= now()) AND concurrency > (
            SELECT count(*) FROM attempts a WHERE a.lane = l.name AND a.state IN ({quoted(IN_FLIGHT)}))
        GROUP BY provider
    ), queued AS (
        SELECT g.provider, count(*) AS number, min(g.created_at) AS oldest,
               min(greatest(g.updated_at, g.not_before)) FILTER (
                   WHERE b.paused_at IS NULL AND b.stopped_reason IS NULL AND g.cancel_requested_at IS NULL
                         AND coalesce(g.not_before <= now(), true)) AS may_go_since
        FROM generations g JOIN batches b ON b.id = g.batch_id
        WHERE g.state = 'queued'
        GROUP BY g.provider
    )
    SELECT p.provider, coalesce(q.number, 0) AS generations_queued,
           coalesce(extract(epoch FROM now() - q.oldest), 0) AS oldest_queued_seconds,
           CASE WHEN q.may_go_since IS NULL OR o.provider IS NULL THEN 0
                ELSE extract(epoch FROM now() - greatest(q.may_go_since, o.sent_at)) END AS admission_lag_seconds
    FROM (SELECT DISTINCT provider FROM lanes) p
    LEFT JOIN queued q ON q.provider = p.provider LEFT JOIN open_lanes o ON o.provider = p.provider
"""  # noqa: S608 -- our own words

# The age is that of the last step: GREATEST passes over what is null.
_ATTEMPTS: Final = f"""
    SELECT l.name AS lane, s.state, count(a.id) AS attempts,
           coalesce(extract(epoch FROM now() - min(greatest(
               a.created_at, a.intent_at, a.accepted_at, a.doubted_at, a.made_at, a.stored_at))), 0)
               AS oldest_attempt_seconds,
           count(a.id) FILTER (WHERE a.lease_until < now()) AS expired_leases,
           coalesce(sum(a.deaths), 0) AS worker_deaths
    FROM lanes l CROSS JOIN unnest(ARRAY[{quoted(LIVE)}]) AS s(state)
    LEFT JOIN attempts a ON a.lane = l.name AND a.state = s.state AND a.state <> 'finished'
    GROUP BY l.name, s.state
"""  # noqa: S608 -- our own words

_LANES: Final = f"""
    SELECT l.name AS lane, l.concurrency AS lane_concurrency,
           (SELECT count(*) FROM attempts a WHERE a.lane = l.name AND a.state IN ({quoted(IN_FLIGHT)}))
               AS lane_in_flight,
           (coalesce(l.closed_until, now()) > now())::int AS lane_closed,
           l.account_balance_usd AS lane_balance_usd,
           (SELECT count(*) FROM attempts a
            WHERE a.lane = l.name AND a.state = 'generating' AND a.deadline_at < now()) AS overdue_jobs,
           (SELECT count(*) FROM attempts a
            WHERE a.lane = l.name AND a.finished_at > now() - interval '1 hour' AND a.error_code IN ({quoted(CODES)}))
               AS provider_faults_hour,
           (SELECT coalesce(sum(e.charged_usd), 0) FROM ledger_entries e
            WHERE e.lane = l.name AND e.kind = 'charge' AND e.at > now() - interval '24 hours') AS lane_charged_day_usd
    FROM lanes l
"""  # noqa: S608 -- our own words

_OPEN_MONEY: Final = """
    SELECT l.name AS lane, k.kind, coalesce(sum(a.hold_usd), 0) AS lane_open_usd
    FROM lanes l CROSS JOIN unnest(ARRAY['held', 'in_doubt']) AS k(kind)
    LEFT JOIN attempts a ON a.lane = l.name AND a.hold_state = k.kind AND a.state <> 'finished'
    GROUP BY l.name, k.kind
"""

_SPEND: Final = """
    SELECT k.kind, k.usd AS spend_usd
    FROM (SELECT coalesce(sum(charged_usd), 0) AS charged, coalesce(sum(held_usd), 0) AS held,
                 coalesce(sum(in_doubt_usd), 0) AS in_doubt FROM batches) s
    CROSS JOIN LATERAL (VALUES ('charged', s.charged), ('held', s.held), ('in_doubt', s.in_doubt)) AS k(kind, usd)
"""

_VERDICTS: Final = """
    SELECT l.name AS lane, o.outcome, count(a.id) AS verdicts_day
    FROM lanes l CROSS JOIN unnest(ARRAY['completed', 'rejected']) AS o(outcome)
    LEFT JOIN attempts a ON a.lane = l.name AND a.made_at > now() - interval '24 hours' AND a.outcome = o.outcome
    GROUP BY l.name, o.outcome
"""

# Of the jobs that ended within the hour: from acceptance to the provider's last word, from the stored pictures to the
# verdict, and from the row's arrival to its verdict.
_DURATIONS: Final = """
    SELECT a.lane, q.quantile::text AS quantile,
           percentile_cont(q.quantile) WITHIN GROUP (ORDER BY extract(epoch FROM a.made_at - a.accepted_at))
               AS provider_seconds,
           percentile_cont(q.quantile) WITHIN GROUP (ORDER BY extract(epoch FROM a.finished_at - a.stored_at))
               AS verdict_seconds,
           percentile_cont(q.quantile) WITHIN GROUP (ORDER BY extract(epoch FROM a.finished_at - g.created_at))
               AS queue_to_verdict_seconds
    FROM attempts a JOIN generations g ON g.id = a.generation_id
    CROSS JOIN unnest(ARRAY[0.5, 0.95]) AS q(quantile)
    WHERE a.lane IN (SELECT name FROM lanes) AND a.made_at > now() - interval '1 hour'
    GROUP BY a.lane, q.quantile
"""

_PROCESSES: Final = """
    SELECT (SELECT extract(epoch FROM now() - at) FROM ticks WHERE name = 'queue.admit') AS tick_age_seconds,
           (SELECT extract(epoch FROM now() - at) FROM ticks WHERE name = 'books.audit') AS audit_age_seconds,
           (SELECT jsonb_array_length(said) FROM ticks WHERE name = 'books.audit') AS audit_findings,
           (SELECT count(*) FROM generation_assets WHERE uploaded_at IS NULL AND r2_key IS NOT NULL) AS uploads_waiting
"""

# In two halves, each by the partial index that holds it.
_PREPARING: Final = """
    WITH preparing AS (
        SELECT created_at FROM generations
        WHERE state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NULL
        UNION ALL
        SELECT created_at FROM generations
        WHERE state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NOT NULL
    )
    SELECT count(*) AS generations_preparing,
           coalesce(extract(epoch FROM now() - min(created_at)), 0) AS oldest_preparing_seconds,
           (SELECT count(*) FROM preparations WHERE lease_until < now()) AS preparing_expired_leases
    FROM preparing
"""

# A column named as in LABELS is one; every other column is a metric of that name. A lane or provider without work has
# a row with 0, so that a graph does not break off and an alert can tell calm from silence. Nothing is said for a null.
_STATEMENTS: Final = tuple(
    text(one) for one in (_PREPARING, _QUEUE, _ATTEMPTS, _LANES, _OPEN_MONEY, _SPEND, _VERDICTS, _DURATIONS, _PROCESSES)
)


def measure(connection: Connection) -> Iterator[Measured]:
    """Every figure as of now.

    Raises:
        OperationalError: a statement took too long.
    """
    connection.execute(text(f"SET LOCAL statement_timeout = '{_LONGEST}'"))
    for statement in _STATEMENTS:
        for row in connection.execute(statement).mappings():
            labels = {name: str(value) for name, value in row.items() if name in LABELS}
            for name, value in row.items():
                if name not in LABELS and value is not None:
                    yield Measured(name=name, labels=labels, value=float(value))
