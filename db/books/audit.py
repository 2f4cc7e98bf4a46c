"""The books against themselves: balances, ledger, attempts and states must tell one story. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from db.books import spending
from db.books.spending import WHOSE, Cap, Scope
from db.reads.generations import books_disagree
from db.records.closed_loop import paid_unasked
from db.schema import attempts, batches, generations, ledger_entries
from domain.ids import AttemptId
from domain.states import FINAL, LIVE, AttemptKind, AttemptState, GenerationState, HoldState

#: One that was found late lives beside its generation, whatever has become of that.
_DECIDES = attempts.c.kind == AttemptKind.IMAGE
#: How a pause says that a limit is passed (`db.books.ledger`); any other pause tells nobody.
_TOLD = ("above its hold", "the limit is passed")


def differences(connection: Connection) -> list[str]:
    """Everything that does not add up, a sentence each; empty when the books are right."""
    found = books_disagree(connection)
    for sentence, statement in _CHECKS:
        found += [sentence.format(*row) for row in connection.execute(statement.limit(100))]
    found += [
        f"attempt {attempt_id} was charged after a charged one of its generation, and nobody asked for another"
        for attempt_id in paid_unasked(connection)[:100]
    ]
    return found + _caps_passed(connection)


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


def _lines_apart() -> Select[tuple[object, ...]]:
    """Attempt by attempt: two whose lines are exchanged leave the sums of their batch as they were."""
    lines = (
        select(
            ledger_entries.c.attempt_id,
            func.sum(ledger_entries.c.charged_usd).label("charged"),
            func.sum(ledger_entries.c.held_usd).label("held"),
            func.sum(ledger_entries.c.in_doubt_usd).label("in_doubt"),
        )
        .group_by(ledger_entries.c.attempt_id)
        .subquery()
    )
    mine: tuple[ColumnElement[Decimal], ...] = (
        func.coalesce(attempts.c.charged_usd, 0),
        case((attempts.c.hold_state == HoldState.HELD, attempts.c.hold_usd), else_=0),
        case((attempts.c.hold_state == HoldState.IN_DOUBT, attempts.c.hold_usd), else_=0),
    )
    theirs = tuple(func.coalesce(amount, 0) for amount in (lines.c.charged, lines.c.held, lines.c.in_doubt))
    return (
        select(attempts.c.id, *mine, *theirs)
        .outerjoin(lines, lines.c.attempt_id == attempts.c.id)
        .where(or_(*(one != other for one, other in zip(mine, theirs, strict=True))))
    )


def _lines_elsewhere() -> Select[tuple[object, ...]]:
    """What counts against a user's month and a lane's day is read off the lines alone."""
    line = ledger_entries.c
    return (
        select(line.id, line.attempt_id, line.user_id, line.lane, generations.c.user_id, attempts.c.lane)
        .join_from(ledger_entries, attempts, attempts.c.id == line.attempt_id)
        .join(generations, generations.c.id == attempts.c.generation_id)
        .where(
            or_(
                line.user_id != generations.c.user_id,
                line.lane != attempts.c.lane,
                line.batch_id != attempts.c.batch_id,
            )
        )
    )


def _more() -> ColumnElement[bool]:
    """A line that takes more of a limit than there was before it: a hold, or a charge above one."""
    return ledger_entries.c.held_usd + ledger_entries.c.in_doubt_usd + ledger_entries.c.charged_usd > 0


def _above_the_limit() -> Select[tuple[object, ...]]:
    # A limit may be set below what is used already; then it is right as long as nothing more was set aside.
    new = ledger_entries.c.batch_id == batches.c.id, ledger_entries.c.at > batches.c.limit_set_at
    used = batches.c.charged_usd + batches.c.held_usd + batches.c.in_doubt_usd
    told = or_(*(batches.c.paused_reason.contains(one) for one in _TOLD))
    return select(batches.c.name, used, batches.c.limit_usd).where(
        used > batches.c.limit_usd,
        func.coalesce(told, False).is_(False),
        select(ledger_entries.c.id).where(*new, _more()).exists(),
    )


def _caps_passed(connection: Connection) -> list[str]:
    """As for a batch's limit: one that was set below what is used is right until something is set aside under it.

    And one that a pause has told of is known.
    """
    found = []
    for cap in spending.list_limits(connection):
        of = (cap.scope, cap.team, cap.subject)
        new = select(ledger_entries.c.id).where(spending.entries_under(of), ledger_entries.c.at > cap.set_at, _more())
        told = select(batches.c.id).where(
            _concerned(cap), batches.c.paused_reason.contains(f"{WHOSE[cap.scope]} is passed")
        )
        silent = connection.execute(told.limit(1)).first() is None
        if cap.used > cap.limit and silent and connection.execute(new.limit(1)).first() is not None:
            whose = (
                f"user {cap.subject!r} of team {cap.team!r} for the month"
                if cap.scope is Scope.USER_MONTH
                else f"lane {cap.subject!r} for the day"
            )
            found.append(f"{cap.used} USD are used of the {cap.limit} USD of {whose}")
    return found


def _concerned(cap: Cap) -> ColumnElement[bool]:
    if cap.scope is Scope.USER_MONTH:
        return and_(batches.c.team == cap.team, batches.c.user_id == cap.subject)
    return select(attempts.c.id).where(attempts.c.batch_id == batches.c.id, attempts.c.lane == cap.subject).exists()


_CHECKS: Sequence[tuple[str, Select[tuple[object, ...]]]] = (
    ("generation {} costs {} USD by its own row and {} USD by its attempts", _costs()),
    ("attempt {} is still {} though its generation is {}", _held_though_final()),
    ("generation {} is {} while its live attempt is {}", _words_apart()),
    ("generation {} is {} and has no live attempt", _live_without_attempt()),
    ("batch {!r} has used {} USD of {} USD, set aside more, and is not paused for it", _above_the_limit()),
    ("attempt {}: charged, held, in doubt are ({}, {}, {}) in its row and ({}, {}, {}) in the ledger", _lines_apart()),
    ("line {} of attempt {} is under user {!r} and lane {!r}, and its attempt under {!r} and {!r}", _lines_elsewhere()),
)
