"""What running batches will probably still cost, as sentences and documents."""

from typing import Any

from db.books import forecast
from db.books.forecast import LEAST_FINISHED, Forecast
from domain.ids import BatchId
from domain.money import show
from pipeline.resources import Resources

__all__ = ["LEAST_FINISHED", "Forecast", "as_json", "forecast_of", "forecasts", "of_team"]


def forecasts(resources: Resources, *, user_id: str) -> list[Forecast]:
    """Of every batch of this user that has unfinished generations, the newest first."""
    with resources.database.transaction() as connection:
        return forecast.forecasts(connection, user_id=user_id)


def of_team(resources: Resources, team: str) -> list[Forecast]:
    """The same for every batch of a team."""
    with resources.database.transaction() as connection:
        return forecast.forecasts(connection, team=team)


def forecast_of(resources: Resources, batch_id: BatchId, *, user_id: str) -> Forecast | None:
    """Of one batch; None where nothing of it is unfinished."""
    with resources.database.transaction() as connection:
        return next(iter(forecast.forecasts(connection, user_id=user_id, batch_id=batch_id)), None)


def as_json(one: Forecast) -> dict[str, Any]:
    """The document: amounts as exact decimal strings, and under `numbers` as JSON numbers."""
    amounts = {"charged_usd": one.charged_usd, "rest_usd": one.rest_usd, "total_usd": one.total_usd}
    return {
        "batch_id": str(one.batch_id),
        "name": one.name,
        "finished": one.finished,
        "unfinished": one.unfinished,
        "least_finished": LEAST_FINISHED,
        "exceeds_budget": one.exceeds_budget,
        **{name: show(value) for name, value in amounts.items()},
        "limit_usd": show(one.limit_usd),
        "numbers": {name: None if value is None else float(value) for name, value in amounts.items()},
    }
