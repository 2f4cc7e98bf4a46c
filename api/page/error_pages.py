"""Failures on the page: a person who is not signed in is asked for a key, every other failure is a page of its own."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from api.page.rendering import page
from api.page.visitors import SignInRequired
from api.problems import TITLES, problem_of, status_of
from domain.errors import LikenessError


def _is_of_page(request: Request) -> bool:
    """Whether a browser shows the answer to a person; our own script asks for a problem."""
    of_api = request.url.path.startswith(("/api/", "/hooks/", "/health", "/openapi"))
    return not of_api and "text/html" in request.headers.get("accept", "")


def answer_with_pages(app: FastAPI) -> None:
    """Answer a person with a page where a program would get a problem."""

    async def ours(request: Request, failure: Exception) -> Response:
        assert isinstance(failure, LikenessError)
        if not _is_of_page(request):
            return problem_of(failure)
        if isinstance(failure, SignInRequired):
            return page("sign_in.html.j2", None, code=401, said=None)
        return _page_of(status_of(failure), str(failure))

    in_problems = app.exception_handlers[HTTPException]

    async def of_http(request: Request, failure: Exception) -> Response:
        assert isinstance(failure, HTTPException)
        if _is_of_page(request) and failure.status_code == 404:
            return _page_of(404, "There is no page at this address.")
        answer: Response = await in_problems(request, failure)  # type: ignore[misc]  # set before, and asynchronous
        return answer

    app.add_exception_handler(LikenessError, ours)
    app.add_exception_handler(HTTPException, of_http)


def _page_of(status: int, said: str) -> Response:
    return page("problem.html.j2", None, code=status, status=status, title=TITLES.get(status, "It failed"), said=said)
