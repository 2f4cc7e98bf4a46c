"""How long jobs take on this installation, by provider, model and mode: medians of the latest ones."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, extract, func, select

from db.schema import attempts, generations
from domain.states import AttemptKind

#: The latest attempts say how a service is now, and bound what is read.
_LATEST: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """The median time from submission to picture, over so many jobs."""

    median_s: float
    jobs: int


def usual_times(connection: Connection, *, least: int) -> dict[tuple[str, str, str | None], Usual]:
    """By provider, model and mode, where there were at least `least` jobs."""
    latest = (
        select(
            attempts.c.provider, attempts.c.model, attempts.c.generation_id, attempts.c.intent_at, attempts.c.made_at
        )
        .where(
            attempts.c.kind == AttemptKind.IMAGE,
            attempts.c.made_at.is_not(None),
            attempts.c.intent_at.is_not(None),
        )
        .order_by(attempts.c.id.desc())
        .limit(_LATEST)
        .subquery()
    )
    mode = generations.c.settings["mode"].astext
    took = extract("epoch", latest.c.made_at - latest.c.intent_at)
    found = connection.execute(
        select(latest.c.provider, latest.c.model, mode, func.percentile_cont(0.5).within_group(took), func.count())
        .join(generations, generations.c.id == latest.c.generation_id)
        .group_by(latest.c.provider, latest.c.model, mode)
        .having(func.count() >= least)
    )
    return {(row[0], row[1], row[2]): Usual(median_s=float(row[3]), jobs=row[4]) for row in found}
