"""The books against themselves: balances, ledger, attempts and states must tell one story. Reads only."""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, and_, func, select

from db.reading import books_disagree
from db.schema import attempts, batches, generations
from domain.states import FINAL, LIVE, AttemptKind, AttemptState, GenerationState, HoldState

#: One that was found late lives beside its generation, whatever has become of that.
_DECIDES = attempts.c.kind == AttemptKind.IMAGE


def differences(connection: Connection) -> list[str]:
    """Everything that does not add up, a sentence each; empty when the books are right."""
    found = books_disagree(connection)
    for sentence, statement in _CHECKS:
        found += [sentence.format(*row) for row in connection.execute(statement.limit(100))]
    return found


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
    used = batches.c.charged_usd + batches.c.held_usd + batches.c.in_doubt_usd
    return select(batches.c.name, used, batches.c.limit_usd).where(
        used > batches.c.limit_usd, batches.c.paused_reason.is_(None)
    )


_CHECKS: Sequence[tuple[str, Select[tuple[object, ...]]]] = (
    ("generation {} costs {} USD by its own row and {} USD by its attempts", _costs()),
    ("attempt {} is still {} though its generation is {}", _held_though_final()),
    ("generation {} is {} while its live attempt is {}", _words_apart()),
    ("generation {} is {} and has no live attempt", _live_without_attempt()),
    ("batch {!r} has used {} USD of {} USD and is not paused", _above_the_limit()),
)
