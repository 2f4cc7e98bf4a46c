"""Heartbeats of periodic processes, and the results of periodic checks such as the daily audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, extract, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import ticks
from db.texts import storable_json


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The latest result of a periodic check.

    Args:
        age_s: seconds since its end, by the clock of Postgres.
        said: findings, one sentence each.
    """

    age_s: float
    said: Sequence[str]


def tick(connection: Connection, name: str) -> None:
    statement = upsert(ticks).values(name=name, at=func.now())
    connection.execute(statement.on_conflict_do_update(index_elements=[ticks.c.name], set_={"at": func.now()}))


def age_s(connection: Connection, name: str) -> float | None:
    """Seconds since the last tick of that name, by the clock of Postgres; None when there was none."""
    seconds = connection.execute(
        select(extract("epoch", func.now() - ticks.c.at)).where(ticks.c.name == name)
    ).scalar_one_or_none()
    return None if seconds is None else float(seconds)


def claim(connection: Connection, name: str, *, every: timedelta, again: timedelta) -> bool:
    """Claim the next run of a periodic check: returns whether one is due and no other caller has claimed it.

    Args:
        every: interval between runs.
        again: after this long the claim of a caller that died before `record_result` expires.
    """
    due_again = func.now() - every + again
    statement = upsert(ticks).values(name=name, at=due_again)
    statement = statement.on_conflict_do_update(
        index_elements=[ticks.c.name], set_={"at": due_again}, where=ticks.c.at <= func.now() - every
    )
    return connection.execute(statement.returning(ticks.c.name)).first() is not None


def record_result(connection: Connection, name: str, findings: Sequence[str]) -> None:
    """Store the result of the claimed run."""
    stored = storable_json(list(findings))
    connection.execute(update(ticks).where(ticks.c.name == name).values(at=func.now(), said=stored))


def latest_result(connection: Connection, name: str) -> CheckResult | None:
    """The latest result; None where no run has ended yet."""
    row = connection.execute(
        select(extract("epoch", func.now() - ticks.c.at).label("age_s"), ticks.c.said).where(
            ticks.c.name == name, ticks.c.said.is_not(None)
        )
    ).one_or_none()
    return None if row is None else CheckResult(age_s=float(row.age_s), said=row.said)
