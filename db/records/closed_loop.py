"""What the closed loop reads and writes: where a rejected generation stands, and what was decided about it.

Deciding is `pipeline.attempts.closed_loop`'s business; the move itself is `db.moves.validation`'s, or a person's.
Both write what was decided in the transaction that moves the generation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, case, func, select, text, update

from db.reads.work import Work
from db.records import history
from db.schema import attempts, batches, generation_assets, generations, lanes
from db.schema_checks import verdicts
from domain.escalation import CLOSED_LOOP, Policy, merged
from domain.ids import AssetId, AttemptId, CharacterId, GenerationId
from domain.states import GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTry:
    """What becomes of a generation that tries again.

    Args:
        changes: the whole of `generations.changes`.
        hold_usd, price_usd: of one call of the next try.
    """

    changes: Mapping[str, Any]
    provider: str
    model: str
    hold_usd: Decimal
    price_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about a rejection.

    Args:
        reason: a sentence for people, without its full stop.
        next_try: None where it stays rejected.
    """

    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    next_try: NextTry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A generation as the closed loop sees it.

    Args:
        settings: with the changes of its latest try over them.
        changes: of its latest try, or of the one that waits.
        tries: of the row; those that failed and cost nothing are among them.
        tried_models: every model that an attempt of it was made with.
        varied: pictures that a variation was asked of already, as (job, position).
        providers: those that have a lane.
    """

    generation_id: GenerationId
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


def policy_of(connection: Connection, generation_id: GenerationId) -> Policy:
    """What a person allows this generation."""
    row = connection.execute(
        select(batches.c.try_policy.label("batch_policy"), generations.c.try_policy)
        .join(generations, generations.c.batch_id == batches.c.id)
        .where(generations.c.id == generation_id)
    ).one()
    return Policy.of(row.batch_policy, row.try_policy)


def standing(connection: Connection, generation_id: GenerationId) -> Standing:
    """Where the generation stands; nothing is locked."""
    row = connection.execute(
        select(generations, batches.c.try_policy.label("batch_policy"))
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(generations.c.id == generation_id)
    ).one()
    made = connection.execute(
        select(attempts.c.model, attempts.c.changes).where(attempts.c.generation_id == generation_id)
    ).all()
    actions = [one.changes["action"] for one in made if "action" in one.changes]
    return Standing(
        generation_id=generation_id,
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
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPicture:
    """The best of a generation's pictures, over all its tries.

    Args:
        position: among the pictures of its attempt, from 0.
        core, style: its lowest scores where there are several characters.
        detail: what the provider said in its last word about the job.
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
    """Judged pictures, the best first: as `domain.verdict.best_for_all` has it, in SQL."""
    # Null where style is advice, and LEAST passes over nulls.
    style = case((verdicts.c.style_decides, verdicts.c.style - verdicts.c.style_threshold))
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
        .where(generation_assets.c.generation_id == generation_id)
        .group_by(generation_assets.c.id)
        .order_by(
            func.bool_and(verdicts.c.passed).desc(),
            case((func.count() == 1, func.min(verdicts.c.core)), else_=func.min(margin)).desc(),
            generation_assets.c.created_at,
            generation_assets.c.position,
        )
        .limit(1)
    )


def best_picture(connection: Connection, generation_id: GenerationId) -> BestPicture | None:
    """The best of all tries, or None where nothing was judged."""
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
    """Where the picture stands among those of its attempt, from 0."""
    found: int = connection.execute(
        select(generation_assets.c.position).where(generation_assets.c.id == asset_id)
    ).scalar_one()
    return found


def mark_best(connection: Connection, generation_id: GenerationId) -> None:
    """One picture of all the generation's tries stands for it."""
    best = _ranked(generation_id).subquery()
    connection.execute(
        update(generation_assets)
        .where(generation_assets.c.generation_id == generation_id)
        .values(best=generation_assets.c.id == select(best.c.asset_id).scalar_subquery())
    )


def record_decision(connection: Connection, work: Work, decision: Decision, *, reached: GenerationState) -> None:
    """Write down what was decided about the rejection of `work`, and what the next try asks for.

    Args:
        reached: where the generation is now; a person's cancel may have come first.
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
    """What the next attempt of the generation is made from; its budget is checked when it is admitted."""
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


#: A further try is an attempt after one that was rejected; each must have a row that says who asked for it.
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
    """Charged attempts that came after a charged one of the same generation and that nobody asked for; always none.

    Asked for is what a row of history says between the two: the closed loop's after a verdict, or a person's. The later
    one counts from its intent: an admission may have begun, and waited for its turn, before anybody asked. A job that
    turned up late was asked for when it was first submitted.
    """
    return [AttemptId(one) for one in connection.execute(_UNASKED).scalars()]
