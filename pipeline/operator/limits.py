"""Spending limits per user of a team and month, and per lane and day."""

from decimal import Decimal

from db.books import spending
from db.books.spending import Cap, Scope, Subject, lane_day, user_month
from db.records import lanes
from domain.errors import UnknownThing
from pipeline.resources import Resources

__all__ = ["Cap", "Scope", "Subject", "lane_day", "list_limits", "remove", "set_limit", "user_month"]


def list_limits(resources: Resources) -> list[Cap]:
    with resources.database.transaction() as connection:
        return spending.list_limits(connection)


def set_limit(resources: Resources, of: Subject, limit_usd: Decimal) -> None:
    """Set a limit; it applies from the next attempt.

    Raises:
        UnknownThing: there is no lane of that name.
    """
    scope, _, subject = of
    with resources.database.transaction() as connection:
        if scope is Scope.LANE_DAY and subject not in {row.name for row in lanes.list_lanes(connection)}:
            raise UnknownThing(f"there is no lane {subject!r}; `likeness lanes` lists them")
        spending.put(connection, of, limit_usd)


def remove(resources: Resources, of: Subject) -> None:
    """Remove a limit.

    Raises:
        UnknownThing: there is none.
    """
    with resources.database.transaction() as connection:
        if not spending.remove(connection, of):
            raise UnknownThing(f"there is no limit for {of[2]!r}; `likeness limits` lists them")
