"""What a team has to work with and what it came to: models, lanes, pictures, cost, figures."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from api import batch_wire, documents, wire
from api.callers import Held, Reader
from api.problems import documented
from api.wire import Wire
from domain.access import Scope
from domain.money import show
from pipeline.operator import lanes
from pipeline.operator.lanes import LaneRow
from pipeline.views import forecast, team
from pipeline.views.acts import of_no_batch
from pipeline.views.forecast import Forecast
from providers.catalogue import Model, load

router = APIRouter(tags=["Overview"])

_READ = documented(401, 403, 422, 429, 503)


@router.get("/api/acts", responses=_READ)
def acts(resources: Held, caller: Reader, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> wire.ActsDone:
    """Who changed characters, keys and limits of the team; what was done to a batch stands in the batch."""
    found = of_no_batch(resources, caller.team, limit=limit)
    return wire.ActsDone(acts=[documents.act(asdict(one)) for one in found])


class PictureModel(Wire):
    name: str
    title: str
    provider: str
    served: bool
    live: bool
    retired_on: date | None
    successor: str | None
    sizes: Sequence[str]
    qualities: Sequence[str]
    aspect_ratios: Sequence[str]
    negative_prompt: bool
    references: int
    from_usd: str | None


class Models(Wire):
    models: list[PictureModel]


@router.get("/api/models", responses=_READ)
def models(resources: Held, caller: Reader) -> Models:
    """The models that make pictures; `served` says whether this installation has a lane for them."""
    del caller
    served = {lane.provider for lane in resources.lanes.values()}
    today = datetime.now(UTC).date()
    return Models(models=[_model(one, served=served, today=today) for one in load().models()])


def _model(model: Model, *, served: set[str], today: date) -> PictureModel:
    prices = [row.usd for row in model.prices if row.usd is not None and row.holds_on(today)]
    return PictureModel(
        name=model.name,
        title=model.title,
        provider=model.provider,
        served=any(model.served_by(provider) for provider in served),
        live=model.is_live(today),
        retired_on=model.retired_on,
        successor=model.successor,
        sizes=model.sizes,
        qualities=model.qualities,
        aspect_ratios=model.aspect_ratios,
        negative_prompt=model.negative_prompt,
        references=0 if model.references is None else model.references.most,
        from_usd=show(min(prices)) if prices else None,
    )


class LaneState(Wire):
    """A provider account; the figures of the account and its last error take the scope `admin`."""

    name: str
    provider: str
    open: bool
    closed_until: datetime | None
    reason: str | None
    rate_limit: str | None
    concurrency: int
    in_flight: int
    waiting: int
    balance_usd: str | None
    last_error: str | None
    last_error_at: datetime | None


class Lanes(Wire):
    lanes: list[LaneState]


@router.get("/api/lanes", responses=_READ)
def lanes_(resources: Held, caller: Reader) -> Lanes:
    """The lanes to the providers: limits, places, and whether they are open."""
    now = datetime.now(UTC)
    whole = caller.may(Scope.ADMIN)
    return Lanes(lanes=[lane_state(one, now=now, whole=whole) for one in lanes.list_lanes(resources)])


def lane_state(lane: LaneRow, *, now: datetime, whole: bool) -> LaneState:
    closed = lane.is_closed(now)
    return LaneState(
        name=lane.name,
        provider=lane.provider,
        open=not closed,
        closed_until=lane.closed_until if closed else None,
        reason=lane.reason if closed else None,
        rate_limit=lane.rate_limit,
        concurrency=lane.concurrency,
        in_flight=lane.in_flight,
        waiting=lane.waiting,
        balance_usd=show(lane.account_balance_usd) if whole else None,
        last_error=lane.last_error if whole else None,
        last_error_at=lane.last_error_at if whole else None,
    )


class DayCost(Wire):
    day: date
    charged_usd: str
    calls: int


class Foretold(Wire):
    """What a running batch will probably still cost, as its finished generations were charged; null while few are."""

    batch_id: str
    name: str
    finished: int
    unfinished: int
    charged_usd: str
    rest_usd: str | None
    total_usd: str | None
    limit_usd: str | None
    exceeds_budget: bool = Field(description="whether the budget will probably stop it before its end")


class Costs(Wire):
    charged_usd: str
    held_usd: str
    in_doubt_usd: str
    generations: int
    accepted: int
    usd_per_accepted: str | None
    days: list[DayCost]
    forecasts: list[Foretold] = Field(description="of the batches that are not finished, the newest first")
    batches: list[batch_wire.BatchSummary]


@router.get("/api/cost", responses=_READ)
def cost(resources: Held, caller: Reader, days: Annotated[int, Query(ge=1, le=366)] = 30) -> Costs:
    """What the team paid in all, by day, and for its newest batches; and what those that run will still cost."""
    sums = team.totals(resources, caller.team)
    return Costs(
        charged_usd=show(sums.charged_usd) or "0.00",
        held_usd=show(sums.held_usd) or "0.00",
        in_doubt_usd=show(sums.in_doubt_usd) or "0.00",
        generations=sums.generations,
        accepted=sums.accepted,
        usd_per_accepted=show(sums.usd_per_accepted),
        days=[
            DayCost(day=date.fromisoformat(day), charged_usd=show(usd) or "0.00", calls=calls)
            for day, usd, calls in team.spend_by_day(resources, caller.team, days=days)
        ],
        forecasts=[_foretold(one) for one in forecast.of_team(resources, caller.team)],
        batches=documents.batches(team.batches_page(resources, caller.team, limit=100), limit=100).batches,
    )


def _foretold(one: Forecast) -> Foretold:
    return Foretold(
        batch_id=str(one.batch_id),
        name=one.name,
        finished=one.finished,
        unfinished=one.unfinished,
        charged_usd=show(one.charged_usd) or "0.00",
        rest_usd=show(one.rest_usd),
        total_usd=show(one.total_usd),
        limit_usd=show(one.limit_usd),
        exceeds_budget=one.exceeds_budget,
    )


class Figure(Wire):
    """Figures of one day, user or model; times are means in seconds, of the last try."""

    group: str
    generations: int
    accepted: int
    rejected: int
    failed: int
    ended: int
    success_rate: float | None
    cost_usd: str
    usd_per_accepted: str | None
    queued_s: float | None
    generating_s: float | None
    collecting_s: float | None
    checking_s: float | None


class Stats(Wire):
    by: str
    days: int
    figures: list[Figure]


@router.get("/api/stats", responses=_READ)
def stats(
    resources: Held,
    caller: Reader,
    by: Literal["day", "user", "model"] = "day",
    days: Annotated[int, Query(ge=1, le=366)] = 30,
) -> Stats:
    """Generations, cost, success rate and stage times of the last days, by day, user or model."""
    return Stats(
        by=by, days=days, figures=[figure(row) for row in team.figures(resources, caller.team, by=by, days=days)]
    )


def figure(row: dict[str, Any]) -> Figure:
    accepted, ended, paid = row["accepted"], row["ended"], Decimal(row["cost"])
    times = {name: None if row[name] is None else round(float(row[name]), 3) for name in row if name.endswith("_s")}
    return Figure(
        group=row["group"],
        generations=row["generations"],
        accepted=accepted,
        rejected=row["rejected"],
        failed=row["failed"],
        ended=ended,
        success_rate=round(accepted / ended, 4) if ended else None,
        cost_usd=show(paid) or "0.00",
        usd_per_accepted=show(paid / accepted) if accepted else None,
        **times,
    )


@router.get(
    "/api/pictures/{id}",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The file"},
        **documented(401, 403, 404, 422, 429, 500, 503),
    },
)
def picture(resources: Held, caller: Reader, id: str) -> Response:
    """A stored picture, as the provider made it."""
    found = team.picture(resources, caller.team, id)
    return Response(
        found.content,
        media_type=found.media_type,
        # What stands under a digest never changes; a shared cache must not keep what a key was asked for.
        headers={"Cache-Control": "private, max-age=86400, immutable", "ETag": f'"{found.sha256}"'},
    )
