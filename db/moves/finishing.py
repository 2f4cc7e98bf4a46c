"""Admit finishing calls: attempt and hold in one transaction, on free places and within the budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, func, insert, select

from db.books import ledger
from db.books.spending import Cap, Subject, lane_day, lock_caps, user_month
from db.ids import new_id, new_token
from db.moves.admission import Admitted, free_places, lock_budgets, lock_provider
from db.moves.fair_share import Budget
from db.reads.work import select_work, work_of
from db.records import finishings
from db.records.finishings import CHANGE, Waiting
from db.schema import attempts, batches
from domain.finishing import FinishOutcome
from domain.ids import AttemptId
from domain.states import AttemptKind, AttemptState

_OVER: Final = "{usd} USD do not fit into the {which}; raise it, and say `likeness finish` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A finishing call that is about to be admitted.

    Args:
        lane: the only one that can make it; None for any of the provider's.
        changes: what the attempt asks for, as `pipeline.requests` reads it.
        last: whether the first of the wish's steps is done with it.
    """

    wish: Waiting
    model: str
    lane: str | None
    changes: Mapping[str, Any]
    last: bool
    hold_usd: Decimal
    price_usd: Decimal


def admit(
    connection: Connection,
    provider: str,
    calls: Sequence[NewCall],
    *,
    places_by_rate: dict[str, int],
    most_at_risk: int | None = None,
) -> list[Admitted]:
    """Admit what has a place and fits; the tasks are to be published after the commit.

    A call that fits into no budget waits while its batch holds money that may come back, and ends then.

    Args:
        places_by_rate, most_at_risk: as `admission.admit`.
    """
    lock_provider(connection, provider)
    places = free_places(connection, provider, places_by_rate, most_at_risk)
    ids: set[UUID] = {one.wish.batch_id for one in calls}
    budgets = lock_budgets(connection, ids)
    held = dict(connection.execute(select(batches.c.id, batches.c.held_usd).where(batches.c.id.in_(ids))).all())
    users = {user_month(one.wish.team, one.wish.user_id) for one in calls}
    caps = lock_caps(connection, [*users, *map(lane_day, places)])
    admitted = []
    for call in calls:
        lane = _lane(call, places)
        if lane is None:
            continue
        budget = budgets[call.wish.batch_id]
        concerned = _concerned(call, budget, caps, lane=lane)
        if (which := _too_small(concerned, call.hold_usd)) is not None:
            if held[call.wish.batch_id] + budget.handed == 0:
                said = _OVER.format(usd=call.hold_usd, which=which)
                finishings.end(connection, call.wish.id, FinishOutcome.OVER_BUDGET, said=said)
            continue
        attempt_id = _write(connection, provider, call, lane=lane)
        if attempt_id is None:
            continue
        places[lane] -= 1
        for one in concerned.values():
            if one is not None:
                one.handed += call.hold_usd
        admitted.append(_admitted(call, provider, attempt_id=attempt_id, lane=lane))
    return admitted


def _admitted(call: NewCall, provider: str, *, attempt_id: AttemptId, lane: str) -> Admitted:
    return Admitted(
        attempt_id=attempt_id,
        generation_id=call.wish.generation_id,
        lane=lane,
        provider=provider,
        model=call.model,
        first=False,
    )


def _lane(call: NewCall, places: Mapping[str, int]) -> str | None:
    free = [name for name, number in places.items() if number > 0 and call.lane in {None, name}]
    return max(free, key=lambda name: places[name], default=None)


def _concerned(
    call: NewCall, budget: Budget, caps: Mapping[Subject, Cap], *, lane: str
) -> dict[str, Budget | Cap | None]:
    """What the call's money counts against, by its name in sentences."""
    return {
        "budget": budget,
        "budget of the user's month": caps.get(user_month(call.wish.team, call.wish.user_id)),
        "budget of the lane's day": caps.get(lane_day(lane)),
    }


def _too_small(concerned: Mapping[str, Budget | Cap | None], hold: Decimal) -> str | None:
    return next((which for which, one in concerned.items() if one is not None and not one.fits(hold)), None)


def _write(connection: Connection, provider: str, call: NewCall, *, lane: str) -> AttemptId | None:
    """The attempt with its hold; None where the wish was taken up by somebody else."""
    attempt_id = AttemptId(new_id())
    mine = attempts.c.generation_id == call.wish.generation_id, attempts.c.kind == AttemptKind.FINISH
    number = connection.execute(select(func.coalesce(func.max(attempts.c.number), 0) + 1).where(*mine)).scalar_one()
    with connection.begin_nested() as savepoint:
        connection.execute(
            insert(attempts).values(
                id=attempt_id,
                generation_id=call.wish.generation_id,
                batch_id=call.wish.batch_id,
                kind=AttemptKind.FINISH,
                number=number,
                lane=lane,
                provider=provider,
                model=call.model,
                state=AttemptState.ADMITTED,
                hold_usd=call.hold_usd,
                price_usd=call.price_usd,
                token=new_token(),
                changes={
                    **call.changes,
                    "failed": call.wish.tries,
                    CHANGE: {"step": call.wish.steps[0], "last": call.last, "of": str(call.wish.picture_id)},
                },
                published_at=func.now(),
            )
        )
        if not finishings.take_up(connection, call.wish, attempt_id):
            savepoint.rollback()
            return None
    ledger.hold(connection, work_of(connection.execute(select_work().where(attempts.c.id == attempt_id)).one()))
    return attempt_id
