"""The books against themselves: balances, ledger, attempts and states must tell one story. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Select, and_, func, select

from db.reading import books_disagree
from db.schema import attempts, batches, generations, ledger_entries
from domain.ids import AttemptId
from domain.states import FINAL, LIVE, AttemptKind, AttemptState, GenerationState, HoldState, LedgerKind

#: One that was found late lives beside its generation, whatever has become of that.
_DECIDES = attempts.c.kind == AttemptKind.IMAGE


def differences(connection: Connection) -> list[str]:
    """Everything that does not add up, a sentence each; empty when the books are right."""
    found = books_disagree(connection)
    for sentence, statement in _CHECKS:
        found += [sentence.format(*row) for row in connection.execute(statement.limit(100))]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """An attempt that has a job, as the books have it.

    Args:
        charged_usd: None while nothing is charged.
    """

    attempt_id: AttemptId
    job_id: str
    state: AttemptState
    charged_usd: Decimal | None
    intent_at: datetime


def booked(connection: Connection, lane: str, *, since: datetime, until: datetime) -> list[Booked]:
    """The lane's attempts with a job whose intent lies between the two moments, oldest first."""
    rows = connection.execute(
        select(attempts.c.id, attempts.c.job_id, attempts.c.state, attempts.c.charged_usd, attempts.c.intent_at)
        .where(attempts.c.lane == lane, attempts.c.job_id.is_not(None), attempts.c.intent_at.between(since, until))
        .order_by(attempts.c.intent_at)
    )
    return [
        Booked(
            attempt_id=row.id,
            job_id=row.job_id,
            state=AttemptState(row.state),
            charged_usd=row.charged_usd,
            intent_at=row.intent_at,
        )
        for row in rows
    ]


def sent_texts(connection: Connection, lane: str, *, since: datetime) -> set[str]:
    """What the lane's attempts have sent since then, but for requests whose answer is still awaited or in doubt."""
    sent = select(attempts.c.sent_prompt, attempts.c.state).where(
        attempts.c.lane == lane, attempts.c.intent_at >= since, attempts.c.sent_prompt.is_not(None)
    )
    rows = connection.execute(sent).all()
    open_yet = {AttemptState.SUBMITTING, AttemptState.IN_DOUBT}
    return {row.sent_prompt for row in rows} - {row.sent_prompt for row in rows if row.state in open_yet}


def _costs() -> Select[tuple[object, ...]]:
    charged = func.coalesce(func.sum(attempts.c.charged_usd), 0)
    return (
        select(generations.c.id, generations.c.cost, charged)
        .outerjoin(attempts, attempts.c.generation_id == generations.c.id)
        .group_by(generations.c.id)
        .having(generations.c.cost != charged)
    )


def _held_though_final() -> Select[tuple[object, ...]]:
    return (
        select(attempts.c.id, attempts.c.hold_state, generations.c.state)
        .join(generations, generations.c.id == attempts.c.generation_id)
        .where(
            generations.c.state.in_(FINAL), attempts.c.hold_state.in_([HoldState.HELD, HoldState.IN_DOUBT]), _DECIDES
        )
    )


def _words_apart() -> Select[tuple[object, ...]]:
    return (
        select(generations.c.id, generations.c.state, attempts.c.state)
        .join(attempts, and_(attempts.c.generation_id == generations.c.id, _DECIDES))
        .where(attempts.c.state != AttemptState.FINISHED, attempts.c.state != generations.c.state)
    )


def _live_without_attempt() -> Select[tuple[object, ...]]:
    live = select(attempts.c.id).where(
        attempts.c.generation_id == generations.c.id, attempts.c.state != AttemptState.FINISHED, _DECIDES
    )
    return select(generations.c.id, generations.c.state).where(
        generations.c.state.in_([GenerationState(state) for state in LIVE]), ~live.exists()
    )


def _above_the_limit() -> Select[tuple[object, ...]]:
    # A limit may be set below what is used already; then it is right as long as nothing more was set aside.
    more = ledger_entries.c.kind == LedgerKind.HOLD, ledger_entries.c.held_usd + ledger_entries.c.in_doubt_usd > 0
    new = *more, ledger_entries.c.at > batches.c.limit_set_at
    set_aside = select(ledger_entries.c.id).where(ledger_entries.c.batch_id == batches.c.id, *new)
    used = batches.c.charged_usd + batches.c.held_usd + batches.c.in_doubt_usd
    return select(batches.c.name, used, batches.c.limit_usd).where(
        used > batches.c.limit_usd, batches.c.paused_reason.is_(None), set_aside.exists()
    )


_CHECKS: Sequence[tuple[str, Select[tuple[object, ...]]]] = (
    ("generation {} costs {} USD by its own row and {} USD by its attempts", _costs()),
    ("attempt {} is still {} though its generation is {}", _held_though_final()),
    ("generation {} is {} while its live attempt is {}", _words_apart()),
    ("generation {} is {} and has no live attempt", _live_without_attempt()),
    ("batch {!r} has used {} USD of {} USD, set aside more, and is not paused", _above_the_limit()),
)
