"""What a team sees: its generations and batches page by page, and its figures over time. Nothing here writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, exists, extract, func, select

from db.schema import attempts, batches, generation_assets, generations, ledger_entries
from db.schema_api import deletions
from domain.ids import BatchId, GenerationId
from domain.states import FINAL, GenerationState, LedgerKind

S = GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which of a team's generations; what is None does not matter.

    Args:
        before: only those made before this one.
    """

    team: str
    user_id: str | None = None
    batch_id: BatchId | None = None
    status: str | None = None
    state: str | None = None
    before: UUID | None = None
    limit: int = 20


def generation_ids(connection: Connection, page: Page) -> list[GenerationId]:
    """The newest first; deleted ones are left out."""
    deleted = exists().where(deletions.c.generation_id == generations.c.id)
    wanted: list[ColumnElement[bool]] = [batches.c.team == page.team, ~deleted]
    for column, value in (
        (generations.c.user_id, page.user_id),
        (generations.c.batch_id, page.batch_id),
        (generations.c.status, page.status),
        (generations.c.state, page.state),
    ):
        if value is not None:
            wanted.append(column == value)
    if page.before is not None:
        wanted.append(generations.c.id < page.before)
    rows = connection.execute(
        select(generations.c.id)
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(*wanted)
        .order_by(generations.c.id.desc())
        .limit(page.limit)
    )
    return [GenerationId(one) for one in rows.scalars()]


def team_of_batch(connection: Connection, batch_id: UUID) -> str | None:
    return connection.execute(select(batches.c.team).where(batches.c.id == batch_id)).scalar_one_or_none()


def batch_named(connection: Connection, name: str, *, user_id: str, team: str) -> tuple[BatchId, UUID | None] | None:
    """The batch of that name and the key that made it."""
    mine = and_(batches.c.team == team, batches.c.user_id == user_id, batches.c.name == name)
    row = connection.execute(select(batches.c.id, batches.c.key_id).where(mine)).one_or_none()
    return None if row is None else (BatchId(row.id), row.key_id)


def picture(connection: Connection, asset_id: UUID, *, team: str) -> tuple[str, str | None, str | None] | None:
    """Key, media type and digest of a stored picture of the team's."""
    row = connection.execute(
        select(generation_assets.c.r2_key, generation_assets.c.media_type, generation_assets.c.sha256)
        .join(generations, generations.c.id == generation_assets.c.generation_id)
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(
            generation_assets.c.id == asset_id,
            batches.c.team == team,
            generation_assets.c.r2_key.is_not(None),
            ~exists().where(deletions.c.generation_id == generations.c.id),
        )
    ).one_or_none()
    return None if row is None else (row.r2_key, row.media_type, row.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """A batch in a list, with the figures that a glance wants."""

    id: BatchId
    name: str
    user_id: str
    total: int
    accepted: int
    rejected: int
    failed: int
    canceled: int
    charged_usd: Any
    held_usd: Any
    in_doubt_usd: Any
    limit_usd: Any
    paused_reason: str | None
    stopped_reason: str | None
    created_at: Any

    @property
    def unfinished(self) -> int:
        return self.total - self.accepted - self.rejected - self.failed - self.canceled


def batch_lines(
    connection: Connection, team: str, *, before: UUID | None, limit: int, user_id: str | None = None
) -> list[BatchLine]:
    """The newest first."""
    chosen = select(batches).where(batches.c.team == team).order_by(batches.c.id.desc()).limit(limit)
    if before is not None:
        chosen = chosen.where(batches.c.id < before)
    if user_id is not None:
        chosen = chosen.where(batches.c.user_id == user_id)
    some = chosen.cte("some")
    named = {"accepted": S.COMPLETED, "rejected": S.REJECTED, "failed": S.FAILED, "canceled": S.CANCELED}
    counts = [func.count().filter(generations.c.state == state).label(name) for name, state in named.items()]
    kept = [name for name in BatchLine.__dataclass_fields__ if name not in {"total", *named}]
    rows = connection.execute(
        select(*[some.c[name] for name in kept], func.count(generations.c.id).label("total"), *counts)
        .outerjoin(generations, generations.c.batch_id == some.c.id)
        .group_by(*[some.c[name] for name in kept])
        .order_by(some.c.id.desc())
    )
    return [BatchLine(**row) for row in rows.mappings()]


#: What figures may be gathered by, and the column that says it.
GROUPS: Mapping[str, Any] = {
    "day": func.to_char(func.timezone("UTC", generations.c.created_at), "YYYY-MM-DD"),
    "user": generations.c.user_id,
    "model": generations.c.model,
}


def figures(connection: Connection, team: str, *, by: str, days: int) -> list[dict[str, Any]]:
    """Generations, cost, success and times of the last `days` days, by day, user or model."""
    group = GROUPS[by].label("group")
    ended = generations.c.state.in_(FINAL)
    image = attempts.alias("image")
    last = (
        select(image.c.generation_id, func.max(image.c.number).label("number"))
        .where(image.c.kind == "image")
        .group_by(image.c.generation_id)
        .subquery()
    )

    def mean_s(start: Any, end: Any) -> Any:
        return func.avg(extract("epoch", end - start))

    statement = (
        select(
            group,
            func.count().label("generations"),
            func.count().filter(generations.c.state == S.COMPLETED).label("accepted"),
            func.count().filter(generations.c.state == S.REJECTED).label("rejected"),
            func.count().filter(generations.c.state == S.FAILED).label("failed"),
            func.count().filter(ended).label("ended"),
            func.coalesce(func.sum(generations.c.cost), 0).label("cost"),
            mean_s(generations.c.created_at, image.c.intent_at).label("queued_s"),
            mean_s(image.c.intent_at, image.c.made_at).label("generating_s"),
            mean_s(image.c.made_at, image.c.stored_at).label("collecting_s"),
            mean_s(image.c.stored_at, image.c.finished_at).label("checking_s"),
        )
        .join(batches, batches.c.id == generations.c.batch_id)
        .outerjoin(last, last.c.generation_id == generations.c.id)
        .outerjoin(
            image,
            and_(image.c.generation_id == generations.c.id, image.c.kind == "image", image.c.number == last.c.number),
        )
        .where(batches.c.team == team, generations.c.created_at >= func.now() - func.make_interval(0, 0, 0, days))
        .group_by(group)
        .order_by(group)
    )
    return [{str(name): value for name, value in row.items()} for row in connection.execute(statement).mappings()]


def spend(connection: Connection, team: str, *, days: int) -> list[tuple[str, Any, int]]:
    """Charges of the last `days` days, by day: the day, dollars, calls."""
    day = func.to_char(func.timezone("UTC", ledger_entries.c.at), "YYYY-MM-DD").label("day")
    rows = connection.execute(
        select(day, func.sum(ledger_entries.c.charged_usd), func.count())
        .join(batches, batches.c.id == ledger_entries.c.batch_id)
        .where(
            batches.c.team == team,
            ledger_entries.c.kind == LedgerKind.CHARGE,
            ledger_entries.c.at >= func.now() - func.make_interval(0, 0, 0, days),
        )
        .group_by(day)
        .order_by(day)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def totals(connection: Connection, team: str) -> Mapping[str, Any]:
    """The team's money over all time, and how many generations were accepted for it."""
    money = (
        connection.execute(
            select(
                func.coalesce(func.sum(batches.c.charged_usd), 0).label("charged_usd"),
                func.coalesce(func.sum(batches.c.held_usd), 0).label("held_usd"),
                func.coalesce(func.sum(batches.c.in_doubt_usd), 0).label("in_doubt_usd"),
                func.count().label("batches"),
            ).where(batches.c.team == team)
        )
        .mappings()
        .one()
    )
    counts = (
        connection.execute(
            select(
                func.count().label("generations"),
                func.count(case((generations.c.state == S.COMPLETED, 1))).label("accepted"),
            )
            .join(batches, batches.c.id == generations.c.batch_id)
            .where(batches.c.team == team)
        )
        .mappings()
        .one()
    )
    return {**{str(k): v for k, v in money.items()}, **{str(k): v for k, v in counts.items()}}


def users(connection: Connection, team: str, *, limit: int = 100) -> Sequence[str]:
    rows = connection.execute(
        select(batches.c.user_id).where(batches.c.team == team).distinct().order_by(batches.c.user_id).limit(limit)
    )
    return list(rows.scalars())
