"""The pages to look at: batches, one batch, analytics, characters, lanes; and the pictures on them."""

import contextlib
import tempfile
from base64 import b64decode
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse

from api import documents, wire
from api.callers import Held, installation_of
from api.page.batch_cards import card_of
from api.page.rendering import page, static_files
from api.page.visitors import Visitor
from api.routes.character_routes import calibration_figures
from api.routes.overview import figure, lane_state
from domain.access import Scope
from domain.errors import UnknownThing
from domain.money import show
from domain.states import GenerationState
from pipeline.characters import definitions
from pipeline.operator import lanes
from pipeline.views import acts, forecast, team
from pipeline.views.team import Page
from reports import bars
from reports.bars import Column, Row
from reports.thumbnails import Wanted, make_thumbnail
from reports.wording import dollars, duration_text, end_of

router = APIRouter(include_in_schema=False)

_CARDS: Final = 120
_LINES: Final = 30
_ACTS: Final = 30
_LARGE_PX: Final = 560
_SMALL_PX: Final = 200
#: As good as its side allows; a picture that takes more is encoded again.
_BYTES: Final = 150_000
#: What stands under an id never changes; no shared cache keeps what a session was asked for.
_KEPT: Final = {"Cache-Control": "private, max-age=86400, immutable"}


@router.get("/static/{name}")
def static(name: str) -> Response:
    found = static_files().get(name)
    if found is None:
        raise HTTPException(status_code=404)
    return Response(found[1], media_type=found[0], headers={"Cache-Control": "public, max-age=31536000, immutable"})


@router.get("/")
def batches(resources: Held, caller: Visitor, cursor: Annotated[wire.Text | None, Query()] = None) -> HTMLResponse:
    """All batches of the team, the newest first."""
    before = documents.read_cursor(cursor)
    lines = team.batches_page(resources, caller.team, before=before, limit=_LINES + 1)
    return page(
        "batches.html.j2",
        caller,
        here="/",
        lines=lines[:_LINES],
        next_cursor=documents.cursor_of(lines[_LINES - 1].id) if len(lines) > _LINES else None,
        totals=team.totals(resources, caller.team),
        providers=sorted({lane.provider for lane in resources.lanes.values()}),
        characters=[one.name for one in definitions.list_characters(resources, team=caller.team)],
    )


@router.get("/batches/{id}")
def batch(
    request: Request, resources: Held, caller: Visitor, id: str, cursor: Annotated[wire.Text | None, Query()] = None
) -> HTMLResponse:
    """One batch: figures, what can be done, and its contact sheet."""
    status = team.batch(resources, caller.team, id)
    ends = dict.fromkeys(("accepted", "rejected", "failed", "canceled", "unfinished"), 0)
    for state, number in status.progress.counts.items():
        ends[end_of(GenerationState(state))] += number
    head: dict[str, Any] = {
        "status": status,
        "ends": ends,
        "limit": show(status.batch.limit_usd) or "",
        "holding_up": [
            f"Lane {lane.name} is closed: {lane.reason}" for lane in lanes.blocking_lanes(resources, status.batch.id)
        ],
    }
    if request.headers.get("x-part") == "live":
        return page("batch_head.html.j2", caller, **head)
    wanted = Page(team=caller.team, batch_id=status.batch.id, before=documents.read_cursor(cursor), limit=_CARDS + 1)
    all_details = team.generations_page(resources, wanted)
    named = status.batch.character_id
    character = None if named is None else definitions.of_batch(resources, named)
    return page(
        "batch.html.j2",
        caller,
        here="",
        **head,
        cards=[card_of(resources, details, user_id=caller.key.user_id) for details in all_details[:_CARDS]],
        next_cursor=documents.cursor_of(all_details[_CARDS - 1].generation["id"])
        if len(all_details) > _CARDS
        else None,
        themes=sorted({details.generation["theme"] for details in all_details if details.generation["theme"]}),
        character=character,
        acts=acts.of_batch(resources, status.batch.id)[:_ACTS],
    )


@router.get("/cards/{id}")
def card(resources: Held, caller: Visitor, id: str) -> HTMLResponse:
    """One generation's card, for a page that shows it already."""
    details = team.generation(resources, caller.team, id)
    return page("card.html.j2", caller, card=card_of(resources, details, user_id=caller.key.user_id))


@router.get("/pictures/{id}")
def picture(resources: Held, caller: Visitor, id: str) -> Response:
    found = team.picture(resources, caller.team, id)
    return Response(found.content, media_type=found.media_type, headers=_KEPT)


@router.get("/thumbnails/{id}")
def thumbnail(resources: Held, caller: Visitor, id: str, small: bool = False) -> Response:
    """A picture as small as the page shows it."""
    found = team.picture(resources, caller.team, id)
    return _small(found.sha256, found.content, side_px=_SMALL_PX if small else _LARGE_PX)


@router.get("/references/{id}/{position}")
def reference(resources: Held, caller: Visitor, id: str, position: int) -> Response:
    """A reference of one of the team's characters."""
    for row in definitions.with_id(resources, id, team=caller.team).references:
        if row.position == position:
            with contextlib.suppress(FileNotFoundError):
                return _small(row.sha256, resources.store.get(row.r2_key), side_px=_LARGE_PX)
    raise UnknownThing(f"there is no reference {position} of character {id!r}")


def _small(digest: str, content: bytes, *, side_px: int) -> Response:
    small = _MADE.get((digest, side_px))
    if small is None:
        small = _shrunk(content, side_px=side_px)
        if len(_MADE) >= _MOST_MADE:
            _MADE.clear()
        _MADE[digest, side_px] = small
    return Response(small, media_type="image/webp", headers=_KEPT)


#: Thumbnails by the digest of their picture: a page that is opened by the next person costs no decoding.
_MADE: dict[tuple[str, int], bytes] = {}
_MOST_MADE: Final = 1000


def _shrunk(content: bytes, *, side_px: int) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        made = make_thumbnail(Wanted(path=Path(file.name), side_px=side_px, limit_bytes=_BYTES))
    if made is None:
        raise UnknownThing("the file of this picture cannot be read")
    return b64decode(made.url.partition(",")[2])


@router.get("/lanes")
def lanes_(request: Request, resources: Held, caller: Visitor) -> HTMLResponse:
    """The accounts of the services, as far as the visitor's scope goes; and for admins who changed them, or keys."""
    now = datetime.now(UTC)
    whole = caller.may(Scope.ADMIN)
    shown = [lane_state(one, now=now, whole=whole) for one in lanes.list_lanes(resources)]
    return page(
        "lanes.html.j2",
        caller,
        here="/lanes",
        lanes=shown,
        flower=installation_of(request).flower_url,
        acts=acts.of_no_batch(resources, caller.team, limit=_ACTS) if whole else [],
    )


@router.get("/characters")
def characters(resources: Held, caller: Visitor) -> HTMLResponse:
    """The team's characters with their references, their thresholds and what these were calibrated on."""
    found = [
        (one, None if one.calibration is None else calibration_figures(one.calibration))
        for one in definitions.list_characters(resources, team=caller.team)
    ]
    return page("characters.html.j2", caller, here="/characters", characters=found)


@router.get("/analytics")
def analytics(resources: Held, caller: Visitor, days: Annotated[int, Query(ge=1, le=366)] = 30) -> HTMLResponse:
    """Spend, shares, costs and times, each as a plot with its table."""
    by_day, by_model, by_user = (
        [figure(row) for row in team.figures(resources, caller.team, by=by, days=days)]
        for by in ("day", "model", "user")
    )
    spent = team.spend_by_day(resources, caller.team, days=days)
    return page(
        "analytics.html.j2",
        caller,
        here="/analytics",
        days=days,
        by_day=by_day,
        by_model=by_model,
        by_user=by_user,
        spent=spent,
        forecasts=forecast.of_team(resources, caller.team),
        least_finished=forecast.LEAST_FINISHED,
        spend=_spend_chart(spent),
        ends=_ends_chart(by_day),
        cost=_cost_chart(by_model),
        times=_times_chart(by_model),
        users=_users_chart(by_user),
    )


def _spend_chart(spent: list[tuple[str, Decimal, int]]) -> Any:
    highest = max((usd for _, usd, _ in spent), default=Decimal(0))
    days = [
        Column(label=day[5:], parts=[("spent", float(usd))], says=f"{day}: {dollars(usd)}, {calls} calls")
        for day, usd, calls in spent
    ]
    return bars.columns(days, label="Charged by day", unit="$", places=0 if highest >= 8 else 2)


def _ends_chart(by_day: list[Any]) -> Any:
    days = []
    for one in by_day:
        rest = one.generations - one.accepted - one.rejected - one.failed
        parts = [("accepted", one.accepted), ("rejected", one.rejected), ("failed", one.failed), ("rest", rest)]
        says = f"{one.group}: {one.accepted} of {one.generations} accepted"
        days.append(Column(label=one.group[5:], parts=parts, says=says))
    return bars.columns(days, label="Generations by day and end")


def _times_chart(by_model: list[Any]) -> Any:
    lines = []
    for one in by_model:
        parts = [
            ("queued", one.queued_s or 0.0),
            ("making", one.generating_s or 0.0),
            ("fetching", one.collecting_s or 0.0),
            ("checking", one.checking_s or 0.0),
        ]
        lines.append(Row(label=one.group, parts=parts, says=duration_text(sum(value for _, value in parts))))
    return bars.rows(lines, label="Mean time by stage and model")


def _cost_chart(by_model: list[Any]) -> Any:
    paid = [(one.group, Decimal(one.usd_per_accepted)) for one in by_model if one.usd_per_accepted is not None]
    lines = [Row(label=model, parts=[("spent", float(usd))], says=dollars(usd)) for model, usd in paid]
    return bars.rows(lines, label="Cost per accepted picture by model")


def _users_chart(by_user: list[Any]) -> Any:
    lines = []
    for one in by_user:
        usd = Decimal(one.cost_usd)
        says = f"{dollars(usd)}, {one.accepted} accepted"
        lines.append(Row(label=one.group, parts=[("spent", float(usd))], says=says))
    return bars.rows(lines, label="Spend by user")
