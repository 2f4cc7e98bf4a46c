"""Decisions about models with everything needed to judge them later, and the results that routing learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import lanes
from db.schema_learning import routing_decisions
from domain.ids import GenerationId


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Which model a try uses, and what else it could have been.

    Args:
        number: of the try, from 1.
        candidates: each with model, provider, usd, pass_rate, usd_per_accepted and propensity.
        excluded: models that could not serve, and why.
        propensity: probability with which `model` was chosen.
    """

    number: int
    context: str
    candidates: Sequence[Mapping[str, Any]]
    model: str
    provider: str
    propensity: float
    version: str
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """What came of one call that a provider had accepted."""

    model: str
    characters: int
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedDecision:
    """A decision and what the tries of its model came to.

    Args:
        usd: charged for them.
    """

    decision: RoutingDecision
    accepted: bool
    usd: float


def keep(connection: Connection, generation_id: GenerationId, decision: RoutingDecision) -> RoutingDecision:
    """Write a decision once: where there is one about that try already, as after a death, that one holds."""
    connection.execute(
        upsert(routing_decisions).values(generation_id=generation_id, **asdict(decision)).on_conflict_do_nothing()
    )
    row = connection.execute(
        select(routing_decisions).where(
            routing_decisions.c.generation_id == generation_id, routing_decisions.c.number == decision.number
        )
    ).one()
    return _decision(row)


def _decision(row: Any) -> RoutingDecision:
    return RoutingDecision(**{name: getattr(row, name) for name in RoutingDecision.__dataclass_fields__})


#: A picture that somebody calls an outlier, or not the character, was not accepted, whatever the check said.
_TAKEN_BACK = """EXISTS (
    SELECT FROM generation_feedback f WHERE f.generation_id = a.generation_id
      AND f.feedback_type IN ('outlier', 'rejected') AND f.created_at >= a.finished_at
)"""

_RESULTS = text(
    f"""
    SELECT * FROM (
        SELECT a.model, a.finished_at, a.outcome = 'completed' AND NOT {_TAKEN_BACK} AS accepted,
            CASE WHEN g.character_id IS NULL THEN 0 ELSE 1 + cardinality(g.further_character_ids) END AS characters
        FROM attempts a JOIN generations g ON g.id = a.generation_id JOIN batches b ON b.id = g.batch_id
        WHERE a.kind = 'image' AND a.outcome IN ('completed', 'rejected', 'failed') AND a.accepted_at IS NOT NULL
          AND b.team = :team
        ORDER BY a.finished_at DESC LIMIT :most
    ) latest ORDER BY finished_at
    """  # noqa: S608 -- a constant condition
)


def results(connection: Connection, *, team: str, most: int) -> list[ModelResult]:
    """The latest results of a team, oldest first: what a provider accepted, and what was made of it."""
    rows = connection.execute(_RESULTS, {"most": most, "team": team})
    return [ModelResult(model=row.model, characters=row.characters, accepted=row.accepted) for row in rows]


def closed_providers(connection: Connection) -> dict[str, str]:
    """Providers of which no lane is open, and why."""
    is_open = func.bool_or((lanes.c.closed_until.is_(None)) | (lanes.c.closed_until <= func.now()))
    rows = connection.execute(
        select(lanes.c.provider, func.min(lanes.c.reason).label("reason")).group_by(lanes.c.provider).having(~is_open)
    )
    return {row.provider: row.reason or "closed" for row in rows}


_JUDGED = text(
    f"""
    SELECT d.*, bool_or(a.outcome = 'completed' AND NOT {_TAKEN_BACK}) AS accepted,
        coalesce(sum(a.charged_usd), 0) AS usd
    FROM routing_decisions d
    JOIN generations g ON g.id = d.generation_id
    JOIN attempts a ON a.generation_id = d.generation_id AND a.model = d.model AND a.kind = 'image'
        AND a.outcome IN ('completed', 'rejected', 'failed')
    WHERE g.user_id = :user AND (CAST(:batch AS uuid) IS NULL OR g.batch_id = :batch)
      AND g.state IN ('completed', 'rejected', 'failed')
    GROUP BY d.generation_id, d.number ORDER BY d.at, d.generation_id, d.number
    """  # noqa: S608 -- a constant condition
)


def judged(connection: Connection, *, user_id: str, batch_id: Any = None) -> list[JudgedDecision]:
    """Decisions whose generation is final, in the order of their time."""
    rows = connection.execute(_JUDGED, {"user": user_id, "batch": batch_id})
    return [JudgedDecision(decision=_decision(row), accepted=row.accepted, usd=float(row.usd)) for row in rows]


_BY_MODEL = text(
    f"""
    SELECT a.provider, a.model, count(*) AS calls,
        count(*) FILTER (WHERE a.outcome = 'completed' AND NOT {_TAKEN_BACK}) AS accepted,
        coalesce(sum(a.charged_usd), 0) AS charged_usd,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.intent_at - a.created_at)) AS waiting_s,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.made_at - a.intent_at)) AS generating_s,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.stored_at - a.made_at)) AS collecting_s,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.finished_at - a.stored_at)) AS validating_s
    FROM attempts a JOIN generations g ON g.id = a.generation_id
    WHERE a.kind = 'image' AND a.outcome IN ('completed', 'rejected', 'failed') AND a.intent_at IS NOT NULL
      AND g.user_id = :user AND (CAST(:batch AS uuid) IS NULL OR g.batch_id = :batch)
    GROUP BY 1, 2 ORDER BY 1, 2
    """  # noqa: S608 -- a constant condition
)

_BY_STAGE = text(
    """
    SELECT stage ->> 'name' AS name, count(*) AS count,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY (stage ->> 'took_ms')::float) AS took_ms,
        sum((stage ->> 'cost_usd')::numeric) AS cost_usd
    FROM generations g, jsonb_array_elements(g.pipeline_data -> 'stages') AS stage
    WHERE g.user_id = :user AND (CAST(:batch AS uuid) IS NULL OR g.batch_id = :batch)
      AND g.pipeline_data ? 'stages' AND stage ->> 'outcome' <> 'off'
    GROUP BY 1 ORDER BY min(stage ->> 'started_at')
    """
)


def by_model(connection: Connection, *, user_id: str, batch_id: Any = None) -> list[Mapping[str, Any]]:
    """Calls, acceptance, cost and median seconds of each step, by model."""
    return [dict(row) for row in connection.execute(_BY_MODEL, {"user": user_id, "batch": batch_id}).mappings()]


def by_stage(connection: Connection, *, user_id: str, batch_id: Any = None) -> list[Mapping[str, Any]]:
    """Median milliseconds and cost of the stages before the picture."""
    return [dict(row) for row in connection.execute(_BY_STAGE, {"user": user_id, "batch": batch_id}).mappings()]
