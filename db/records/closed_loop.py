"""Rows of the closed loop: the input of its decisions, and the decisions themselves.

`pipeline.requests.closed_loop` decides. `db.moves.validation`, or a retry, moves the generation and writes the decision
in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Float, Select, case, cast, func, select, text, update

from db.reads.work import Work
from db.records import history, routing
from db.records.routing import RoutingDecision
from db.schema import attempts, batches, generation_assets, generations, lanes
from db.schema_checks import verdicts
from domain.escalation import CLOSED_LOOP, Policy, merged
from domain.ids import AssetId, AttemptId, CharacterId, GenerationId
from domain.preparation import WISHES
from domain.routing import Routing
from domain.states import GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTry:
    """The next try of a generation.

    Args:
        changes: the new value of `generations.changes`.
        hold_usd, price_usd: of one call of the next try.
        routing: why this model, where it was left to the product.
    """

    changes: Mapping[str, Any]
    provider: str
    model: str
    hold_usd: Decimal
    price_usd: Decimal
    routing: RoutingDecision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision about a rejected generation.

    Args:
        reason: a sentence for users, without full stop.
        next_try: None where it stays rejected.
    """

    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    next_try: NextTry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TryState:
    """The state of a generation that a decision is based on.

    Args:
        settings: overlaid with the changes of its latest try.
        changes: of its latest try, or of the one that waits.
        team: whose results count.
        tries: number of tries, including failed ones that cost nothing.
        tried_models: every model that an attempt used.
        varied: pictures that a variation was requested of, as (job, position).
        providers: those that have a lane.
        routing: among which models it may be sent; None where a person named one.
    """

    generation_id: GenerationId
    team: str
    policy: Policy
    prompt: str
    character_ids: Sequence[CharacterId]
    provider: str
    model: str
    settings: Mapping[str, Any]
    changes: Mapping[str, Any]
    hold_usd: Decimal
    price_usd: Decimal
    tries: int
    tried_models: frozenset[str]
    varied: frozenset[tuple[str, int]]
    providers: frozenset[str]
    routing: Routing | None = None


def policy_of(connection: Connection, generation_id: GenerationId) -> Policy:
    """The try policy of this generation."""
    return policies_of(connection, [generation_id])[0]


def policies_of(connection: Connection, generation_ids: Sequence[GenerationId]) -> list[Policy]:
    """The try policy of each."""
    rows = connection.execute(
        select(generations.c.id, batches.c.try_policy.label("batch_policy"), generations.c.try_policy)
        .join(batches, generations.c.batch_id == batches.c.id)
        .where(generations.c.id.in_(generation_ids))
    )
    found = {row.id: Policy.of(row.batch_policy, row.try_policy) for row in rows}
    return [found[one] for one in generation_ids]


def try_state(connection: Connection, generation_id: GenerationId) -> TryState:
    """The state of the generation; locks nothing."""
    row = connection.execute(
        select(generations, batches.c.try_policy.label("batch_policy"), batches.c.team)
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(generations.c.id == generation_id)
    ).one()
    made = connection.execute(
        select(attempts.c.model, attempts.c.changes).where(attempts.c.generation_id == generation_id)
    ).all()
    actions = [one.changes["action"] for one in made if "action" in one.changes]
    return TryState(
        generation_id=generation_id,
        team=row.team,
        policy=Policy.of(row.batch_policy, row.try_policy),
        prompt=row.prompt,
        character_ids=[] if row.character_id is None else [row.character_id, *row.further_character_ids],
        provider=row.provider,
        model=row.model,
        settings=merged(row.settings, row.changes),
        changes=row.changes,
        hold_usd=row.hold_usd,
        price_usd=row.price_usd,
        tries=row.tries,
        tried_models=frozenset(one.model for one in made),
        varied=frozenset((str(one["job_id"]), int(one["position"])) for one in actions),
        providers=frozenset(connection.execute(select(lanes.c.provider)).scalars()),
        routing=Routing.of(row.pipeline_data.get(WISHES, {}).get("routing")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPicture:
    """The best of a generation's pictures, over all its tries.

    Args:
        position: among the pictures of its attempt, from 0.
        core, style: its lowest scores where there are several characters.
        detail: from the provider's final status of the job.
    """

    asset_id: AssetId
    attempt_id: AttemptId
    position: int
    core: float
    style: float
    lane: str
    provider: str
    job_id: str | None
    detail: Mapping[str, Any]


def _ranked(generation_id: GenerationId) -> Select[Any]:
    """Judged pictures, best first: `domain.verdict.best_for_all` in SQL."""
    # Null where style is advisory; LEAST ignores nulls.
    style = case((verdicts.c.style_decides, verdicts.c.style - verdicts.c.style_threshold))
    reward = cast(generation_assets.c["metadata"]["reward"].astext, Float)
    margin = func.least(verdicts.c.core - verdicts.c.core_threshold, style)
    return (
        select(
            generation_assets.c.id.label("asset_id"),
            generation_assets.c.attempt_id,
            generation_assets.c.position,
            func.min(verdicts.c.core).label("core"),
            func.min(verdicts.c.style).label("style"),
        )
        .join(verdicts, verdicts.c.asset_id == generation_assets.c.id)
        .where(generation_assets.c.generation_id == generation_id, generation_assets.c.asset_type == "image")
        .group_by(generation_assets.c.id)
        .order_by(
            func.bool_and(verdicts.c.passed).desc(),
            # Among those that pass, what is liked most, where a preference head has said so.
            case((func.bool_and(verdicts.c.passed), reward), else_=None).desc().nulls_last(),
            case((func.count() == 1, func.min(verdicts.c.core)), else_=func.min(margin)).desc(),
            generation_assets.c.created_at,
            generation_assets.c.position,
        )
        .limit(1)
    )


def best_picture(connection: Connection, generation_id: GenerationId) -> BestPicture | None:
    """The best picture of all tries; None where nothing was judged."""
    best = _ranked(generation_id).subquery()
    row = connection.execute(
        select(best, attempts.c.lane, attempts.c.provider, attempts.c.job_id, attempts.c.result).join(
            attempts, attempts.c.id == best.c.attempt_id
        )
    ).one_or_none()
    if row is None:
        return None
    return BestPicture(
        asset_id=row.asset_id,
        attempt_id=row.attempt_id,
        position=row.position,
        core=row.core,
        style=row.style,
        lane=row.lane,
        provider=row.provider,
        job_id=row.job_id,
        detail=row.result.get("detail") or {},
    )


def position_of(connection: Connection, asset_id: AssetId) -> int:
    """Position of the picture in its attempt, from 0."""
    found: int = connection.execute(
        select(generation_assets.c.position).where(generation_assets.c.id == asset_id)
    ).scalar_one()
    return found


def mark_best(connection: Connection, generation_id: GenerationId) -> None:
    """Mark the best picture of all tries as the generation's."""
    best = _ranked(generation_id).subquery()
    connection.execute(
        update(generation_assets)
        .where(generation_assets.c.generation_id == generation_id)
        .values(best=generation_assets.c.id == select(best.c.asset_id).scalar_subquery())
    )


def record_decision(connection: Connection, work: Work, decision: Decision, *, reached: GenerationState) -> None:
    """Record the decision about the rejection of `work`, and prepare the next try.

    Args:
        reached: the generation's state now; a user may have canceled it first.
    """
    if reached is GenerationState.CANCELED:
        return
    if decision.next_try is not None:
        prepare(connection, work.generation_id, decision.next_try)
    history.note(
        connection,
        generation_id=work.generation_id,
        attempt_id=work.attempt_id,
        from_state=GenerationState.VALIDATING,
        to_state=reached,
        actor=CLOSED_LOOP,
        reason=decision.reason,
        detail=decision.detail,
    )


def prepare(connection: Connection, generation_id: GenerationId, following: NextTry) -> None:
    """Store what the next attempt asks for; its budget is checked at admission."""
    connection.execute(
        update(generations)
        .where(generations.c.id == generation_id)
        .values(
            changes=dict(following.changes),
            provider=following.provider,
            model=following.model,
            hold_usd=following.hold_usd,
            price_usd=following.price_usd,
        )
    )
    if following.routing is not None:
        routing.keep(connection, generation_id, following.routing)


#: A further try is an attempt after a rejected one; each needs a history row that asked for it.
_UNASKED = text(
    """
    SELECT later.id
    FROM attempts earlier
    JOIN attempts later ON later.generation_id = earlier.generation_id AND later.kind = earlier.kind
        AND later.number > earlier.number AND later.hold_state = 'charged'
    WHERE earlier.kind = 'image' AND earlier.hold_state = 'charged'
      AND earlier.found_late_at IS NULL AND later.found_late_at IS NULL AND NOT EXISTS (
        SELECT FROM generation_history h
        WHERE h.generation_id = later.generation_id AND h.to_state = 'queued'
          AND h.at >= earlier.finished_at AND h.at <= later.intent_at
    )
    ORDER BY later.id
    """
)


def paid_unasked(connection: Connection) -> list[AttemptId]:
    """Charged attempts after a charged one of the same generation that nobody asked for; always empty.

    An attempt was asked for if the history has a row between the two, by the closed loop or a user. The later attempt
    counts from its intent, because its admission may have begun earlier. A job found late was asked for when it was
    first submitted.
    """
    return [AttemptId(one) for one in connection.execute(_UNASKED).scalars()]
