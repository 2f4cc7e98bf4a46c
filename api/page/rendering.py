"""Templates become answers: everything is escaped, and nothing runs, loads or is sent but what this page has itself."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.callers import Caller
from domain.access import Scope
from reports import bars, wording

_FOLDER: Final = Path(__file__).parent
_REPORTS: Final = _FOLDER.parents[1] / "reports" / "templates"
_POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


@cache
def static_files() -> Mapping[str, tuple[str, bytes]]:
    """The page's own files by name: media type and content. The style is the contact sheet's, and what goes beyond."""
    style = (_REPORTS / "report.css").read_bytes() + b"\n" + (_FOLDER / "static" / "page.css").read_bytes()
    return {
        "page.css": ("text/css; charset=utf-8", style),
        "page.js": ("text/javascript; charset=utf-8", (_FOLDER / "static" / "page.js").read_bytes()),
        "icon.svg": ("image/svg+xml", (_FOLDER / "static" / "icon.svg").read_bytes()),
    }


@cache
def _digest() -> str:
    """Names the version of the static files, so that a browser keeps them for as long as they are these."""
    return sha256(b"".join(content for _, content in static_files().values())).hexdigest()[:12]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        dollars=wording.dollars,
        duration=wording.duration_text,
        moment=wording.moment,
        split=bars.split,
        track=bars.track,
        source=wording.thresholds_origin,
        day=_day,
        version=_digest(),
    )
    return environment


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b}, {at:%H:%M}"


def text_of(template: str, caller: Caller | None, **values: Any) -> str:
    may = {scope.value: caller is not None and caller.may(scope) for scope in Scope}
    return _environment().get_template(template).render(caller=caller, may=may, **values)


def page(template: str, caller: Caller | None, *, code: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one."""
    return HTMLResponse(
        text_of(template, caller, **values), status_code=code, headers={"Content-Security-Policy": _POLICY}
    )
