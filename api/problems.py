"""Every error as a problem document (RFC 9457), by one table over the tree of failures.

A class that is not in the table answers as the nearest class above it that is.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from api.callers import KeyRequired, ScopeRequired
from api.page.visitors import ForeignForm, SignInRequired
from domain.errors import (
    LikenessError,
    PictureAway,
    PictureError,
    ProviderError,
    RequestError,
    ScorerError,
    ServiceMissing,
    StateError,
    UnknownThing,
)
from pipeline.operator.deletion import Deleted
from pipeline.operator.keys import TooManyRequests

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

#: The status of each failure.
STATUS: Final[Mapping[type[LikenessError], int]] = {
    RequestError: 422,
    UnknownThing: 404,
    KeyRequired: 401,
    ScopeRequired: 403,
    SignInRequired: 401,
    ForeignForm: 403,
    TooManyRequests: 429,
    Deleted: 410,
    ServiceMissing: 503,
    ProviderError: 502,
    PictureError: 500,
    PictureAway: 503,
    ScorerError: 500,
    StateError: 409,
    LikenessError: 500,
}
#: What a status means here, for the title of a problem and for the OpenAPI document.
TITLES: Final[Mapping[int, str]] = {
    401: "A key is needed",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "This address takes other methods",
    406: "Nothing of what is asked for can be given",
    408: "The body did not come in time",
    409: "Somebody else was faster",
    410: "It was deleted",
    413: "The body is too large",
    415: "The body is of another kind",
    422: "The request cannot be carried out",
    429: "Too many requests",
    500: "A defect of Likeness",
    502: "The image service failed",
    503: "Not now",
}
#: Of what no failure of ours stands for.
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type", 503: "unavailable"}
_AGAIN_S: Final = 5


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it; `code` is the class of the failure, `errors` the places in the body."""

    type: str = Field(examples=["urn:likeness:problem:unknown_thing"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["unknown_thing"])
    errors: list[dict[str, Any]] | None = None


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these statuses answer with a problem."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": TITLES[status], "content": content} for status in statuses}


def status_of(failure: LikenessError) -> int:
    return next(STATUS[kind] for kind in type(failure).__mro__ if kind in STATUS)


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
) -> JSONResponse:
    content: dict[str, Any] = {
        "type": f"urn:likeness:problem:{code}",
        "title": TITLES.get(status, "The request failed"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors is not None:
        content["errors"] = list(errors)
    return JSONResponse(content, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(failure: LikenessError) -> JSONResponse:
    """The answer to a failure of ours."""
    status = status_of(failure)
    headers: dict[str, str] = {}
    if isinstance(failure, TooManyRequests):
        headers["Retry-After"] = str(max(1, round(failure.retry_after_s + 0.5)))
    elif status in {409, 503} and failure.retryable:
        headers["Retry-After"] = str(_AGAIN_S)
    if isinstance(failure, KeyRequired):
        headers["WWW-Authenticate"] = 'Bearer realm="likeness"'
    if status >= 500:
        log.warning("a request failed: %s", failure)
    return problem(status, str(failure), code=failure.code, headers=headers)


def malformed(failure: ValidationError | RequestValidationError) -> JSONResponse:
    """The answer to a body or a parameter of another shape."""
    errors = [
        {"at": ".".join(str(part) for part in one["loc"]), "says": str(one["msg"])} for one in failure.errors()[:20]
    ]
    first = errors[0] if errors else {"at": "body", "says": "cannot be read"}
    return problem(422, f"{first['at'] or 'body'}: {first['says']}", code="malformed", errors=errors)


def answer_with_problems(app: FastAPI) -> None:
    """Have every error of the application answered so."""

    # FastAPI calls these itself; that they run in its event loop costs nothing, for they do not wait.
    async def ours(_: Request, failure: Exception) -> JSONResponse:
        assert isinstance(failure, LikenessError)
        return problem_of(failure)

    async def of_shape(_: Request, failure: Exception) -> JSONResponse:
        assert isinstance(failure, RequestValidationError | ValidationError)
        return malformed(failure)

    async def of_http(_: Request, failure: Exception) -> JSONResponse:
        assert isinstance(failure, HTTPException)
        if failure.status_code == 400:  # FastAPI's word for a body that cannot be parsed
            return problem(
                422, "body: it is not what its Content-Type says, JSON in UTF-8 where it says nothing", code="malformed"
            )
        said = TITLES.get(failure.status_code, failure.detail)
        code = _CODES.get(failure.status_code, "error")
        return problem(failure.status_code, said, code=code, headers=failure.headers)

    async def of_defect(_: Request, __: Exception) -> JSONResponse:
        return problem(500, "an unexpected failure; its trace is in the log of the api role", code="defect")

    app.add_exception_handler(LikenessError, ours)
    app.add_exception_handler(RequestValidationError, of_shape)
    app.add_exception_handler(ValidationError, of_shape)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, of_defect)
