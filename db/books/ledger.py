"""The books: what is held, in doubt and charged, per batch, with a line for every change.

Each function changes the attempt's hold, the batch's balances and the ledger in the caller's transaction. Lock order
everywhere: attempt, generation, batch; a batch row is therefore the last lock that a step takes.
"""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, func, insert, update

from db.books import spending
from db.reads.work import Work
from db.schema import attempts, batches, ledger_entries
from domain.money import ZERO
from domain.states import HoldState, LedgerKind

_LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    kind: LedgerKind
    held: Decimal = ZERO
    in_doubt: Decimal = ZERO
    charged: Decimal = ZERO
    reason: str


def _book(connection: Connection, work: Work, change: _Change) -> None:
    connection.execute(
        insert(ledger_entries).values(
            user_id=work.user_id,
            batch_id=work.batch_id,
            attempt_id=work.attempt_id,
            lane=work.lane,
            kind=change.kind,
            held_usd=change.held,
            in_doubt_usd=change.in_doubt,
            charged_usd=change.charged,
            reason=change.reason,
        )
    )
    connection.execute(
        update(batches)
        .where(batches.c.id == work.batch_id)
        .values(
            held_usd=batches.c.held_usd + change.held,
            in_doubt_usd=batches.c.in_doubt_usd + change.in_doubt,
            charged_usd=batches.c.charged_usd + change.charged,
        )
    )


def _lifted(work: Work) -> dict[str, Decimal]:
    """The change that takes the attempt's hold away from where it stands now."""
    if work.hold_state is HoldState.HELD:
        return {"held": -work.hold_usd}
    if work.hold_state is HoldState.IN_DOUBT:
        return {"in_doubt": -work.hold_usd}
    return {}


def hold(connection: Connection, work: Work) -> None:
    """Set the attempt's hold aside; the caller has checked the limit under the batch row's lock."""
    _book(connection, work, _Change(kind=LedgerKind.HOLD, held=work.hold_usd, reason="admitted"))


def doubt(connection: Connection, work: Work, *, reason: str) -> None:
    """Nobody knows whether the money is spent; the hold stays, under its own name."""
    if work.hold_state is HoldState.HELD:
        _book(
            connection,
            work,
            _Change(kind=LedgerKind.DOUBT, held=-work.hold_usd, in_doubt=work.hold_usd, reason=reason),
        )


def undoubt(connection: Connection, work: Work, *, reason: str) -> None:
    """The job was found: the money is held for it again."""
    if work.hold_state is HoldState.IN_DOUBT:
        _book(
            connection,
            work,
            _Change(kind=LedgerKind.HOLD, held=work.hold_usd, in_doubt=-work.hold_usd, reason=reason),
        )


def hold_again(connection: Connection, work: Work, *, reason: str) -> None:
    """A counter-entry to a release: the job exists after all. Above the limit the batch pauses and says so."""
    if work.hold_state is not HoldState.RELEASED:
        return
    _book(connection, work, _Change(kind=LedgerKind.HOLD, held=work.hold_usd, reason=reason))
    # A stopped batch has nothing live; it is stopped again when this one has ended.
    connection.execute(update(batches).where(batches.c.id == work.batch_id).values(stopped_reason=None))
    used = batches.c.charged_usd + batches.c.held_usd + batches.c.in_doubt_usd
    said = f"the job of attempt {work.attempt_id} turned up late, and with its {work.hold_usd} USD the limit is passed"
    _pause(connection, work, said, batches.c.limit_usd < used)


def pause_above_other_limits(connection: Connection, work: Work) -> None:
    """Once the attempt lives again: a month or a day that is passed with it is told as a batch's own limit is."""
    for cap in spending.passed(connection, batch_id=work.batch_id, lane=work.lane):
        said = f"the job of attempt {work.attempt_id} turned up late, and with it {spending.WHOSE[cap.scope]} is passed"
        _pause(connection, work, said)


def _pause(connection: Connection, work: Work, said: str, *where: ColumnElement[bool]) -> None:
    connection.execute(
        update(batches)
        .where(batches.c.id == work.batch_id, *where)
        .values(
            paused_at=func.coalesce(batches.c.paused_at, func.now()),
            # Who paused it first is not the whole story: what money did since is told too.
            paused_reason=func.left(func.concat_ws("; ", batches.c.paused_reason, said), _LONGEST_REASON),
        )
    )


def release(connection: Connection, work: Work, *, reason: str) -> HoldState:
    """The attempt cost nothing; returns the hold's new state. A charge already booked stays."""
    if work.hold_state is HoldState.CHARGED:
        return HoldState.CHARGED
    _book(connection, work, _Change(kind=LedgerKind.RELEASE, reason=reason, **_lifted(work)))
    return HoldState.RELEASED


def charge(connection: Connection, work: Work, amount: Decimal, *, reason: str) -> None:
    """Book what the attempt cost, in full even where it is more than was held; then the batch pauses and says so."""
    _book(connection, work, _Change(kind=LedgerKind.CHARGE, charged=amount, reason=reason, **_lifted(work)))
    connection.execute(
        update(attempts)
        .where(attempts.c.id == work.attempt_id)
        .values(hold_state=HoldState.CHARGED, charged_usd=amount)
    )
    if amount > work.hold_usd:
        said = f"attempt {work.attempt_id} was charged {amount} USD, above its hold of {work.hold_usd} USD"
        _pause(connection, work, said)
