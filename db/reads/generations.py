"""The read side: how far a batch is, and everything about its generations. Nothing here locks or writes."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Subquery, Table, extract, func, select

from db.schema import (
    attempts,
    batches,
    characters,
    generation_assets,
    generation_history,
    generations,
    ledger_entries,
)
from db.schema_api import acts
from db.schema_checks import threshold_versions, verdicts
from db.schema_finishing import finishings
from db.schema_learning import generation_feedback
from domain.errors import UnknownThing
from domain.ids import BatchId, GenerationId
from domain.states import FINAL, AttemptKind, AttemptState, GenerationState, HoldState, LedgerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch is.

    Args:
        counts: every state, also those with none.
        live: attempts that are not finished.
        paid: attempts that were charged.
        wall_s: from the first row to the last final state, or to now while something is not final.
        next_hold_usd: what the first generation in the queue needs set aside; None where the queue is empty.
        finishing: accepted pictures that are being finished, or wait for it.
        finishing_in_doubt: those of them for which a call is in doubt.
    """

    counts: dict[str, int]
    live: int
    paid: int
    wall_s: float
    next_hold_usd: Decimal | None
    finishing: int
    finishing_in_doubt: int

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def only_doubt(self) -> bool:
        """Whether nothing moves but the doubts."""
        return self.unfinished == self.counts[GenerationState.IN_DOUBT] and self.finishing == self.finishing_in_doubt

    @property
    def doubts(self) -> int:
        return self.counts[GenerationState.IN_DOUBT] + self.finishing_in_doubt

    @property
    def unfinished(self) -> int:
        return self.total - sum(self.counts[state] for state in FINAL)


def progress(connection: Connection, batch_id: BatchId) -> BatchProgress:
    mine = generations.c.batch_id == batch_id
    counted = connection.execute(select(generations.c.state, func.count()).where(mine).group_by(generations.c.state))
    counts = {state.value: 0 for state in GenerationState} | dict(counted.all())
    of_attempts = connection.execute(
        select(
            func.count().filter(attempts.c.state != "finished"),
            func.count().filter(attempts.c.hold_state == HoldState.CHARGED),
        ).where(attempts.c.batch_id == batch_id)
    ).one()
    times = connection.execute(
        select(
            extract("epoch", func.max(generations.c.completed_at) - func.min(generations.c.created_at)),
            extract("epoch", func.now() - func.min(generations.c.created_at)),
        ).where(mine)
    ).one()
    finishing = connection.execute(
        select(func.count(), func.count().filter(attempts.c.state == AttemptState.IN_DOUBT))
        .select_from(finishings)
        .outerjoin(attempts, attempts.c.id == finishings.c.attempt_id)
        .where(finishings.c.batch_id == batch_id, finishings.c.outcome.is_(None))
    ).one()
    over = all(counts[state] == 0 for state in GenerationState if state not in FINAL)
    wall_s = float((times[0] if over else times[1]) or 0)
    return BatchProgress(
        counts=counts,
        live=of_attempts[0],
        paid=of_attempts[1],
        wall_s=wall_s,
        next_hold_usd=_next_hold(connection, batch_id) if counts[GenerationState.QUEUED] else None,
        finishing=finishing[0],
        finishing_in_doubt=finishing[1],
    )


def _next_hold(connection: Connection, batch_id: BatchId) -> Decimal | None:
    queued = generations.c.batch_id == batch_id, generations.c.state == GenerationState.QUEUED
    in_order = select(generations.c.hold_usd).where(*queued).order_by(generations.c.position, generations.c.id)
    return connection.execute(in_order.limit(1)).scalar_one_or_none()


_FOR_WORDS: Final = (AttemptKind.VISION, AttemptKind.TEXT)
#: What is told of a generation in the order of its ids.
_BY_ID: Final[Mapping[str, Table]] = {
    "history": generation_history,
    "feedback": generation_feedback,
    "acts": acts,
    "finishings": finishings,
}


#: Verdicts, each with the model and weights that its thresholds were fitted to.
_JUDGED: Final = (
    select(
        verdicts,
        generation_assets.c.generation_id,
        characters.c.name.label("character"),
        threshold_versions.c.model.label("thresholds_fitted_to"),
        threshold_versions.c.calibration["model"]["revision"].astext.label("thresholds_fitted_revision"),
    )
    .join(generation_assets, generation_assets.c.id == verdicts.c.asset_id)
    .join(characters, characters.c.id == verdicts.c.character_id)
    .outerjoin(
        threshold_versions,
        (threshold_versions.c.character_id == verdicts.c.character_id)
        & (threshold_versions.c.version == verdicts.c.threshold_version),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationDetails:
    """A generation with its attempts, assets, verdicts, feedback, history and acts, each as the columns of its row."""

    generation: dict[str, Any]
    attempts: list[dict[str, Any]] = field(default_factory=list)
    assets: list[dict[str, Any]] = field(default_factory=list)
    verdicts: dict[UUID, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    history: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    finishings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, part: str, row: dict[str, Any]) -> None:
        if part == "verdicts":
            self.verdicts[row["asset_id"]].append(row)
        else:
            getattr(self, part).append(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which generations; what is None does not matter."""

    batch_id: BatchId | None = None
    generation_id: GenerationId | None = None
    generation_ids: Sequence[GenerationId] | None = None
    user_id: str | None = None
    state: str | None = None
    position: int | None = None
    since: datetime | None = None


def all_details(
    connection: Connection,
    wanted: Wanted,
    *,
    limit: int | None = None,
    offset: int = 0,
    told: Collection[str] | None = None,
) -> list[GenerationDetails]:
    """Generations in the order of the prompt file, newest batch first.

    Args:
        told: the `parts` that are read, a statement each; None for all.
    """
    chosen = select(generations).order_by(generations.c.batch_id.desc(), generations.c.position, generations.c.id)
    columns = {
        generations.c.batch_id: wanted.batch_id,
        generations.c.id: wanted.generation_id,
        generations.c.user_id: wanted.user_id,
        generations.c.state: wanted.state,
        generations.c.position: wanted.position,
    }
    for column, value in columns.items():
        if value is not None:
            chosen = chosen.where(column == value)
    if wanted.generation_ids is not None:
        chosen = chosen.where(generations.c.id.in_(wanted.generation_ids))
    if wanted.since is not None:
        chosen = chosen.where(generations.c.created_at >= wanted.since)
    rows = _rows(connection, chosen.limit(limit).offset(offset))
    found = {row["id"]: GenerationDetails(generation=row) for row in rows}
    ids = list(found)
    for name, part in parts(lambda generation_id: generation_id.in_(ids)).items():
        for row in _rows(connection, part) if told is None or name in told else ():
            found[row["generation_id"]].add(name, row)
    return list(found.values())


def parts(of: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> dict[str, Select[Any]]:
    """What is told of generations beside their own rows, in its order.

    Args:
        of: the condition on the column that names the generation.
    """
    told = {name: select(table).where(of(table.c.generation_id)).order_by(table.c.id) for name, table in _BY_ID.items()}
    return {
        # Calls for words come before the attempts that they prepare, those that finish a picture last.
        "attempts": select(attempts)
        .where(of(attempts.c.generation_id))
        .order_by(attempts.c.kind.in_(_FOR_WORDS).desc(), attempts.c.kind == AttemptKind.FINISH, attempts.c.number),
        "assets": select(generation_assets)
        .where(of(generation_assets.c.generation_id))
        .order_by(generation_assets.c.created_at, generation_assets.c.position),
        "verdicts": _JUDGED.where(of(generation_assets.c.generation_id)),
        **told,
    }


def final_since(
    connection: Connection, batch_id: BatchId, since: datetime | None
) -> list[tuple[GenerationId, datetime]]:
    """Generations that became final then or later, or ever, each with the moment, in order of time."""
    found = select(generations.c.id, generations.c.completed_at).where(
        generations.c.batch_id == batch_id, generations.c.completed_at.is_not(None)
    )
    if since is not None:
        found = found.where(generations.c.completed_at >= since)
    ordered = found.order_by(generations.c.completed_at, generations.c.position)
    return [(GenerationId(row[0]), row[1]) for row in connection.execute(ordered)]


def _rows(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in connection.execute(statement).mappings()]


def find_generation(connection: Connection, text: str) -> GenerationId:
    """The generation with that id.

    Raises:
        UnknownThing: no such id.
    """
    try:
        wanted = UUID(text)
    except ValueError:
        raise UnknownThing(f"{text!r} is no id of a generation; for a row of a batch write {text}/0") from None
    if connection.execute(select(generations.c.id).where(generations.c.id == wanted)).first() is None:
        raise UnknownThing(f"there is no generation {wanted}; `likeness list` shows them")
    return GenerationId(wanted)


def spend_over_time(connection: Connection, batch_id: BatchId) -> list[tuple[datetime, Decimal]]:
    """Moments of the batch's charges, and what had been charged by then."""
    sums = (
        select(ledger_entries.c.at, func.sum(ledger_entries.c.charged_usd).over(order_by=ledger_entries.c.id))
        .where(ledger_entries.c.batch_id == batch_id, ledger_entries.c.kind == LedgerKind.CHARGE)
        .order_by(ledger_entries.c.id)
    )
    return [(row[0], row[1]) for row in connection.execute(sums)]


def jobs_of_other_batches(connection: Connection, batch_id: BatchId) -> set[str]:
    found = select(attempts.c.job_id).where(attempts.c.batch_id != batch_id, attempts.c.job_id.is_not(None))
    return {job for job in connection.execute(found).scalars() if job is not None}


def cost_of(connection: Connection, *, user_id: str, since: datetime | None = None) -> list[dict[str, Any]]:
    """Per batch: charged, held, in doubt, limit, how many attempts were charged, and how many pictures accepted."""
    charged = (
        select(attempts.c.batch_id, func.count().label("paid"))
        .where(attempts.c.hold_state == HoldState.CHARGED)
        .group_by(attempts.c.batch_id)
        .subquery()
    )
    accepted = (
        select(generations.c.batch_id, func.count().label("accepted"))
        .where(generations.c.state == GenerationState.COMPLETED)
        .group_by(generations.c.batch_id)
        .subquery()
    )
    statement = (
        select(
            batches.c.id,
            batches.c.name,
            batches.c.charged_usd,
            batches.c.held_usd,
            batches.c.in_doubt_usd,
            batches.c.limit_usd,
            func.coalesce(charged.c.paid, 0).label("paid"),
            func.coalesce(accepted.c.accepted, 0).label("accepted"),
            extract("epoch", batches.c.created_at).label("created"),
        )
        .outerjoin(charged, charged.c.batch_id == batches.c.id)
        .outerjoin(accepted, accepted.c.batch_id == batches.c.id)
        .where(batches.c.user_id == user_id)
        .order_by(batches.c.created_at.desc())
    )
    if since is not None:
        statement = statement.where(batches.c.created_at >= since)
    return _rows(connection, statement)


def books_disagree(connection: Connection) -> list[str]:
    """Every difference between the batches' balances, the ledger, and the attempts; empty when the books are right."""
    differences = []
    for name, other in (("ledger", _by_ledger()), ("attempts", _by_attempts())):
        rows = connection.execute(
            select(
                batches.c.name,
                batches.c.charged_usd,
                batches.c.held_usd,
                batches.c.in_doubt_usd,
                func.coalesce(other.c.charged, 0).label("charged"),
                func.coalesce(other.c.held, 0).label("held"),
                func.coalesce(other.c.in_doubt, 0).label("in_doubt"),
            ).outerjoin(other, other.c.batch_id == batches.c.id)
        )
        for row in rows:
            mine = (row.charged_usd, row.held_usd, row.in_doubt_usd)
            theirs = (row.charged, row.held, row.in_doubt)
            if mine != theirs:
                differences.append(
                    f"batch {row.name!r}: charged, held, in doubt are {mine} in the batch and {theirs} in the {name}"
                )
    return differences


def _by_ledger() -> Subquery:
    """Every batch's money by the lines of the ledger."""
    return (
        select(
            ledger_entries.c.batch_id,
            func.sum(ledger_entries.c.charged_usd).label("charged"),
            func.sum(ledger_entries.c.held_usd).label("held"),
            func.sum(ledger_entries.c.in_doubt_usd).label("in_doubt"),
        )
        .group_by(ledger_entries.c.batch_id)
        .subquery()
    )


def _by_attempts() -> Subquery:
    """Every batch's money by what its attempts say."""
    return (
        select(
            attempts.c.batch_id,
            func.sum(attempts.c.charged_usd).label("charged"),
            func.sum(attempts.c.hold_usd).filter(attempts.c.hold_state == HoldState.HELD).label("held"),
            func.sum(attempts.c.hold_usd).filter(attempts.c.hold_state == HoldState.IN_DOUBT).label("in_doubt"),
        )
        .group_by(attempts.c.batch_id)
        .subquery()
    )
