"""What the unfinished part of each running batch will probably cost, by what its finished part was charged."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Numeric, Row, cast, func, select

from db.schema import batches, generations
from domain.ids import BatchId
from domain.money import usd
from domain.states import FINAL, GenerationState

#: From fewer finished generations nothing is concluded.
LEAST_FINISHED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How much more a running batch will probably cost.

    Args:
        finished: generations from which it was learned: final ones with all their tries, without canceled ones.
        unfinished: those whose cost is foretold.
        charged_usd: of the whole batch so far.
        rate: charged per dollar that one attempt of each may cost at most; None where too few have finished.
        rest_usd: what is still to be charged at this rate; None where too few have finished.
        limit_usd: the budget, at which the batch stops whatever is foretold.
    """

    batch_id: BatchId
    name: str
    finished: int
    unfinished: int
    charged_usd: Decimal
    rate: Decimal | None
    rest_usd: Decimal | None
    limit_usd: Decimal | None

    @property
    def total_usd(self) -> Decimal | None:
        """Charged so far and foretold, together."""
        return None if self.rest_usd is None else self.charged_usd + self.rest_usd

    @property
    def exceeds_budget(self) -> bool:
        """Whether the budget will probably stop the batch before its end."""
        return self.total_usd is not None and self.limit_usd is not None and self.total_usd > self.limit_usd


def forecasts(
    connection: Connection, *, user_id: str | None = None, team: str | None = None, batch_id: BatchId | None = None
) -> list[Forecast]:
    """Of the batches of a user or a team that have unfinished generations, the newest first; or of one such batch."""
    g = generations.c
    open_ = g.state.not_in(FINAL)
    told = g.state.in_(FINAL) & (g.state != GenerationState.CANCELED)

    def total(column: ColumnElement[Decimal], which: ColumnElement[bool]) -> ColumnElement[Decimal]:
        return func.coalesce(func.sum(column).filter(which), cast(0, Numeric))

    sums = (
        select(
            batches.c.id,
            batches.c.name,
            batches.c.charged_usd,
            batches.c.limit_usd,
            func.count().filter(told).label("finished"),
            func.count().filter(open_).label("unfinished"),
            total(g.cost, told).label("cost_of_finished"),
            total(g.hold_usd, told).label("hold_of_finished"),
            total(g.cost, open_).label("cost_of_unfinished"),
            total(g.hold_usd, open_).label("hold_of_unfinished"),
        )
        .join(batches, batches.c.id == g.batch_id)
        .group_by(batches.c.id)
        .having(func.count().filter(open_) > 0)
        .order_by(batches.c.created_at.desc())
    )
    wanted = ((batches.c.user_id, user_id), (batches.c.team, team), (batches.c.id, batch_id))
    sums = sums.where(*(column == value for column, value in wanted if value is not None))
    return [_of_sums(row) for row in connection.execute(sums)]


def _of_sums(row: Row[Any]) -> Forecast:
    enough = row.finished >= LEAST_FINISHED
    rate = row.cost_of_finished / row.hold_of_finished if enough else None
    rest = None if rate is None else usd(max(rate * row.hold_of_unfinished - row.cost_of_unfinished, Decimal(0)))
    return Forecast(
        batch_id=row.id,
        name=row.name,
        finished=row.finished,
        unfinished=row.unfinished,
        charged_usd=row.charged_usd,
        rate=rate,
        rest_usd=rest,
        limit_usd=row.limit_usd,
    )
