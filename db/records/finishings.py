"""Read and write wishes to finish accepted pictures; their attempts are made in `db.moves.finishing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.selectable import LateralFromClause
from sqlalchemy.types import Text

from db.reads.work import Work
from db.records.characters import ReferenceRow
from db.schema import attempts, batches, generation_assets, generations
from db.schema_finishing import finishings
from db.texts import storable
from domain.errors import LikenessError
from domain.escalation import Policy
from domain.finishing import FinishOutcome, FinishStep, in_words
from domain.ids import AssetId, AttemptId, BatchId, GenerationId
from domain.states import GenerationState

_OPEN = finishings.c.outcome.is_(None)
_LONGEST = 2000
#: Why the wish for a finished picture that does not pass has ended.
NO_LONGER_PASSES = "the finished picture no longer passes; the original stays the result"
#: Under which an attempt's `changes` say what it does.
CHANGE = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A stored picture that is to be finished, with what is known of the job that made it.

    Args:
        detail: what the provider said of the job in its last word.
        hold_usd, price_usd: of the attempt that made it.
    """

    asset_id: AssetId
    position: int
    r2_key: str
    sha256: str
    media_type: str
    width: int
    height: int
    uploaded_at: datetime | None
    lane: str
    provider: str
    model: str
    job_id: str | None
    detail: Mapping[str, Any]
    hold_usd: Decimal
    price_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A wish that nobody is at.

    Args:
        steps: what is left of it, in order.
        model: a person named it.
        accepted: whether its generation still is.
        picture: what the next step works on; None where it was deleted.
    """

    id: int
    generation_id: GenerationId
    batch_id: BatchId
    team: str
    user_id: str
    steps: Sequence[FinishStep]
    model: str | None
    tries: int
    accepted: bool
    picture: Picture | None

    @property
    def picture_id(self) -> AssetId | None:
        return None if self.picture is None else self.picture.asset_id


def ask(
    connection: Connection,
    batch_id: BatchId,
    *,
    steps: tuple[FinishStep, ...],
    model: str | None,
    generation_id: GenerationId | None = None,
    again: bool = False,
) -> int:
    """Wish that the accepted pictures of a batch, or one of them, be finished; returns how many wait for it now.

    Args:
        again: also those that the same wish was fulfilled for before, or whose finished picture no longer passed.
    """
    chosen = _unfinished(batch_id, steps=steps, model=model, generation_id=generation_id, again=again)
    columns = ["generation_id", "batch_id", "wanted", "steps", "model"]
    # One that is being finished is left to that.
    statement = insert(finishings).from_select(columns, chosen.order_by(generations.c.id)).on_conflict_do_nothing()
    return len(connection.execute(statement.returning(finishings.c.id)).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The accepted pictures of one provider that a wish is about.

    Args:
        pictures: of them those that `ask` would put down.
        held_usd: what is held for making those once more.
        max_image_cost: the most that the batch pays for one call.
    """

    provider: str
    pictures: int
    held_usd: Decimal
    max_image_cost: Decimal | None


def accepted(
    connection: Connection,
    batch_id: BatchId,
    *,
    steps: tuple[FinishStep, ...],
    model: str | None,
    generation_id: GenerationId | None = None,
    again: bool = False,
) -> list[Accepted]:
    """The accepted pictures of a batch, or of one generation, by who made them; none where there is none.

    Args:
        again: as `ask`.
    """
    chosen = _unfinished(batch_id, steps=steps, model=model, generation_id=generation_id, again=again).subquery()
    at_work = exists().where(finishings.c.generation_id == generations.c.id, _OPEN)
    new = generations.c.id.in_(select(chosen.c.id)) & ~at_work
    found = (
        select(
            batches.c.try_policy,
            generations.c.provider,
            func.count().filter(new).label("pictures"),
            func.coalesce(func.sum(generations.c.hold_usd).filter(new), 0).label("held_usd"),
        )
        .join_from(generations, batches, batches.c.id == generations.c.batch_id)
        .where(generations.c.batch_id == batch_id, generations.c.state == GenerationState.COMPLETED)
        .group_by(generations.c.provider, batches.c.try_policy)
        .order_by(generations.c.provider)
    )
    if generation_id is not None:
        found = found.where(generations.c.id == generation_id)
    return [
        Accepted(
            provider=row.provider,
            pictures=row.pictures,
            held_usd=row.held_usd,
            max_image_cost=Policy.of(row.try_policy, {}).max_image_cost,
        )
        for row in connection.execute(found)
    ]


def _unfinished(
    batch_id: BatchId,
    *,
    steps: tuple[FinishStep, ...],
    model: str | None,
    generation_id: GenerationId | None,
    again: bool,
) -> Select[Any]:
    """The accepted generations that the wish would be put down for, in the columns of a wish."""
    wanted = in_words(steps)
    paid = and_(
        finishings.c.generation_id == generations.c.id,
        finishings.c.wanted == wanted,
        finishings.c.model.is_not_distinct_from(model),
        finishings.c.outcome.in_([FinishOutcome.FINISHED, FinishOutcome.REJECTED]),
    )
    return select(
        generations.c.id,
        generations.c.batch_id,
        literal(wanted),
        literal(list(steps), ARRAY(Text)),
        literal(model, Text),
    ).where(
        generations.c.batch_id == batch_id,
        true() if generation_id is None else generations.c.id == generation_id,
        generations.c.state == GenerationState.COMPLETED,
        true() if again else ~exists().where(paid),
    )


def _picture_of_each() -> LateralFromClause:
    """The picture that each wish is about: its own, or the best of the generation."""
    asset = generation_assets
    return (
        select(asset)
        .where(
            asset.c.generation_id == finishings.c.generation_id,
            asset.c.r2_key.is_not(None),
            or_(
                asset.c.id == finishings.c.asset_id,
                and_(finishings.c.asset_id.is_(None), asset.c.asset_type == "image"),
            ),
        )
        .order_by(asset.c.best.desc(), asset.c.created_at, asset.c.position)
        .limit(1)
        .lateral("picture")
    )


def waiting(connection: Connection, *, limit: int) -> list[Waiting]:
    """Wishes of batches that are not paused, oldest first, that may be carried on now."""
    chosen = _picture_of_each()
    rows = connection.execute(
        select(
            finishings,
            batches.c.team,
            generations.c.user_id,
            generations.c.state,
            chosen.c.id.label("picture_id"),
            *(chosen.c[name] for name in ("position", "r2_key", "sha256", "media_type", "width", "height")),
            chosen.c.uploaded_at,
            *(attempts.c[name] for name in ("lane", "provider", "job_id", "result", "hold_usd")),
            attempts.c.model.label("made_by"),
            func.coalesce(attempts.c.price_usd, generations.c.price_usd).label("price_usd"),
        )
        .join_from(finishings, generations, generations.c.id == finishings.c.generation_id)
        .join(batches, and_(batches.c.id == finishings.c.batch_id, batches.c.paused_at.is_(None)))
        .outerjoin(chosen, true())
        .outerjoin(attempts, attempts.c.id == chosen.c.attempt_id)
        .where(
            _OPEN,
            finishings.c.attempt_id.is_(None),
            or_(finishings.c.not_before.is_(None), finishings.c.not_before <= func.now()),
        )
        .order_by(finishings.c.id)
        .limit(limit)
    )
    return [_waiting(row) for row in rows]


def _waiting(found: Row[Any]) -> Waiting:
    row = found._mapping  # noqa: SLF001 -- documented
    picture = None
    if row["picture_id"] is not None:
        names = ("position", "r2_key", "sha256", "media_type", "width", "height", "uploaded_at", "lane", "provider")
        picture = Picture(
            asset_id=row["picture_id"],
            model=row["made_by"],
            detail=row["result"].get("detail") or {},
            **{name: row[name] for name in (*names, "job_id", "hold_usd", "price_usd")},
        )
    return Waiting(
        id=row["id"],
        generation_id=row["generation_id"],
        batch_id=row["batch_id"],
        team=row["team"],
        user_id=row["user_id"],
        steps=[FinishStep(step) for step in row["steps"]],
        model=row["model"],
        tries=row["tries"],
        accepted=row["state"] == GenerationState.COMPLETED,
        picture=picture,
    )


def stored_picture(connection: Connection, asset_id: AssetId) -> ReferenceRow | None:
    """The picture as it is stored now, in the shape in which pictures are sent; None where it was deleted."""
    names = ("position", "sha256", "r2_key", "media_type", "width", "height", "uploaded_at")
    wanted = select(*(generation_assets.c[name] for name in names)).where(
        generation_assets.c.id == asset_id, generation_assets.c.r2_key.is_not(None)
    )
    row = connection.execute(wanted).mappings().one_or_none()
    return None if row is None else ReferenceRow(**row)


def take_up(connection: Connection, wish: Waiting, attempt_id: AttemptId) -> bool:
    """Give the wish to an attempt; False where somebody else was faster."""
    assert wish.picture is not None
    taken = connection.execute(
        update(finishings)
        .where(finishings.c.id == wish.id, _OPEN, finishings.c.attempt_id.is_(None))
        .values(
            attempt_id=attempt_id,
            asset_id=wish.picture.asset_id,
            original_id=func.coalesce(finishings.c.original_id, wish.picture.asset_id),
            said=None,
        )
    )
    return taken.rowcount == 1


def end(connection: Connection, wish_id: int, outcome: FinishOutcome, *, said: str) -> None:
    """End a wish that nobody is at."""
    _set(
        connection,
        and_(finishings.c.id == wish_id, finishings.c.attempt_id.is_(None)),
        outcome=outcome,
        said=said,
        finished_at=func.now(),
    )


def cancel(connection: Connection, batch_id: BatchId, generation_id: GenerationId | None = None) -> int:
    """End the wishes of a batch, or of one of its generations, that nobody is at, and mark the others as given up.

    Returns:
        How many were open and not given up before.
    """
    mine = [finishings.c.batch_id == batch_id, finishings.c.cancel_requested_at.is_(None), _OPEN]
    if generation_id is not None:
        mine.append(finishings.c.generation_id == generation_id)
    given_up = update(finishings).where(*mine).values(cancel_requested_at=func.now())
    wishes = list(connection.execute(given_up.returning(finishings.c.id)).scalars())
    _end_given_up(connection, finishings.c.id.in_(wishes))
    return len(wishes)


def _end_given_up(connection: Connection, which: ColumnElement[bool]) -> None:
    """End wishes that a person gave up and nobody is at any more."""
    given_up = finishings.c.cancel_requested_at.is_not(None), finishings.c.attempt_id.is_(None)
    said = "a person canceled it"
    _set(connection, and_(which, *given_up), outcome=FinishOutcome.CANCELED, said=said, finished_at=func.now())


def attempt_ended(
    connection: Connection,
    work: Work,
    reached: GenerationState,
    *,
    failure: LikenessError | None,
    wait: timedelta | None,
    counts: bool,
) -> None:
    """Carry the wish on after its attempt: to the next step, back into the queue, or to its end.

    Args:
        reached: what would become of a generation after such an attempt.
        counts: whether it was a failed try.
    """
    mine = finishings.c.attempt_id == work.attempt_id
    if reached in {GenerationState.QUEUED, GenerationState.CANCELED}:
        _set(
            connection,
            mine,
            not_before=func.now() + wait if wait else None,
            tries=finishings.c.tries + int(counts),
            said=None if failure is None else str(failure),
        )
        _end_given_up(connection, finishings.c.generation_id == work.generation_id)
        return
    if reached not in {GenerationState.COMPLETED, GenerationState.REJECTED}:
        said = None if failure is None else str(failure)
        _set(connection, mine, outcome=FinishOutcome.FAILED, said=said, finished_at=func.now())
        return
    made = _made_by(connection, work.attempt_id)
    if reached is GenerationState.REJECTED:
        rejected = {"outcome": FinishOutcome.REJECTED, "finished_at": func.now()}
        _set(connection, mine, asset_id=made, said=NO_LONGER_PASSES, **rejected)
        return
    left = connection.execute(select(finishings.c.steps).where(mine)).scalar_one_or_none() or []
    left = left[1:] if work.changes[CHANGE]["last"] else left
    ended = {} if left else {"outcome": FinishOutcome.FINISHED, "finished_at": func.now()}
    _set(connection, mine, asset_id=made, steps=left, tries=0, not_before=None, said=None, **ended)
    # Given up since this move read the attempt.
    _end_given_up(connection, finishings.c.generation_id == work.generation_id)


def _made_by(connection: Connection, attempt_id: AttemptId) -> AssetId | None:
    made = select(generation_assets.c.id).where(
        generation_assets.c.attempt_id == attempt_id, generation_assets.c.r2_key.is_not(None)
    )
    found = connection.execute(made.order_by(generation_assets.c.position).limit(1)).scalar_one_or_none()
    return None if found is None else AssetId(found)


def _set(connection: Connection, which: ColumnElement[bool], *, said: str | None, **values: Any) -> None:
    said = None if said is None else storable(said)[:_LONGEST]
    connection.execute(update(finishings).where(which, _OPEN).values(attempt_id=None, said=said, **values))
