"""Spending limits per user of a team and month, and per lane and day."""

from decimal import Decimal

from db.books import spending
from db.books.spending import Cap, Scope, Subject, lane_day, user_month
from db.records import acts, lanes
from domain.access import LOCAL_TEAM
from domain.errors import UnknownThing
from domain.money import show
from pipeline.resources import Resources

__all__ = ["Cap", "Scope", "Subject", "lane_day", "list_limits", "remove", "set_limit", "user_month"]


def list_limits(resources: Resources) -> list[Cap]:
    with resources.database.transaction() as connection:
        return spending.list_limits(connection)


def set_limit(resources: Resources, of: Subject, limit_usd: Decimal, *, by: str | None = None) -> None:
    """Set a limit; it applies from the next attempt.

    Args:
        by: who does so, for the team's acts.

    Raises:
        UnknownThing: there is no lane of that name.
    """
    scope, _, subject = of
    with resources.database.transaction() as connection:
        if scope is Scope.LANE_DAY and subject not in {row.name for row in lanes.list_lanes(connection)}:
            raise UnknownThing(f"there is no lane {subject!r}; `likeness lanes` lists them")
        spending.put(connection, of, limit_usd)
        detail = {**_whose(of), "limitUsd": show(limit_usd)}
        acts.note_change(connection, team=of[1] or LOCAL_TEAM, by=by, act="limit set", detail=detail)


def remove(resources: Resources, of: Subject, *, by: str | None = None) -> None:
    """Remove a limit.

    Args:
        by: who does so, for the team's acts.

    Raises:
        UnknownThing: there is none.
    """
    with resources.database.transaction() as connection:
        if not spending.remove(connection, of):
            raise UnknownThing(f"there is no limit for {of[2]!r}; `likeness limits` lists them")
        acts.note_change(connection, team=of[1] or LOCAL_TEAM, by=by, act="limit removed", detail=_whose(of))


def _whose(of: Subject) -> dict[str, str]:
    """Whom the limit is about, for an act; lanes are the installation's, and so the local team's to know of."""
    return {"lane" if of[0] is Scope.LANE_DAY else "user": of[2]}
