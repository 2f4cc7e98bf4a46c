"""Whose turn it is: a stride scheduler over batches, within places, budgets and caps; it reads and writes nothing.

Every batch has a virtual time per provider, its pass, that advances by 1/priority with each admission, and the batch
with the smallest pass goes next.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.books.spending import Cap, Subject, lane_day, user_month
from domain.money import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One of the next generations of a batch.

    Args:
        last_pass: of its batch, at the provider; None where the batch has had no turn yet.
        updated_at: when it was last changed, as it was read.
    """

    id: UUID
    batch_id: UUID
    team: str
    user_id: str
    priority: int
    last_pass: float | None
    model: str
    hold_usd: Decimal
    price_usd: Decimal
    changes: Mapping[str, Any]
    updated_at: datetime


@dataclass(slots=True)
class Budget:
    """A batch's money while an admission hands it out; the row is locked."""

    limit: Decimal | None
    used: Decimal
    stopped: bool
    paused: bool
    handed: Decimal = ZERO
    blocked_by: str | None = None

    def fits(self, hold: Decimal) -> bool:
        return self.limit is None or self.used + self.handed + hold <= self.limit


@dataclass(slots=True)
class Places:
    """Free places by lane, and the limits of lanes and users while an admission hands both out."""

    free: dict[str, int]
    caps: dict[Subject, Cap]

    def any_left(self) -> bool:
        return any(number > 0 for number in self.free.values())

    def take(self, head: Head, budget: Budget) -> str | None:
        """The lane that takes `head`, its money set aside everywhere; None, with the reason, where a limit forbids."""
        hold = head.hold_usd
        user = self.caps.get(user_month(head.team, head.user_id))
        # A job that is carried further is known to its own account alone.
        only = head.changes.get("action", {}).get("lane")
        open_to = [name for name, number in self.free.items() if number > 0 and only in (None, name)]
        if not open_to:
            return None
        lanes = [name for name in open_to if self._lane_fits(name, hold)]
        if not budget.fits(hold):
            budget.blocked_by = "budget"
        elif user is not None and not user.fits(hold):
            budget.blocked_by = "budget of the user's month"
        elif not lanes and any(self._lane_fits(name, hold) for name in self.free if only in (None, name)):
            return None  # the lane that could pay for it is merely full
        elif not lanes:
            budget.blocked_by = "budget of the lane's day"
        else:
            lane = max(lanes, key=lambda name: self.free[name])
            self.free[lane] -= 1
            for one in (budget, user, self.caps.get(lane_day(lane))):
                if one is not None:
                    one.handed += hold
            return lane
        return None

    def _lane_fits(self, lane: str, hold: Decimal) -> bool:
        cap = self.caps.get(lane_day(lane))
        return cap is None or cap.fits(hold)


def choose(
    queues: Mapping[UUID, Sequence[Head]], budgets: Mapping[UUID, Budget], places: Places
) -> tuple[list[tuple[Head, str]], dict[UUID, float]]:
    """The next heads in stride order, each with its lane, and the passes afterwards.

    Args:
        queues: the heads of each batch that may go on, in its own order; none is empty.
    """
    pasts = {batch_id: queue[0].last_pass for batch_id, queue in queues.items()}
    # Batches that compete stay within one turn of each other, so a newcomer starts level with the foremost, and
    # one that was idle or out of money catches up on one turn at most.
    foremost = max((past for past in pasts.values() if past is not None), default=0.0)
    passes = {batch_id: foremost if past is None else max(past, foremost - 1.0) for batch_id, past in pasts.items()}
    turns = [(passes[batch_id], batch_id) for batch_id in queues]
    heapq.heapify(turns)
    heads = {batch_id: iter(queue) for batch_id, queue in queues.items()}
    chosen: list[tuple[Head, str]] = []
    while turns and places.any_left():
        _, batch_id = heapq.heappop(turns)
        head = next(heads[batch_id], None)
        if head is None:
            continue
        lane = places.take(head, budgets[batch_id])
        if lane is not None:
            chosen.append((head, lane))
            passes[batch_id] += 1.0 / head.priority
        elif budgets[batch_id].blocked_by is not None:
            continue
        # One that waits for its own lane does not hold up those behind it.
        heapq.heappush(turns, (passes[batch_id], batch_id))
    return chosen, passes
